-- Outcomes that the broker has not confirmed yet: one row for each statement that decided, since a mark on each claim would
-- write all of them once more. What is left of a row when it is due is published again.
CREATE TABLE assay.outbox (
    id        uuid        PRIMARY KEY,
    due_at    timestamptz NOT NULL,
    decisions uuid[]      NOT NULL                    -- their verifications; a row without any is deleted
) WITH (toast_tuple_target = 8160, vacuum_truncate = off);
ALTER TABLE assay.outbox ALTER decisions SET STORAGE MAIN;
CREATE INDEX outbox_due ON assay.outbox (due_at);

-- Until now a decided claim was due as long as its outcome was not confirmed; from now on none is. What older workers still mark
-- so, until they are replaced, the sweeper moves.
LOCK TABLE assay.claim IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO assay.outbox (id, due_at, decisions)
SELECT verification_id, due_at, ARRAY[verification_id] FROM assay.claim WHERE state = 'decided' AND due_at IS NOT NULL;
UPDATE assay.claim SET due_at = NULL WHERE state = 'decided' AND due_at IS NOT NULL;

-- Every row is written again when it ends, and is longer then: both versions of a page's rows need more than twice the room of
-- the first.
ALTER TABLE assay.verification SET (fillfactor = 45);
