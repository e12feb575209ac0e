-- The pool's tables. `assay setup` makes them as their owner; the workers' and settlement's roles own none of them
-- (docs/deploying.md).

-- How far the work on one hand-in is. `verification_id` is the fencing token: whoever writes must hold it. The message is
-- kept apart (assay.hand_in), since a claim is written several times and the message once.
CREATE TABLE assay.claim (
    job_id          text        NOT NULL,
    attempt         integer     NOT NULL,
    submission      bytea       NOT NULL,             -- digest of what was handed in, as stated
    plan_choice     bytea       NOT NULL,             -- digest of how the message names its plan
    traceparent     text,
    state           text        NOT NULL CHECK (state IN ('running', 'waiting', 'decided', 'parked', 'closed')),
    verification_id uuid,                             -- the run that holds it, or that decided
    holder          text,                             -- the worker that runs it
    due_at          timestamptz,                      -- running: end of the lease; waiting: when it comes back;
                                                      -- decided: when the outcome is published again, unless confirmed
    starts          integer     NOT NULL DEFAULT 0,   -- runs begun since one last ended
    for_judge       boolean     NOT NULL DEFAULT false, -- waiting: for a judge, in the judges' lane
    tries           integer     NOT NULL DEFAULT 0,   -- runs that ended in trouble of ours
    not_found_file  bytea,                            -- digest of the URL that answered 404 or 410 last
    not_found       integer     NOT NULL DEFAULT 0,   -- runs in which it did
    first_not_found timestamptz,                      -- when it first did
    received_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, attempt)
) WITH (fillfactor = 45);                             -- written again when it ends: beside itself, without new index entries
CREATE INDEX claim_due ON assay.claim (due_at) WHERE due_at IS NOT NULL;

-- What was handed in at one attempt: the submitted-job message with the whole job, kept whatever becomes of the queue.
CREATE TABLE assay.hand_in (
    job_id  text    NOT NULL,
    attempt integer NOT NULL,
    message bytea   NOT NULL,
    PRIMARY KEY (job_id, attempt)
) WITH (toast_tuple_target = 8160);
ALTER TABLE assay.hand_in ALTER message SET STORAGE EXTERNAL;

-- One row for each run of a plan over a submission.
CREATE TABLE assay.verification (
    id            uuid        PRIMARY KEY,
    job_id        text        NOT NULL,
    attempt       integer     NOT NULL,
    cause         text        NOT NULL CHECK (cause IN ('desk', 'submission', 'dispute')),
    plan_name     text        NOT NULL,
    plan_digest   bytea       NOT NULL,
    submission    bytea       NOT NULL,
    worker        text,
    started_at    timestamptz NOT NULL,
    ended_at      timestamptz,
    outcome       text,                               -- verified | retry | error | taken-over
    decision      text,                               -- as JSON: the error, or a decision that is not in assay.decision
    entries       integer,                            -- length of the chain; none while it runs
    head          bytea,                              -- hash of its last entry; none while it runs
    taken_over_by uuid
) WITH (fillfactor = 50);                             -- every row is written twice: the second time beside the first
CREATE INDEX verification_job ON assay.verification (job_id, started_at);

-- The verification log. Append-only.
CREATE TABLE assay.log (
    id              bigint      GENERATED ALWAYS AS IDENTITY,
    job_id          text        NOT NULL,
    verification_id uuid        NOT NULL,
    seq             integer     NOT NULL,
    type            text        NOT NULL CHECK (type IN ('info', 'reasoning', 'result')),
    content         text        NOT NULL,
    audience        text        NOT NULL CHECK (audience IN ('public', 'operator')),
    created_at      timestamptz NOT NULL,
    salt            bytea       NOT NULL,
    hash            bytea       NOT NULL,
    PRIMARY KEY (verification_id, seq)
);

-- What was decided, with the message as it is published. Append-only; at most one from the submission itself.
CREATE TABLE assay.decision (
    verification_id uuid        PRIMARY KEY,
    job_id          text        NOT NULL,
    attempt         integer     NOT NULL,
    trigger         text        NOT NULL CHECK (trigger IN ('submission', 'dispute')),
    supersedes      uuid,
    outcome         text        NOT NULL CHECK (outcome IN ('verified', 'retry')),
    message         bytea       NOT NULL,
    traceparent     text,
    decided_at      timestamptz NOT NULL DEFAULT now()
) WITH (toast_tuple_target = 8160);
ALTER TABLE assay.decision ALTER message SET STORAGE EXTERNAL;
CREATE INDEX decision_decided ON assay.decision USING brin (decided_at);
CREATE UNIQUE INDEX decision_once ON assay.decision (job_id, attempt) WHERE trigger = 'submission';

-- Set aside for a person. Never deleted, only closed with a reason.
CREATE TABLE assay.parked (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id        text,                               -- none where the message could not be read
    attempt       integer,
    reason        text        NOT NULL,
    detail        text        NOT NULL,
    message       bytea,                              -- none where the claim keeps it
    digest        bytea       NOT NULL,               -- of the message as it came
    parked_at     timestamptz NOT NULL DEFAULT now(),
    noticed_at    timestamptz,                        -- when the notice on the exchange was confirmed
    closed_at     timestamptz,
    closed_as     text        CHECK (closed_as IN ('retried', 'closed')),
    closed_by     text,
    closed_reason text
);
-- The same message, delivered twice, is parked once.
CREATE UNIQUE INDEX parked_once ON assay.parked (digest, reason) WHERE closed_at IS NULL;
CREATE INDEX parked_job ON assay.parked (job_id, attempt);
CREATE INDEX parked_open ON assay.parked (parked_at) WHERE closed_at IS NULL;

-- What settlement has applied. Append-only: one row for each decision, one for each decision overturned.
CREATE TABLE assay.settlement (
    verification_id uuid        PRIMARY KEY,
    job_id          text        NOT NULL,
    attempt         integer     NOT NULL,
    supersedes      uuid        UNIQUE,
    outcome         text        NOT NULL CHECK (outcome IN ('verified', 'retry')),
    effect          text        NOT NULL,
    paid_user       text,                             -- who was paid or refunded, or had to give back
    amount_cents    bigint      NOT NULL,             -- of it
    fee_user        text,                             -- who took the fee, or gave it back
    fee_cents       bigint      NOT NULL DEFAULT 0,
    settled_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX settlement_paid ON assay.settlement (settled_at) WHERE effect = 'paid';
CREATE INDEX settlement_job ON assay.settlement (job_id);

-- Outcomes that wait: because settlement is paused, or until somebody approves.
CREATE TABLE assay.held (
    verification_id uuid        PRIMARY KEY,
    job_id          text        NOT NULL,
    reason          text        NOT NULL CHECK (reason IN ('paused', 'price', 'rate')),
    amount_cents    bigint      NOT NULL,
    message         bytea       NOT NULL,
    held_at         timestamptz NOT NULL DEFAULT now(),
    approved_by     text,
    approved_at     timestamptz,
    released_at     timestamptz                       -- when it was settled, or became an exception
);
CREATE INDEX held_open ON assay.held (held_at) WHERE released_at IS NULL;

-- What settlement did not apply: it moved nothing, a person looks at it.
CREATE TABLE assay.exception (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    verification_id uuid,                             -- as the message says; forged ones lie
    job_id          text,
    reason          text        NOT NULL,
    detail          text        NOT NULL,
    message         bytea       NOT NULL,
    digest          bytea       NOT NULL,             -- of the message
    raised_at       timestamptz NOT NULL DEFAULT now(),
    closed_at       timestamptz,
    closed_by       text,
    closed_reason   text
);
-- The same message for the same reason is one exception; closed, and it happens again, it is another.
CREATE UNIQUE INDEX exception_once ON assay.exception (digest, reason) WHERE closed_at IS NULL;
CREATE INDEX exception_digest ON assay.exception (digest);
CREATE INDEX exception_open ON assay.exception (raised_at) WHERE closed_at IS NULL;

-- What operators switched, by name: `pause`.
CREATE TABLE assay.switch (
    name   text        PRIMARY KEY,
    is_on  boolean     NOT NULL,
    by     text        NOT NULL,
    reason text        NOT NULL,
    at     timestamptz NOT NULL DEFAULT now()
);

-- What people did by hand, and why. Append-only.
CREATE TABLE assay.act (
    id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    what   text        NOT NULL,
    target text        NOT NULL,
    by     text        NOT NULL,
    reason text        NOT NULL,
    at     timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION assay.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER log_is_append_only BEFORE UPDATE OR DELETE ON assay.log
    FOR EACH ROW EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER log_is_not_emptied BEFORE TRUNCATE ON assay.log
    FOR EACH STATEMENT EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER decision_is_append_only BEFORE UPDATE OR DELETE ON assay.decision
    FOR EACH ROW EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER decision_is_not_emptied BEFORE TRUNCATE ON assay.decision
    FOR EACH STATEMENT EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER settlement_is_append_only BEFORE UPDATE OR DELETE ON assay.settlement
    FOR EACH ROW EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER settlement_is_not_emptied BEFORE TRUNCATE ON assay.settlement
    FOR EACH STATEMENT EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER act_is_append_only BEFORE UPDATE OR DELETE ON assay.act
    FOR EACH ROW EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER act_is_not_emptied BEFORE TRUNCATE ON assay.act
    FOR EACH STATEMENT EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER hand_in_is_append_only BEFORE UPDATE OR DELETE ON assay.hand_in
    FOR EACH ROW EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER hand_in_is_not_emptied BEFORE TRUNCATE ON assay.hand_in
    FOR EACH STATEMENT EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER claims_are_kept BEFORE DELETE ON assay.claim
    FOR EACH ROW EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER verifications_are_kept BEFORE DELETE ON assay.verification
    FOR EACH ROW EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER parked_rows_are_kept BEFORE DELETE ON assay.parked
    FOR EACH ROW EXECUTE FUNCTION assay.refuse();

-- What a verification is about never changes, and it ends once.
CREATE FUNCTION assay.verification_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'verification % has ended', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RAISE EXCEPTION 'what verification % is about never changes', OLD.id USING ERRCODE = 'restrict_violation';
END $$;
-- The condition is on the trigger, so that the function is not called for every end.
CREATE TRIGGER verification_stays BEFORE UPDATE ON assay.verification
    FOR EACH ROW WHEN (
        OLD.ended_at IS NOT NULL
        OR (OLD.id, OLD.job_id, OLD.attempt, OLD.cause, OLD.plan_name, OLD.plan_digest, OLD.submission, OLD.started_at)
            IS DISTINCT FROM
           (NEW.id, NEW.job_id, NEW.attempt, NEW.cause, NEW.plan_name, NEW.plan_digest, NEW.submission, NEW.started_at)
    ) EXECUTE FUNCTION assay.verification_stays();

-- The marketplace's five fields, as the public may see them.
CREATE VIEW assay.verification_log AS
    SELECT id, job_id, type, content, created_at FROM assay.log WHERE audience = 'public';
