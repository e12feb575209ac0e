-- Evidence, checkpoints and erasures: what a dispute or an audit months later goes by.

-- Finds the verifications of a time without costing the writers an index.
CREATE INDEX verification_started ON assay.verification USING brin (started_at);

-- A signed link of the deployment's chain of checkpoints. Append-only.
CREATE TABLE assay.checkpoint (
    number     bigint      PRIMARY KEY,               -- from 1, without gaps
    deployment text        NOT NULL,
    previous   bytea       UNIQUE,                    -- digest of the one before; none for the first
    count      bigint      NOT NULL,                  -- verifications that it covers
    total      bigint      NOT NULL,                  -- and those before it
    root       bytea       NOT NULL,                  -- of the Merkle tree over its leaves
    made_at    timestamptz NOT NULL,
    kid        text        NOT NULL,
    signature  text        NOT NULL
);

-- What a checkpoint covers: how each verification ended, and what it decided. Append-only; every verification is sealed once,
-- and once more where its decision was published later.
CREATE TABLE assay.checkpoint_leaf (
    verification_id uuid    NOT NULL,
    checkpoint      bigint  NOT NULL,
    place           integer NOT NULL,                 -- in the tree, from 0
    head            bytea   NOT NULL,
    state           text    NOT NULL,
    decision        bytea,                            -- digest of its decision; none where it had none
    PRIMARY KEY (checkpoint, place)
);
CREATE INDEX checkpoint_leaf_verification ON assay.checkpoint_leaf (verification_id);
CREATE UNIQUE INDEX checkpoint_leaf_decided_once ON assay.checkpoint_leaf (verification_id) WHERE decision IS NOT NULL;

-- The files that a verification judged, and what became of our copies. The bytes lie in the evidence store, by sha256.
CREATE TABLE assay.evidence (
    verification_id uuid        NOT NULL,
    place           integer     NOT NULL,             -- in the submission, from 0
    role            text        NOT NULL CHECK (role IN ('output', 'input')),
    name            text        NOT NULL,
    size            bigint      NOT NULL,
    sha256          bytea       NOT NULL,
    content_type    text,
    state           text        NOT NULL CHECK (state IN ('storing', 'kept', 'not-kept', 'doomed', 'deleted')),
    why             text,                             -- it is not kept, or no longer
    noted_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (verification_id, place)
);
CREATE INDEX evidence_sha256 ON assay.evidence (sha256);
CREATE INDEX evidence_doomed ON assay.evidence (sha256) WHERE state = 'doomed';

-- Content that was removed on a lawful request: the tombstone. Append-only.
CREATE TABLE assay.erasure (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id        text        NOT NULL,
    attempt       integer,                            -- none: all of them
    plans         bytea[]     NOT NULL DEFAULT '{}',  -- digests of senders' own plans that went with it
    by            text        NOT NULL,
    role          text        NOT NULL DEFAULT session_user,
    reason        text        NOT NULL,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    in_xact       xid8        NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX erasure_job ON assay.erasure (job_id);
CREATE INDEX erasure_xact ON assay.erasure (in_xact);
-- Who else was judged by a sender's own plan. Operators' plans, by far the most, cost nothing here.
CREATE INDEX verification_inline ON assay.verification (plan_digest) WHERE plan_name = 'inline';

CREATE TRIGGER checkpoint_is_append_only BEFORE UPDATE OR DELETE ON assay.checkpoint
    FOR EACH ROW EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER checkpoint_is_not_emptied BEFORE TRUNCATE ON assay.checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER checkpoint_leaf_is_append_only BEFORE UPDATE OR DELETE ON assay.checkpoint_leaf
    FOR EACH ROW EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER checkpoint_leaf_is_not_emptied BEFORE TRUNCATE ON assay.checkpoint_leaf
    FOR EACH STATEMENT EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER erasure_is_append_only BEFORE UPDATE OR DELETE ON assay.erasure
    FOR EACH ROW EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER erasure_is_not_emptied BEFORE TRUNCATE ON assay.erasure
    FOR EACH STATEMENT EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER evidence_is_kept BEFORE DELETE ON assay.evidence
    FOR EACH ROW EXECUTE FUNCTION assay.refuse();
CREATE TRIGGER evidence_is_not_emptied BEFORE TRUNCATE ON assay.evidence
    FOR EACH STATEMENT EXECUTE FUNCTION assay.refuse();

-- Whether this very transaction has written a tombstone for the attempt: nothing is erased without one.
CREATE FUNCTION assay.is_erasing(job text, of_attempt integer) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM assay.erasure
                   WHERE job_id = job AND (attempt IS NULL OR of_attempt IS NULL OR attempt = of_attempt)
                     AND in_xact = pg_current_xact_id())
$$;

-- The salted digest of an entry's content, as the hash chain has it (`entry::content_digest`).
CREATE FUNCTION assay.content_digest(salt bytea, content text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(int8send(16) || convert_to('assay-content-v1', 'UTF8') || int8send(octet_length(salt)) || salt
                  || int8send(octet_length(convert_to(content, 'UTF8'))) || convert_to(content, 'UTF8'))
$$;

-- An outcome message without the graders' words: they may quote the hand-in. The receipt stays, and still fits.
CREATE FUNCTION assay.without_reasons(message bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT convert_to(jsonb_set(whole, '{graders}', coalesce(
               (SELECT jsonb_agg(jsonb_set(grader, '{reason}', '"[erased]"') ORDER BY place)
                FROM jsonb_array_elements(whole -> 'graders') WITH ORDINALITY AS graders (grader, place)), '[]'))::text,
               'UTF8')
    FROM (SELECT convert_from(message, 'UTF8')::jsonb) AS parsed (whole)
$$;

-- Content of an entry: there until it is erased, and then its digest alone. The trigger computes the digest itself, so that
-- an erasure can remove but never replace.
ALTER TABLE assay.log ADD COLUMN content_digest bytea;

CREATE FUNCTION assay.log_stays() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    erased assay.log := OLD;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.content_digest IS NULL AND assay.is_erasing(OLD.job_id, NULL) THEN
        erased.content := '';
        erased.content_digest := assay.content_digest(OLD.salt, OLD.content);
        erased.salt := decode(repeat('00', 16), 'hex');
        IF NEW IS NOT DISTINCT FROM erased THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'log is append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
DROP TRIGGER log_is_append_only ON assay.log;
CREATE TRIGGER log_is_append_only BEFORE UPDATE OR DELETE ON assay.log
    FOR EACH ROW EXECUTE FUNCTION assay.log_stays();

CREATE FUNCTION assay.decision_stays() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    erased assay.decision := OLD;
BEGIN
    IF TG_OP = 'UPDATE' AND assay.is_erasing(OLD.job_id, OLD.attempt) THEN
        erased.message := assay.without_reasons(OLD.message);
        IF NEW IS NOT DISTINCT FROM erased THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'decision is append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
DROP TRIGGER decision_is_append_only ON assay.decision;
CREATE TRIGGER decision_is_append_only BEFORE UPDATE OR DELETE ON assay.decision
    FOR EACH ROW EXECUTE FUNCTION assay.decision_stays();

-- As before, but for the words of an error.
CREATE OR REPLACE FUNCTION assay.verification_stays() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    erased assay.verification := OLD;
BEGIN
    IF OLD.ended_at IS NOT NULL THEN
        erased.decision := jsonb_set(OLD.decision::jsonb, '{message}', '"[erased]"')::text;
        IF OLD.outcome = 'error' AND assay.is_erasing(OLD.job_id, OLD.attempt) AND NEW IS NOT DISTINCT FROM erased THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'verification % has ended', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RAISE EXCEPTION 'what verification % is about never changes', OLD.id USING ERRCODE = 'restrict_violation';
END $$;

-- What is left of a hand-in: the thin form of the message, which holds nothing that was handed in.
CREATE FUNCTION assay.without_content(job text, of_attempt integer) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT convert_to(jsonb_build_object('v', 1, 'job_id', job, 'attempt', of_attempt)::text, 'UTF8')
$$;

CREATE FUNCTION assay.hand_in_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND assay.is_erasing(OLD.job_id, OLD.attempt)
        AND (NEW.job_id, NEW.attempt) = (OLD.job_id, OLD.attempt)
        AND NEW.message = assay.without_content(OLD.job_id, OLD.attempt)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'hand_in is append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
DROP TRIGGER hand_in_is_append_only ON assay.hand_in;
CREATE TRIGGER hand_in_is_append_only BEFORE UPDATE OR DELETE ON assay.hand_in
    FOR EACH ROW EXECUTE FUNCTION assay.hand_in_stays();

-- A preview is an outcome message, with what graders said of the hand-in.
CREATE FUNCTION assay.preview_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.verification_id = OLD.verification_id
        AND NEW.message = assay.without_reasons(OLD.message)
        AND EXISTS (SELECT FROM assay.verification v
                    WHERE v.id = OLD.verification_id AND assay.is_erasing(v.job_id, v.attempt))
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'preview is append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
DROP TRIGGER preview_is_append_only ON assay.preview;
CREATE TRIGGER preview_is_append_only BEFORE UPDATE OR DELETE ON assay.preview
    FOR EACH ROW EXECUTE FUNCTION assay.preview_stays();

-- A sender's own plan is text of his, with task and expected answers. It goes with the last attempt that it judged, so that
-- nobody can be judged by it again; whoever sends the same plan later has it kept anew. The files that it names are the
-- operator's, and stay.
CREATE FUNCTION assay.plan_stays() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_plan bytea;
BEGIN
    IF TG_TABLE_NAME = 'plan' THEN
        of_plan := OLD.digest;
    ELSE
        of_plan := OLD.plan;
    END IF;
    IF TG_OP = 'DELETE' AND EXISTS (
        SELECT FROM assay.erasure e WHERE e.in_xact = pg_current_xact_id() AND of_plan = ANY (e.plans)
    ) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;
DROP TRIGGER plan_is_append_only ON assay.plan;
CREATE TRIGGER plan_is_append_only BEFORE UPDATE OR DELETE ON assay.plan
    FOR EACH ROW EXECUTE FUNCTION assay.plan_stays();
DROP TRIGGER plan_file_is_append_only ON assay.plan_file;
CREATE TRIGGER plan_file_is_append_only BEFORE UPDATE OR DELETE ON assay.plan_file
    FOR EACH ROW EXECUTE FUNCTION assay.plan_stays();

-- The same of a message that somebody may have altered, or that is none.
CREATE FUNCTION assay.without_words(message bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN coalesce(assay.without_reasons(message), convert_to('[erased]', 'UTF8'));
EXCEPTION WHEN OTHERS THEN
    RETURN convert_to('[erased]', 'UTF8');
END $$;

-- The broker may deliver once more what was published before the erasure: it is no longer what the row says, and the exception
-- keeps no words of it. Its digest stays that of the message as it came, so that a decision is not mistaken for an exception.
CREATE FUNCTION assay.exception_forgets() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM assay.erasure e JOIN assay.decision d USING (job_id)
               WHERE d.verification_id = NEW.verification_id AND d.decided_at <= e.at
                 AND (e.attempt IS NULL OR e.attempt = d.attempt)) THEN
        NEW.message := assay.without_words(NEW.message);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER exception_forgets BEFORE INSERT ON assay.exception
    FOR EACH ROW EXECUTE FUNCTION assay.exception_forgets();

-- Whoever has read a hand-in before its erasure may still say why it could not be judged again, with names of its files.
CREATE FUNCTION assay.dispute_item_forgets() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    told text;
BEGIN
    SELECT format('erased by %s: %s', e.by, e.reason) INTO told
    FROM assay.erasure e JOIN assay.decision d USING (job_id)
    WHERE d.verification_id = NEW.disputes AND d.decided_at <= e.at AND (e.attempt IS NULL OR e.attempt = d.attempt)
    ORDER BY e.id LIMIT 1;
    NEW.error := coalesce(told, NEW.error);
    RETURN NEW;
END $$;
CREATE TRIGGER dispute_item_forgets BEFORE UPDATE ON assay.dispute_item
    FOR EACH ROW WHEN (NEW.error IS NOT NULL) EXECUTE FUNCTION assay.dispute_item_forgets();

-- What a file was never changes; only what became of our copy does.
CREATE FUNCTION assay.evidence_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.verification_id, OLD.place, OLD.role, OLD.size, OLD.sha256) IS DISTINCT FROM
       (NEW.verification_id, NEW.place, NEW.role, NEW.size, NEW.sha256)
       OR (OLD.state IN ('doomed', 'deleted') AND NEW.state NOT IN ('doomed', 'deleted'))
    THEN
        RAISE EXCEPTION 'evidence of % never changes', OLD.verification_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER evidence_stays BEFORE UPDATE ON assay.evidence
    FOR EACH ROW EXECUTE FUNCTION assay.evidence_stays();

-- Verifications by a sender's own plan whose hand-in is still there.
CREATE FUNCTION assay.judged_inline(digest bytea) RETURNS SETOF assay.verification LANGUAGE sql STABLE AS $$
    SELECT v.* FROM assay.verification v
    WHERE v.plan_name = 'inline' AND v.plan_digest = digest
      AND NOT EXISTS (SELECT FROM assay.erasure e
                      WHERE e.job_id = v.job_id AND (e.attempt IS NULL OR e.attempt = v.attempt) AND e.at >= v.started_at)
$$;

-- Removes the content of a job, or of one attempt, for good, and writes who, when and why in the same statement. Runs with
-- the owner's rights; whoever may execute it is granted that by the owner. Digests, hashes, scores and receipts stay, so that
-- chains still hold and what was decided can still be proven.
CREATE FUNCTION assay.erase(job text, only_attempt integer, who text, why text)
    RETURNS TABLE (verifications bigint, entries bigint, files bigint, plans bytea[])
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ids uuid[];
    running uuid;
    unused bytea[] := '{}';
    target text := job || coalesce(' attempt ' || only_attempt, '');
BEGIN
    IF coalesce(btrim(who), '') = '' OR coalesce(btrim(why), '') = '' THEN
        RAISE EXCEPTION 'an erasure needs who and why' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    -- Nobody takes it up meanwhile, nor judges it again (`PgJournal::begin_dispute`).
    PERFORM pg_advisory_xact_lock(hashtextextended('assay-erase ' || job, 0));
    PERFORM FROM assay.claim c WHERE c.job_id = job AND (only_attempt IS NULL OR c.attempt = only_attempt) FOR UPDATE;
    IF EXISTS (SELECT FROM assay.claim c
               WHERE c.job_id = job AND (only_attempt IS NULL OR c.attempt = only_attempt)
                 AND c.state IN ('running', 'waiting')) THEN
        RAISE EXCEPTION '% is under way', target USING ERRCODE = 'object_in_use';
    END IF;
    ids := ARRAY(SELECT v.id FROM assay.verification v
                 WHERE v.job_id = job AND (only_attempt IS NULL OR v.attempt = only_attempt));
    FOR running IN
        SELECT v.id FROM assay.verification v JOIN assay.dispute d ON d.verification_id = v.id
        WHERE v.id = ANY (ids) AND v.ended_at IS NULL
    LOOP
        IF NOT pg_try_advisory_xact_lock(hashtextextended('assay-dispute ' || running, 0)) THEN
            RAISE EXCEPTION '%', running USING ERRCODE = 'lock_not_available';
        END IF;
        -- Its process died without a word.
        UPDATE assay.verification v
        SET ended_at = now(), outcome = 'closed', decision = '{"error":"cancelled","message":"its process died"}',
            entries = coalesce((SELECT max(l.seq) + 1 FROM assay.log l WHERE l.verification_id = running), 0),
            head = (SELECT l.hash FROM assay.log l WHERE l.verification_id = running ORDER BY l.seq DESC LIMIT 1)
        WHERE v.id = running;
    END LOOP;

    -- Senders' own plans that judged nobody whose hand-in stays. Whoever keeps plans waits until this is done.
    IF EXISTS (SELECT FROM assay.verification v WHERE v.id = ANY (ids) AND v.plan_name = 'inline') THEN
        LOCK TABLE assay.plan, assay.plan_file IN SHARE ROW EXCLUSIVE MODE;
        unused := ARRAY(
            SELECT DISTINCT v.plan_digest FROM assay.verification v JOIN assay.plan p ON p.digest = v.plan_digest
            WHERE v.id = ANY (ids) AND v.plan_name = 'inline' AND p.name = 'inline'
              AND NOT EXISTS (SELECT FROM assay.judged_inline(v.plan_digest) other WHERE NOT other.id = ANY (ids)));
    END IF;

    INSERT INTO assay.act (what, target, by, reason) VALUES ('erase', target, who, why);
    INSERT INTO assay.erasure (job_id, attempt, plans, by, reason) VALUES (job, only_attempt, unused, who, why);

    UPDATE assay.log l
    SET content = '', content_digest = assay.content_digest(l.salt, l.content), salt = decode(repeat('00', 16), 'hex')
    WHERE l.verification_id = ANY (ids) AND l.content_digest IS NULL;
    GET DIAGNOSTICS entries = ROW_COUNT;
    -- Exceptions and what waits hold the same message. Settlement knows by its digest which decision an exception is about;
    -- altered copies keep the digest of what came.
    UPDATE assay.exception e SET message = assay.without_reasons(d.message), digest = sha256(assay.without_reasons(d.message))
    FROM assay.decision d WHERE d.verification_id = ANY (ids) AND e.digest = sha256(d.message);
    UPDATE assay.exception e SET message = assay.without_words(e.message)
    WHERE e.verification_id = ANY (ids)
       OR (e.job_id = job
           AND NOT EXISTS (SELECT FROM assay.verification v WHERE v.id = e.verification_id AND v.job_id = job));
    UPDATE assay.held h SET message = assay.without_reasons(d.message)
    FROM assay.decision d WHERE d.verification_id = ANY (ids) AND h.verification_id = d.verification_id;
    UPDATE assay.decision d SET message = assay.without_reasons(d.message) WHERE d.verification_id = ANY (ids);
    UPDATE assay.verification v SET decision = jsonb_set(v.decision::jsonb, '{message}', '"[erased]"')::text
    WHERE v.id = ANY (ids) AND v.outcome = 'error';
    UPDATE assay.preview p SET message = assay.without_reasons(p.message) WHERE p.verification_id = ANY (ids);
    -- Also of items of which no verification was ever begun.
    UPDATE assay.dispute_item i SET error = '[erased]'
    WHERE i.job_id = job AND (only_attempt IS NULL OR i.attempt = only_attempt) AND i.error IS NOT NULL;
    UPDATE assay.model_call c
    SET prompt = NULL, answer = NULL, rejected = CASE WHEN c.rejected IS NOT NULL THEN '[erased]' END
    WHERE c.verification_id = ANY (ids);
    UPDATE assay.hand_in h SET message = assay.without_content(h.job_id, h.attempt)
    WHERE h.job_id = job AND (only_attempt IS NULL OR h.attempt = only_attempt);
    -- What is left of it can be tried by nobody.
    UPDATE assay.claim c SET state = 'closed'
    WHERE c.job_id = job AND (only_attempt IS NULL OR c.attempt = only_attempt) AND c.state = 'parked';
    UPDATE assay.parked p
    SET message = NULL, detail = '[erased]', closed_at = coalesce(p.closed_at, now()),
        closed_as = coalesce(p.closed_as, 'closed'), closed_by = coalesce(p.closed_by, who),
        closed_reason = coalesce(p.closed_reason, 'erased: ' || why)
    WHERE p.job_id = job AND (only_attempt IS NULL OR p.attempt IS NULL OR p.attempt = only_attempt);
    DELETE FROM assay.plan_file f WHERE f.plan = ANY (unused);
    DELETE FROM assay.plan p WHERE p.digest = ANY (unused);
    UPDATE assay.evidence e
    SET name = '[erased]', content_type = NULL, why = 'erased',
        state = CASE WHEN e.state IN ('storing', 'kept') THEN 'doomed' ELSE e.state END
    WHERE e.verification_id = ANY (ids);
    GET DIAGNOSTICS files = ROW_COUNT;
    verifications := cardinality(ids);
    plans := unused;
    RETURN NEXT;
END $$;
REVOKE ALL ON FUNCTION assay.erase(text, integer, text, text) FROM PUBLIC;
