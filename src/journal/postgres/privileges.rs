//! Whether the role that a process runs as may do its work, and not more: `deploy/roles.sql` from the other side.

use sqlx::Row as _;

use super::PgJournal;
use crate::journal::JournalError;

/// What a process does with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// `assay work`.
    Worker,
    /// `assay settle`.
    Settlement,
    /// `assay reverify`.
    Arbiter,
}

/// What the role of this connection may do and should not, or should and may not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Privileges {
    /// The role.
    pub role: String,
    /// What it lacks, e.g. `INSERT on assay.log`.
    pub missing: Vec<String>,
    /// What it had better not have, e.g. `UPDATE on assay.log`: whoever takes the process over has it too.
    pub excess: Vec<String>,
}

/// A privilege on tables, or on some of their columns where they are named.
type Grant = (&'static [&'static str], &'static str, &'static [&'static str]);

const APPENDED: &[&str] = &["assay.log", "assay.decision", "assay.hand_in", "assay.model_call"];
const KEPT: &[&str] = &["assay.claim", "assay.verification", "assay.parked"];
const OUTBOX: &[&str] = &["assay.outbox"];
const PLANS: &[&str] = &["assay.artifact", "assay.plan", "assay.plan_file"];
const DISPUTES: &[&str] = &[
    "assay.dispute",
    "assay.preview",
    "assay.dispute_set",
    "assay.dispute_item",
    "assay.dispute_outcome",
];
const SHARED: &[&str] = &["assay.budget", "assay.share", "assay.tokens", "assay.token_wait"];
const BEGUN: &[&str] = &["assay.call_begun"];
const SEALED: &[&str] = &["assay.checkpoint", "assay.checkpoint_leaf", "assay.evidence"];
const SETTLED: &[&str] = &["assay.settlement", "assay.held", "assay.exception"];

const WORKER: &[Grant] = &[
    (&["assay.migration"], "SELECT", &[]),
    (APPENDED, "SELECT", &[]),
    (APPENDED, "INSERT", &[]),
    (KEPT, "SELECT", &[]),
    (KEPT, "INSERT", &[]),
    (&["assay.claim"], "UPDATE", CLAIM_COLUMNS),
    (OUTBOX, "SELECT", &[]),
    (OUTBOX, "INSERT", &[]),
    (OUTBOX, "UPDATE", &["due_at", "decisions"]),
    (OUTBOX, "DELETE", &[]),
    (&["assay.verification"], "UPDATE", VERIFICATION_COLUMNS),
    (&["assay.parked"], "UPDATE", PARKED_COLUMNS),
    (PLANS, "SELECT", &[]),
    (PLANS, "INSERT", &[]),
    (&["assay.dispute_outcome"], "SELECT", &[]),
    (&["assay.dispute_outcome"], "UPDATE", &["confirmed_at"]),
    (BEGUN, "SELECT", &[]),
    (BEGUN, "INSERT", &[]),
    (BEGUN, "DELETE", &[]),
    (SHARED, "SELECT", &[]),
    (SHARED, "INSERT", &[]),
    (&["assay.budget"], "UPDATE", &[]),
    (
        &["assay.share", "assay.tokens", "assay.token_wait"],
        "DELETE",
        &[],
    ),
    (&["assay.tokens"], "UPDATE", &["last", "tokens"]),
    (&["assay.token_wait"], "UPDATE", &["tokens", "since", "until"]),
    (&["assay.share"], "UPDATE", SHARE_COLUMNS),
    (SEALED, "SELECT", &[]),
    (&["assay.erasure", "assay.seal_walk"], "SELECT", &[]),
    (&["assay.seal_walk"], "UPDATE", &["place", "walked_at"]),
    (SEALED, "INSERT", &[]),
    (&["assay.evidence"], "UPDATE", &["state", "why"]),
    (&["assay.act"], "INSERT", &[]),
];
const CLAIM_COLUMNS: &[&str] = &[
    "state",
    "verification_id",
    "holder",
    "due_at",
    "starts",
    "for_judge",
    "tries",
    "not_found_file",
    "not_found",
    "first_not_found",
];
const SHARE_COLUMNS: &[&str] = &["wanted", "share", "until", "older_share", "older_until"];
const PARKED_COLUMNS: &[&str] = &[
    "noticed_at",
    "closed_at",
    "closed_as",
    "closed_by",
    "closed_reason",
];
const VERIFICATION_COLUMNS: &[&str] = &[
    "ended_at",
    "outcome",
    "decision",
    "entries",
    "head",
    "taken_over_by",
];
const WORKER_ON_MARKETPLACE: &[Grant] = &[(&["jobs"], "SELECT", &[])];
const WORKER_SHOULD_NOT: &[Grant] = &[
    (APPENDED, "UPDATE", &[]),
    (APPENDED, "DELETE", &[]),
    (APPENDED, "TRUNCATE", &[]),
    (&["assay.checkpoint", "assay.checkpoint_leaf"], "UPDATE", &[]),
    (SEALED, "DELETE", &[]),
    (PLANS, "UPDATE", &[]),
    (DISPUTES, "INSERT", &[]),
    (&["assay.erasure"], "INSERT", &[]),
    (&["assay.settlement", "ledger_entries"], "INSERT", &[]),
    (&["users"], "UPDATE", &[]),
];

const SETTLEMENT: &[Grant] = &[
    (
        &["assay.migration", "assay.decision", "assay.switch"],
        "SELECT",
        &[],
    ),
    (SETTLED, "SELECT", &[]),
    (SETTLED, "INSERT", &[]),
    (&["assay.held"], "UPDATE", &["reason", "released_at"]),
    (&["assay.exception"], "UPDATE", EXCEPTION_COLUMNS),
    (&["assay.act"], "INSERT", &[]),
];
const EXCEPTION_COLUMNS: &[&str] = &["closed_at", "closed_by", "closed_reason"];
const SETTLEMENT_ON_MARKETPLACE: &[Grant] = &[
    (&["jobs"], "SELECT", &[]),
    (&["jobs"], "UPDATE", JOB_COLUMNS),
    (&["users"], "SELECT", &["id", "balance_cents"]),
    (&["users"], "UPDATE", &["balance_cents"]),
    (&["ledger_entries"], "INSERT", &["user_id", "delta", "reason"]),
];
const JOB_COLUMNS: &[&str] = &[
    "status",
    "attempt_count",
    "held_by_agent_id",
    "receiver",
    "receiver_agent_id",
    "accepted_at",
    "deadline_at",
    "output_text",
    "output_attachments",
    "updated_at",
];
const SETTLEMENT_SHOULD_NOT: &[Grant] = &[
    (APPENDED, "INSERT", &[]),
    (&["assay.settlement"], "UPDATE", &[]),
    (&["assay.settlement"], "DELETE", &[]),
    (&["assay.settlement"], "TRUNCATE", &[]),
];

const ARBITER: &[Grant] = &[
    (
        &["assay.migration", "assay.switch", "assay.erasure"],
        "SELECT",
        &[],
    ),
    (APPENDED, "SELECT", &[]),
    (SETTLED, "SELECT", &[]),
    (PLANS, "SELECT", &[]),
    (PLANS, "INSERT", &[]),
    (BEGUN, "SELECT", &[]),
    (BEGUN, "INSERT", &[]),
    (BEGUN, "DELETE", &[]),
    (SHARED, "SELECT", &[]),
    (SHARED, "INSERT", &[]),
    (&["assay.budget"], "UPDATE", &[]),
    (
        &["assay.share", "assay.tokens", "assay.token_wait"],
        "DELETE",
        &[],
    ),
    (&["assay.tokens"], "UPDATE", &["last", "tokens"]),
    (&["assay.token_wait"], "UPDATE", &["tokens", "since", "until"]),
    (&["assay.share"], "UPDATE", SHARE_COLUMNS),
    (DISPUTES, "SELECT", &[]),
    (DISPUTES, "INSERT", &[]),
    (
        &[
            "assay.verification",
            "assay.log",
            "assay.model_call",
            "assay.decision",
            "assay.evidence",
        ],
        "INSERT",
        &[],
    ),
    (
        &["assay.verification"],
        "UPDATE",
        &["ended_at", "outcome", "decision", "entries", "head"],
    ),
    (
        &["assay.dispute_set"],
        "UPDATE",
        &["state", "ended_by", "ended_at"],
    ),
    (&["assay.dispute_item"], "UPDATE", &["verification_id", "error"]),
    (&["assay.dispute_outcome"], "UPDATE", &["confirmed_at"]),
    (&["assay.evidence"], "UPDATE", &["state", "why"]),
];
const ARBITER_ON_MARKETPLACE: &[Grant] = &[
    (&["jobs"], "SELECT", &[]),
    (&["users"], "SELECT", &["id", "balance_cents"]),
];
const ARBITER_SHOULD_NOT: &[Grant] = &[
    (APPENDED, "UPDATE", &[]),
    (APPENDED, "DELETE", &[]),
    (APPENDED, "TRUNCATE", &[]),
    (&["assay.dispute", "assay.preview"], "UPDATE", &[]),
    (&["assay.claim", "assay.hand_in"], "INSERT", &[]),
    (&["assay.settlement", "ledger_entries"], "INSERT", &[]),
    (&["users", "jobs"], "UPDATE", &[]),
];

impl Duty {
    fn needs(self) -> &'static [Grant] {
        match self {
            Self::Worker => WORKER,
            Self::Settlement => SETTLEMENT,
            Self::Arbiter => ARBITER,
        }
    }

    fn needs_of_marketplace(self) -> &'static [Grant] {
        match self {
            Self::Worker => WORKER_ON_MARKETPLACE,
            Self::Settlement => SETTLEMENT_ON_MARKETPLACE,
            Self::Arbiter => ARBITER_ON_MARKETPLACE,
        }
    }

    fn should_not(self) -> &'static [Grant] {
        match self {
            Self::Worker => WORKER_SHOULD_NOT,
            Self::Settlement => SETTLEMENT_SHOULD_NOT,
            Self::Arbiter => ARBITER_SHOULD_NOT,
        }
    }
}

impl PgJournal {
    /// What the role of this connection lacks for its duty, and what it had better not have. `marketplace`: the
    /// marketplace's tables are in this database.
    ///
    /// # Errors
    /// Where the database cannot be asked.
    pub async fn privileges(&self, duty: Duty, marketplace: bool) -> Result<Privileges, JournalError> {
        let market = if marketplace {
            duty.needs_of_marketplace()
        } else {
            &[]
        };
        let needed = self.held(duty.needs().iter().chain(market)).await?;
        let dangerous = self.held(duty.should_not().iter()).await?;
        let role = sqlx::query_scalar("SELECT current_user::text")
            .fetch_one(&self.pool())
            .await?;
        let named = |grants: Vec<(String, bool)>, wanted: bool| {
            grants
                .into_iter()
                .filter(|(_, held)| *held == wanted)
                .map(|(name, _)| name)
                .collect()
        };
        Ok(Privileges {
            role,
            missing: named(needed, false),
            excess: named(dangerous, true),
        })
    }

    /// Each privilege by name, and whether the role has it. A table that does not exist gives none.
    async fn held(&self, grants: impl Iterator<Item = &Grant>) -> Result<Vec<(String, bool)>, JournalError> {
        let (mut names, mut columns, mut privileges) = (Vec::new(), Vec::new(), Vec::new());
        for (tables, privilege, some) in grants {
            let some: Vec<_> = match some {
                [] => vec![None],
                some => some.iter().copied().map(Some).collect(),
            };
            for table in *tables {
                for column in &some {
                    names.push(*table);
                    columns.push(*column);
                    privileges.push(*privilege);
                }
            }
        }
        let rows = sqlx::query(
            "SELECT privilege || ' on ' || name || coalesce(' (' || col || ')', '') AS named,
                    coalesce(CASE
                        WHEN col IS NOT NULL THEN has_column_privilege(to_regclass(name), col, privilege)
                        WHEN privilege = 'UPDATE' THEN has_any_column_privilege(to_regclass(name), privilege)
                        ELSE has_table_privilege(to_regclass(name), privilege)
                    END, false) AS held
             FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (name, col, privilege)",
        )
        .bind(names)
        .bind(columns)
        .bind(privileges)
        .fetch_all(&self.pool())
        .await?;
        rows.iter()
            .map(|row| Ok((row.try_get("named")?, row.try_get("held")?)))
            .collect()
    }
}
