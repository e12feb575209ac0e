-- Who may use which share of what the pool may ask of models each minute. One row for each process that asked lately.
CREATE TABLE assay.budget (
    name text PRIMARY KEY                             -- whoever asks for a share of it holds this row's lock
);
CREATE TABLE assay.share (
    budget      text             NOT NULL REFERENCES assay.budget,
    holder      text             NOT NULL,
    wanted      double precision NOT NULL,
    share       double precision NOT NULL CHECK (share BETWEEN 0 AND 1),
    until       timestamptz      NOT NULL,
    -- The largest share of a lease that was replaced and has not ended yet.
    older_share double precision NOT NULL DEFAULT 0,
    older_until timestamptz      NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (budget, holder)
);
-- Tokens that calls used lately or are about to use, by the second in which they are used. Rows live about a minute.
CREATE TABLE assay.tokens (
    budget text        NOT NULL REFERENCES assay.budget,
    second bigint      NOT NULL,                      -- since 1970
    last   timestamptz NOT NULL,                      -- when the last of them are used
    tokens bigint      NOT NULL CHECK (tokens >= 0),
    PRIMARY KEY (budget, second)
);
-- Processes whose next call waits for its tokens, in the order in which they asked.
CREATE TABLE assay.token_wait (
    budget text        NOT NULL REFERENCES assay.budget,
    holder text        NOT NULL,
    tokens bigint      NOT NULL CHECK (tokens >= 0),
    since  timestamptz NOT NULL,
    until  timestamptz NOT NULL,                      -- whoever has not asked again until then has lost its place
    PRIMARY KEY (budget, holder)
);
