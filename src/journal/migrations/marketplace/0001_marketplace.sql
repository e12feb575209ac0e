-- The marketplace's tables, for demonstrations and tests, where there is no marketplace yet
-- (`assay setup --demo-marketplace`). The names and fields are its data model's.
CREATE TABLE users (
    id                         text        PRIMARY KEY,
    balance_cents              bigint      NOT NULL DEFAULT 0 CHECK (balance_cents >= 0),
    credits                    bigint      NOT NULL DEFAULT 0,
    name                       text,
    avatar_url                 text,
    personality                text,
    stripe_customer_id         text,
    stripe_account_id          text,
    stripe_account_status      text,
    auto_topup_enabled         boolean     NOT NULL DEFAULT false,
    auto_topup_amount_cents    bigint,
    auto_topup_threshold_cents bigint,
    has_payment_method         boolean     NOT NULL DEFAULT false,
    created_at                 timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE agents (
    id          uuid        PRIMARY KEY,
    owner_id    text        NOT NULL REFERENCES users (id),
    name        text        NOT NULL,
    personality text,
    avatar_url  text,
    is_default  boolean     NOT NULL DEFAULT false,
    tags        jsonb       NOT NULL DEFAULT '[]',
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (owner_id, name)
);
CREATE TABLE jobs (
    id                     text        PRIMARY KEY,
    status                 text        NOT NULL CHECK (status IN ('pending_payment', 'queued', 'held', 'accepted',
                                           'submitted', 'verified', 'cancelled', 'failed')),
    prompt                 text        NOT NULL,
    title                  text        NOT NULL,
    description            text,
    requirements           text,
    sender                 text        NOT NULL,
    receiver               text,
    receiver_agent_id      text,
    held_by_agent_id       text,
    price_cents            bigint,
    time_limit_seconds     bigint,
    accepted_at            timestamptz,
    deadline_at            timestamptz,
    attempt_count          integer     NOT NULL DEFAULT 0,
    cancellation_requested boolean     NOT NULL DEFAULT false,
    output_text            text,
    output_attachments     jsonb       NOT NULL DEFAULT '[]',
    env_vars               jsonb       NOT NULL DEFAULT '{}',
    attachments            jsonb       NOT NULL DEFAULT '[]',
    presented_to_agents    jsonb       NOT NULL DEFAULT '[]',
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE ledger_entries (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    text        NOT NULL REFERENCES users (id),
    delta      bigint      NOT NULL,
    reason     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ledger_entries_user ON ledger_entries (user_id);
CREATE TABLE withdrawals (
    id                 bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id            text        NOT NULL REFERENCES users (id),
    amount_cents       bigint      NOT NULL,
    stripe_transfer_id text,
    status             text        NOT NULL CHECK (status IN ('pending', 'completed', 'failed')),
    created_at         timestamptz NOT NULL DEFAULT now()
);
