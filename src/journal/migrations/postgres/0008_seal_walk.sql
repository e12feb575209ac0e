-- How far the workers are with going through all verifications, over and over, for what their rounds did not find in its time.
CREATE TABLE assay.seal_walk (
    one       boolean     PRIMARY KEY DEFAULT true CHECK (one),
    place     uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',  -- the next part begins after it
    walked_at timestamptz NOT NULL DEFAULT '-infinity'                              -- when the last part was looked at
);
INSERT INTO assay.seal_walk DEFAULT VALUES;
