//! What the transition table may say, and what becomes of an outcome.

use crate::journal::JournalError;
use crate::journal::postgres::market::Movement;

/// What applying a decision did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The receiver was paid.
    Paid,
    /// The job is open again.
    Requeued,
    /// The job has failed, the sender has his money back.
    Failed,
    /// A payment was taken back, the job is open again.
    ReversedRequeued,
    /// A payment was taken back, the job has failed, the sender has his money back.
    ReversedFailed,
}

impl Effect {
    /// Every effect.
    pub const ALL: [Self; 5] = [
        Self::Paid,
        Self::Requeued,
        Self::Failed,
        Self::ReversedRequeued,
        Self::ReversedFailed,
    ];

    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Requeued => "requeued",
            Self::Failed => "failed",
            Self::ReversedRequeued => "reversed-requeued",
            Self::ReversedFailed => "reversed-failed",
        }
    }

    /// What it does to the job's row. Literals, since a marketplace's status may be an enum of its own.
    pub(super) fn assignments(self) -> &'static str {
        match self {
            Self::Paid => "status = 'verified'",
            Self::Requeued | Self::ReversedRequeued => {
                "status = 'queued', attempt_count = attempt_count + 1, held_by_agent_id = NULL, receiver = NULL,
                 receiver_agent_id = NULL, accepted_at = NULL, deadline_at = NULL, output_text = NULL,
                 output_attachments = DEFAULT"
            }
            Self::Failed | Self::ReversedFailed => "status = 'failed', attempt_count = attempt_count + 1",
        }
    }
}

/// Why an outcome waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldReason {
    /// Settlement is paused.
    Paused,
    /// The price is above what is paid without asking.
    Price,
    /// Too much was paid in the last hour.
    Rate,
}

impl HoldReason {
    pub(super) const ALL: [Self; 3] = [Self::Paused, Self::Price, Self::Rate];

    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Price => "price",
            Self::Rate => "rate",
        }
    }
}

/// What the transition table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// Nothing: it was applied before.
    AlreadyApplied,
    /// The job's row and the money change.
    Apply(Change),
    /// It waits.
    Hold {
        /// For what.
        reason: HoldReason,
        /// The job's price in cents.
        price_cents: i64,
    },
    /// A person looks at it; nothing moves.
    Except(NewException),
}

/// A change of job and money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it does, and what it does to the job.
    pub effect: Effect,
    /// The money that moves.
    pub movements: Vec<Movement>,
    /// Who is paid, refunded, or has to give back.
    pub user: Option<String>,
    /// Cents of it.
    pub amount_cents: i64,
    /// Who takes the fee, or gives it back.
    pub fee_user: Option<String>,
    /// Cents of it.
    pub fee_cents: i64,
}

/// An exception to be noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewException {
    /// A word, in kebab-case.
    pub reason: &'static str,
    /// More about it.
    pub detail: String,
}

/// What became of an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It was applied.
    Applied(Effect),
    /// It had been applied before.
    Already,
    /// It waits.
    Held(HoldReason),
    /// It is an exception: a person looks at it.
    Exception(&'static str),
}

impl Settled {
    /// In a word or two.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Applied(effect) => effect.as_str(),
            Self::Already => "applied before",
            Self::Held(reason) => reason.as_str(),
            Self::Exception(reason) => reason,
        }
    }
}

/// A word of the database.
pub(super) fn word<T: Copy, const COUNT: usize>(
    text: &str,
    all: [T; COUNT],
    as_str: fn(T) -> &'static str,
) -> Result<T, JournalError> {
    all.into_iter()
        .find(|word| as_str(*word) == text)
        .ok_or_else(|| JournalError::Damaged(format!("the word `{text}`")))
}
