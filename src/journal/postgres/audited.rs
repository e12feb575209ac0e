//! What is audited, and the rows of one verification, nothing of them believed.

use jiff::Timestamp;

use super::erasures::Erasure;
use super::time::Time;
use crate::checkpoint::Leaf;
use crate::entry::{LogEntry, VerificationId};
use crate::job::JobId;
use crate::journal::VerificationRow;

/// Which verifications are audited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every one.
    All,
    /// Those that began since then.
    Since(Timestamp),
    /// Those of a job.
    Job(JobId),
}

impl Scope {
    pub(super) fn job(&self) -> Option<&str> {
        match self {
            Self::Job(job) => Some(job.as_str()),
            Self::All | Self::Since(_) => None,
        }
    }

    pub(super) fn since(&self) -> Option<Time> {
        match self {
            Self::Since(since) => Some(Time(*since)),
            Self::All | Self::Job(_) => None,
        }
    }
}

/// A row of `assay.decision`, nothing of it believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedDecision {
    /// The job, by the row.
    pub job_id: String,
    /// The attempt, by the row.
    pub attempt: u32,
    /// `submission` or `dispute`, by the row.
    pub trigger: String,
    /// The decision that it overturns, by the row.
    pub supersedes: Option<VerificationId>,
    /// Whether a decision of that id on the same job stands in the table; true where it overturns none.
    pub superseded_exists: bool,
    /// The answer, by the row.
    pub outcome: String,
    /// The message as it was published.
    pub message: Vec<u8>,
}

/// A row of `assay.settlement`, as far as it must fit its decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettlementRow {
    /// The job.
    pub job_id: String,
    /// The attempt.
    pub attempt: u32,
    /// The answer that was applied.
    pub outcome: String,
    /// The decision that was overturned with it.
    pub supersedes: Option<VerificationId>,
    /// What moved.
    pub moved: Moved,
    /// What had moved on the decision that was overturned.
    pub before: Option<Moved>,
}

/// Money that a settlement moved, by its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// What became of the job, as [`Effect`](crate::journal::Effect) writes it.
    pub effect: String,
    /// Who was paid or refunded, or had to give back.
    pub paid_user: Option<String>,
    /// Cents of it.
    pub amount_cents: i64,
    /// Who took the fee, or gave it back.
    pub fee_user: Option<String>,
    /// Cents of it.
    pub fee_cents: i64,
}

/// A checkpoint by number, a place in its tree, and what was sealed there.
pub type Sealed = (u64, u32, Leaf);

/// A verification with all that says something of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Audited {
    /// Its row.
    pub row: VerificationRow,
    /// When it ended; none while it runs.
    pub ended_at: Option<Timestamp>,
    /// Length of the chain, as recorded when it ended.
    pub recorded_entries: Option<u32>,
    /// Who took it over, and whether that is a verification of the same attempt.
    pub taken_over_by: Option<(VerificationId, bool)>,
    /// Its log.
    pub entries: Vec<LogEntry>,
    /// Its decision.
    pub decision: Option<AuditedDecision>,
    /// What was settled on it.
    pub settlement: Option<SettlementRow>,
    /// The checkpoints that sealed it, its place there, and what was sealed, in their order.
    pub sealed: Vec<Sealed>,
    /// The message of what was handed in, as it is kept.
    pub hand_in: Option<Vec<u8>>,
    /// The tombstones of its attempt.
    pub erasures: Vec<Erasure>,
}

impl Audited {
    /// Whether it came to `verified` or `retry`.
    pub fn has_answer(&self) -> bool {
        matches!(self.row.outcome.as_deref(), Some("verified" | "retry"))
    }
}
