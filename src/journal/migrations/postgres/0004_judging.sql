-- Every call of a model, also of those that failed: enough to judge again without it. Append-only. Prompt and answer may be
-- erased on a lawful request; their digests stay.
CREATE TABLE assay.model_call (
    id              uuid        PRIMARY KEY,          -- version 7: in the order of time
    verification_id uuid        NOT NULL,
    job_id          text        NOT NULL,
    attempt         integer     NOT NULL,
    grader          text        NOT NULL,
    criteria        text[]      NOT NULL,
    sample          integer     NOT NULL,
    model_asked     text        NOT NULL,
    model           text,                             -- as the server named it
    judge_mode      text        NOT NULL,             -- live | record | replay | scripted | kept
    parameters      text        NOT NULL,             -- JSON
    prompt          bytea,                            -- JSON; bytes, for strangers write NUL
    prompt_digest   bytea       NOT NULL,
    answer          bytea,
    answer_digest   bytea,
    finish          text        NOT NULL,             -- complete | truncated | too-long | refused | kind of the error
    rejected        text,                             -- why the answer did not count
    prompt_tokens   bigint,
    answer_tokens   bigint,
    tokens_estimated boolean    NOT NULL,
    cost_microcents bigint,                           -- millionths of a cent
    key             bytea       NOT NULL,             -- what was asked, but for the nonce
    reused          uuid,                             -- the earlier call whose answer this is
    started_at      timestamptz NOT NULL,
    ended_at        timestamptz NOT NULL
);
CREATE INDEX model_call_verification ON assay.model_call (verification_id, id);
CREATE INDEX model_call_paid ON assay.model_call (job_id, attempt, key);
CREATE INDEX model_call_day ON assay.model_call (started_at) INCLUDE (cost_microcents) WHERE cost_microcents > 0;

-- But for an erasure, which leaves digests and cost.
CREATE FUNCTION assay.model_call_stays() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    erased assay.model_call := OLD;
BEGIN
    erased.prompt := NULL;
    erased.answer := NULL;
    erased.rejected := CASE WHEN OLD.rejected IS NOT NULL THEN '[erased]' END;
    IF TG_OP = 'UPDATE' AND assay.is_erasing(OLD.job_id, OLD.attempt) AND NEW IS NOT DISTINCT FROM erased THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'model_call is append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER model_call_is_append_only BEFORE UPDATE OR DELETE ON assay.model_call
    FOR EACH ROW EXECUTE FUNCTION assay.model_call_stays();
CREATE TRIGGER model_call_is_not_emptied BEFORE TRUNCATE ON assay.model_call
    FOR EACH STATEMENT EXECUTE FUNCTION assay.refuse();
