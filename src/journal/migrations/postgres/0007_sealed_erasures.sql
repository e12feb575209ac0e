-- Checkpoints seal tombstones, too: who erased what, when and why can be neither changed nor taken away later.

ALTER TABLE assay.checkpoint
    ADD COLUMN erasures bigint,                       -- all that were on record; none where there were none
    ADD COLUMN erasures_digest bytea;                 -- chained over them, in the order of their ids

-- One at a time, so that ids are given in the order in which erasures are committed: whoever seals has seen all before.
CREATE FUNCTION assay.erase_in_turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('assay-erasure', 0));
    RETURN NULL;
END $$;
CREATE TRIGGER erasure_in_turn BEFORE INSERT ON assay.erasure
    FOR EACH STATEMENT EXECUTE FUNCTION assay.erase_in_turn();

-- The same lock first of all: an erasure that takes away plans locks their tables, and must not wait for its turn then.
ALTER FUNCTION assay.erase(text, integer, text, text) RENAME TO erase_alone;
CREATE FUNCTION assay.erase(job text, only_attempt integer, who text, why text)
    RETURNS TABLE (verifications bigint, entries bigint, files bigint, plans bytea[])
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('assay-erasure', 0));
    RETURN QUERY SELECT * FROM assay.erase_alone(job, only_attempt, who, why);
END $$;
REVOKE ALL ON FUNCTION assay.erase(text, integer, text, text) FROM PUBLIC;
