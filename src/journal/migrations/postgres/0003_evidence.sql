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

-- What a checkpoint covers: how each verification ended. Append-only; every verification is sealed once.
CREATE TABLE assay.checkpoint_leaf (
    verification_id uuid    PRIMARY KEY,
    checkpoint      bigint  NOT NULL,
    place           integer NOT NULL,                 -- in the tree, from 0
    head            bytea   NOT NULL,
    state           text    NOT NULL,
    UNIQUE (checkpoint, place)
);

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
    by            text        NOT NULL,
    role          text        NOT NULL DEFAULT session_user,
    reason        text        NOT NULL,
    at            timestamptz NOT NULL DEFAULT now(),
    in_xact       xid8        NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX erasure_job ON assay.erasure (job_id);

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

-- Removes the content of a job, or of one attempt, for good, and writes who, when and why in the same statement. Runs with
-- the owner's rights; whoever may execute it is granted that by the owner. Digests, hashes, scores and receipts stay, so that
-- chains still hold and what was decided can still be proven.
CREATE FUNCTION assay.erase(job text, only_attempt integer, who text, why text)
    RETURNS TABLE (verifications bigint, entries bigint, files bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ids uuid[];
    target text := job || coalesce(' attempt ' || only_attempt, '');
BEGIN
    IF coalesce(btrim(who), '') = '' OR coalesce(btrim(why), '') = '' THEN
        RAISE EXCEPTION 'an erasure needs who and why' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    -- Nobody takes it up meanwhile.
    PERFORM FROM assay.claim c WHERE c.job_id = job AND (only_attempt IS NULL OR c.attempt = only_attempt) FOR UPDATE;
    IF EXISTS (SELECT FROM assay.claim c
               WHERE c.job_id = job AND (only_attempt IS NULL OR c.attempt = only_attempt)
                 AND c.state IN ('running', 'waiting')) THEN
        RAISE EXCEPTION '% is under way', target USING ERRCODE = 'object_in_use';
    END IF;
    ids := ARRAY(SELECT v.id FROM assay.verification v
                 WHERE v.job_id = job AND (only_attempt IS NULL OR v.attempt = only_attempt));

    INSERT INTO assay.act (what, target, by, reason) VALUES ('erase', target, who, why);
    INSERT INTO assay.erasure (job_id, attempt, by, reason) VALUES (job, only_attempt, who, why);

    UPDATE assay.log l
    SET content = '', content_digest = assay.content_digest(l.salt, l.content), salt = decode(repeat('00', 16), 'hex')
    WHERE l.verification_id = ANY (ids) AND l.content_digest IS NULL;
    GET DIAGNOSTICS entries = ROW_COUNT;
    -- Exceptions and what waits hold the same message; settlement knows an exception by its digest.
    UPDATE assay.exception e SET message = assay.without_reasons(d.message), digest = sha256(assay.without_reasons(d.message))
    FROM assay.decision d WHERE d.verification_id = ANY (ids) AND e.digest = sha256(d.message);
    UPDATE assay.held h SET message = assay.without_reasons(d.message)
    FROM assay.decision d WHERE d.verification_id = ANY (ids) AND h.verification_id = d.verification_id;
    UPDATE assay.decision d SET message = assay.without_reasons(d.message) WHERE d.verification_id = ANY (ids);
    UPDATE assay.verification v SET decision = jsonb_set(v.decision::jsonb, '{message}', '"[erased]"')::text
    WHERE v.id = ANY (ids) AND v.outcome = 'error';
    UPDATE assay.preview p SET message = assay.without_reasons(p.message) WHERE p.verification_id = ANY (ids);
    UPDATE assay.dispute_item i SET error = '[erased]' WHERE i.verification_id = ANY (ids) AND i.error IS NOT NULL;
    UPDATE assay.model_call c
    SET prompt = NULL, answer = NULL, rejected = CASE WHEN c.rejected IS NOT NULL THEN '[erased]' END
    WHERE c.verification_id = ANY (ids);
    UPDATE assay.hand_in h SET message = assay.without_content(h.job_id, h.attempt)
    WHERE h.job_id = job AND (only_attempt IS NULL OR h.attempt = only_attempt);
    UPDATE assay.parked p SET message = NULL, detail = '[erased]'
    WHERE p.job_id = job AND (only_attempt IS NULL OR p.attempt = only_attempt);
    UPDATE assay.evidence e
    SET name = '[erased]', content_type = NULL, why = 'erased',
        state = CASE WHEN e.state IN ('storing', 'kept') THEN 'doomed' ELSE e.state END
    WHERE e.verification_id = ANY (ids);
    GET DIAGNOSTICS files = ROW_COUNT;
    verifications := cardinality(ids);
    RETURN NEXT;
END $$;
REVOKE ALL ON FUNCTION assay.erase(text, integer, text, text) FROM PUBLIC;
