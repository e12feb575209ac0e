-- What a dispute months later needs: plans by digest, and who had what verified again, why, and with what result.

-- Bytes that decide verdicts, by digest: scripts, prompts, expected texts, interpreters. Append-only.
CREATE TABLE assay.artifact (
    digest  bytea       PRIMARY KEY,
    bytes   bytea       NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE assay.artifact ALTER bytes SET STORAGE EXTERNAL;

-- Plans that have judged. Append-only.
CREATE TABLE assay.plan (
    digest   bytea       PRIMARY KEY,
    name     text        NOT NULL,
    settings text        NOT NULL,                    -- in the form of an inline plan, as JSON
    kept_at  timestamptz NOT NULL DEFAULT now()
);

-- The files that a kept plan names. Append-only.
CREATE TABLE assay.plan_file (
    plan     bytea   NOT NULL REFERENCES assay.plan,
    grader   text    NOT NULL,
    key      text    NOT NULL,
    name     text    NOT NULL,
    artifact bytea   NOT NULL REFERENCES assay.artifact,
    PRIMARY KEY (plan, grader, key)
);

-- A decision is overturned once; a dispute names the decision that it overturns, of the same attempt.
CREATE UNIQUE INDEX decision_overturned_once ON assay.decision (supersedes) WHERE supersedes IS NOT NULL;
CREATE INDEX decision_disputed ON assay.decision (job_id, attempt) WHERE trigger = 'dispute';

CREATE FUNCTION assay.decision_overturns() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.trigger <> 'dispute' OR NOT EXISTS (
        SELECT FROM assay.decision d
        WHERE d.verification_id = NEW.supersedes AND d.job_id = NEW.job_id AND d.attempt = NEW.attempt
    ) THEN
        RAISE EXCEPTION 'decision % overturns no decision of the same attempt', NEW.verification_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER decision_overturns BEFORE INSERT ON assay.decision
    FOR EACH ROW WHEN (NEW.trigger = 'dispute' OR NEW.supersedes IS NOT NULL)
    EXECUTE FUNCTION assay.decision_overturns();

-- A set of verifications again, applied or cancelled as a whole.
CREATE TABLE assay.dispute_set (
    name       text        PRIMARY KEY,
    selection  text        NOT NULL,                  -- what was asked for, as JSON
    reason     text        NOT NULL,
    by         text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    state      text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'applied', 'cancelled')),
    ended_by   text,
    ended_at   timestamptz
);

-- A verification that was made again, begun for this reason. Append-only.
CREATE TABLE assay.dispute (
    verification_id uuid        PRIMARY KEY,
    disputes        uuid        NOT NULL,             -- the decision that it is compared with
    set_name        text        REFERENCES assay.dispute_set,
    by              text        NOT NULL,
    reason          text        NOT NULL,
    begun_at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX dispute_disputes ON assay.dispute (disputes);

-- What it came to: the outcome message with a receipt on which nothing moves. Append-only.
CREATE TABLE assay.preview (
    verification_id uuid  PRIMARY KEY REFERENCES assay.dispute,
    message         bytea NOT NULL
);

-- The decisions of a set, and how far each has come.
CREATE TABLE assay.dispute_item (
    set_name        text    NOT NULL REFERENCES assay.dispute_set,
    disputes        uuid    NOT NULL,                 -- the decision
    place           integer NOT NULL,
    job_id          text    NOT NULL,
    attempt         integer NOT NULL,
    verification_id uuid,                             -- the latest verification again, begun at least
    error           text,                             -- why the latest came to no decision
    PRIMARY KEY (set_name, disputes)
);

-- Published decisions of disputes whose message the broker has yet to confirm.
CREATE TABLE assay.dispute_outcome (
    verification_id uuid        PRIMARY KEY,
    published_by    text        NOT NULL,
    decided_at      timestamptz NOT NULL DEFAULT now(),
    confirmed_at    timestamptz
);
CREATE INDEX dispute_outcome_open ON assay.dispute_outcome (decided_at) WHERE confirmed_at IS NULL;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['artifact', 'plan', 'plan_file', 'dispute', 'preview'] LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE ON assay.%I
                        FOR EACH ROW EXECUTE FUNCTION assay.refuse()', name || '_is_append_only', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['artifact', 'plan', 'plan_file', 'dispute', 'preview', 'dispute_set', 'dispute_item',
                                'dispute_outcome'] LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON assay.%I
                        FOR EACH STATEMENT EXECUTE FUNCTION assay.refuse()', name || '_is_not_emptied', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['dispute_set', 'dispute_item', 'dispute_outcome'] LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE DELETE ON assay.%I
                        FOR EACH ROW EXECUTE FUNCTION assay.refuse()', name || '_rows_are_kept', name);
    END LOOP;
END $$;

-- A set ends once.
CREATE FUNCTION assay.dispute_set_ends_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the set % is %', OLD.name, OLD.state USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER dispute_set_ends_once BEFORE UPDATE ON assay.dispute_set
    FOR EACH ROW WHEN (OLD.state <> 'open') EXECUTE FUNCTION assay.dispute_set_ends_once();
