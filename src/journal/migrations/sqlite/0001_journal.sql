-- One row for each run of a plan over a submission.
CREATE TABLE verification (
    id                TEXT PRIMARY KEY,
    job_id            TEXT NOT NULL,
    attempt           INTEGER NOT NULL,
    cause             TEXT NOT NULL,                  -- desk | submission | dispute
    plan_name         TEXT NOT NULL,
    plan_digest       TEXT NOT NULL,
    submission_digest TEXT NOT NULL,
    started_at        INTEGER NOT NULL,               -- UTC microseconds, as every time here
    ended_at          INTEGER,
    outcome           TEXT,                           -- verified | retry | error
    decision          TEXT,                           -- the decision, or the error, as JSON
    next_seq          INTEGER NOT NULL DEFAULT 0,
    head              TEXT NOT NULL                   -- hash of the chain's last entry
);
CREATE INDEX verification_job ON verification (job_id, started_at);

-- The verification log. Append-only: the triggers below refuse everything else.
CREATE TABLE log (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id          TEXT NOT NULL,
    verification_id TEXT NOT NULL REFERENCES verification (id),
    seq             INTEGER NOT NULL,
    type            TEXT NOT NULL CHECK (type IN ('info', 'reasoning', 'result')),
    content         TEXT NOT NULL,
    audience        TEXT NOT NULL CHECK (audience IN ('public', 'operator')),
    created_at      INTEGER NOT NULL,
    salt            BLOB NOT NULL,
    hash            TEXT NOT NULL,
    UNIQUE (verification_id, seq)
);
CREATE INDEX log_job ON log (job_id, id);

CREATE TRIGGER log_no_update BEFORE UPDATE ON log
BEGIN
    SELECT RAISE(ABORT, 'the verification log is append-only');
END;
CREATE TRIGGER log_no_delete BEFORE DELETE ON log
BEGIN
    SELECT RAISE(ABORT, 'the verification log is append-only');
END;
CREATE TRIGGER verification_no_delete BEFORE DELETE ON verification
BEGIN
    SELECT RAISE(ABORT, 'verifications are kept');
END;
CREATE TRIGGER verification_is_what_it_began_as
BEFORE UPDATE OF id, job_id, attempt, cause, plan_name, plan_digest, submission_digest, started_at ON verification
BEGIN
    SELECT RAISE(ABORT, 'what a verification is about never changes');
END;
CREATE TRIGGER verification_ends_once BEFORE UPDATE ON verification WHEN OLD.ended_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'the verification has ended');
END;

-- The marketplace's five fields, as the public may see them.
CREATE VIEW verification_log AS
    SELECT id, job_id, type, content, created_at FROM log WHERE audience = 'public';
