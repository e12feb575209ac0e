-- Calls of models that were begun and are not kept yet, at what they may cost: they count against the ceilings. Where the
-- process dies in between, the row stays, for the call may have been paid.
CREATE TABLE call_begun (
    id              TEXT PRIMARY KEY,                 -- the call's
    job_id          TEXT NOT NULL,
    cost_microcents INTEGER NOT NULL CHECK (cost_microcents >= 0),
    started_at      INTEGER NOT NULL
);

-- A call that is kept is under way no more.
CREATE TRIGGER model_call_ends AFTER INSERT ON model_call
BEGIN
    DELETE FROM call_begun WHERE id = NEW.id;
END;
