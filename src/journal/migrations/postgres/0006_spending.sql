-- Calls of models that were begun and are not kept yet, at what they may cost: they count against the ceilings. Where a process
-- dies in between, the row stays, for the call may have been paid. Bookkeeping, no evidence: that is assay.model_call.
CREATE TABLE assay.call_begun (
    id              uuid        PRIMARY KEY,          -- the call's
    job_id          text        NOT NULL,
    cost_microcents bigint      NOT NULL CHECK (cost_microcents >= 0),
    started_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX call_begun_job ON assay.call_begun (job_id);

-- A call that is kept is under way no more.
CREATE FUNCTION assay.call_has_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM assay.call_begun b WHERE b.id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER model_call_ends AFTER INSERT ON assay.model_call
    FOR EACH ROW EXECUTE FUNCTION assay.call_has_ended();

-- Notes a call where the ceilings leave room for it; where they do not, says what was spent, calls under way counted. One after
-- the other: each of the statements below sees what whoever held the lock before has written.
CREATE FUNCTION assay.reserve_spending(call uuid, job text, more bigint, max_on_job bigint, max_today bigint,
    OUT is_reserved boolean, OUT on_job bigint, OUT today bigint, OUT under_way_on_job bigint) LANGUAGE plpgsql AS $$
DECLARE
    day CONSTANT timestamptz := date_trunc('day', now(), 'UTC');
BEGIN
    IF max_on_job IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('assay-spending-job ' || job, 0));
    END IF;
    IF max_today IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('assay-spending-day', 0));
    END IF;
    SELECT coalesce(sum(b.cost_microcents) FILTER (WHERE b.job_id = job), 0),
           coalesce(sum(b.cost_microcents) FILTER (WHERE b.started_at >= day), 0)
    INTO under_way_on_job, today FROM assay.call_begun b;
    SELECT under_way_on_job + coalesce(sum(c.cost_microcents), 0) INTO on_job
    FROM assay.model_call c WHERE c.job_id = job;
    IF max_today IS NOT NULL THEN
        SELECT today + coalesce(sum(c.cost_microcents), 0) INTO today
        FROM assay.model_call c WHERE c.cost_microcents > 0 AND c.started_at >= day;
    END IF;
    is_reserved := coalesce(on_job + more <= max_on_job, true) AND coalesce(today + more <= max_today, true);
    IF is_reserved THEN
        INSERT INTO assay.call_begun (id, job_id, cost_microcents) VALUES (call, job, more);
    END IF;
END $$;
