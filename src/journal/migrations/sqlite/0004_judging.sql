-- Every call of a model, also of those that failed: enough to judge again without it. Append-only.
CREATE TABLE model_call (
    id               TEXT PRIMARY KEY,                -- a version 7 UUID: in the order of time
    verification_id  TEXT NOT NULL REFERENCES verification (id),
    job_id           TEXT NOT NULL,
    attempt          INTEGER NOT NULL,
    grader           TEXT NOT NULL,
    criteria         TEXT NOT NULL,                   -- JSON
    sample           INTEGER NOT NULL,
    model_asked      TEXT NOT NULL,
    model            TEXT,                            -- as the server named it
    judge_mode       TEXT NOT NULL,                   -- live | record | replay | scripted | kept
    parameters       TEXT NOT NULL,                   -- JSON
    prompt           BLOB,                            -- JSON; bytes, for strangers write NUL
    prompt_digest    TEXT NOT NULL,
    answer           BLOB,
    answer_digest    TEXT,
    finish           TEXT NOT NULL,                   -- complete | truncated | too-long | refused | kind of the error
    rejected         TEXT,                            -- why the answer did not count
    prompt_tokens    INTEGER,
    answer_tokens    INTEGER,
    tokens_estimated INTEGER NOT NULL,
    cost_microcents  INTEGER,                         -- millionths of a cent
    key              TEXT NOT NULL,                   -- what was asked, but for the nonce
    reused           TEXT,                            -- the earlier call whose answer this is
    started_at       INTEGER NOT NULL,
    ended_at         INTEGER NOT NULL
);
CREATE INDEX model_call_verification ON model_call (verification_id, id);
CREATE INDEX model_call_paid ON model_call (job_id, attempt, key);
CREATE INDEX model_call_day ON model_call (started_at);

CREATE TRIGGER model_call_no_update BEFORE UPDATE ON model_call
BEGIN
    SELECT RAISE(ABORT, 'calls of models are append-only');
END;
CREATE TRIGGER model_call_no_delete BEFORE DELETE ON model_call
BEGIN
    SELECT RAISE(ABORT, 'calls of models are append-only');
END;
