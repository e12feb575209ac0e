//! What settlement does not apply: nothing moves, a person looks at it.

use crate::job::JobStatus;
use crate::journal::NewException;
use crate::receipt::ReceiptFault;

/// Why an outcome was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Exception {
    /// The message is none of ours.
    #[error("the message cannot be read: {0}")]
    Undecodable(String),
    /// The receipt is not believed.
    #[error("{0}")]
    Receipt(#[from] ReceiptFault),
    /// The message says one thing and its receipt another.
    #[error("`{0}` of the message is not what its receipt says")]
    ReceiptDiffers(&'static str),
    /// No worker stored such a decision.
    #[error(
        "no worker has stored this decision, though its receipt is signed: look who holds the signing key"
    )]
    UnknownDecision,
    /// The worker stored the decision with another message.
    #[error("the message is not the one that was stored with the decision")]
    DecisionDiffers,
    /// The marketplace has no such job.
    #[error("the marketplace has no such job")]
    NoSuchJob,
    /// The job is not where the decision would find it.
    #[error("the job is `{status}` at attempt {attempt}; the decision is about attempt {decided}")]
    MovedOn {
        /// Where it stands.
        status: &'static str,
        /// Its attempt.
        attempt: u32,
        /// The decision's attempt.
        decided: u32,
    },
    /// A decision that overturns this one, or the same one as this, was applied.
    #[error("a decision that overturns it, or overturned the same one, was applied already")]
    Overturned,
    /// The job has another receiver.
    #[error("the job's receiver is {found}, the receipt names {signed}")]
    ReceiverDiffers {
        /// The job's.
        found: String,
        /// The receipt's.
        signed: String,
    },
    /// The job has another price.
    #[error("the job's price is {found}, the receipt names {signed} cents")]
    PriceDiffers {
        /// The job's.
        found: String,
        /// The receipt's.
        signed: String,
    },
    /// Something else was handed in.
    #[error("what was handed in is not what was judged")]
    SubmissionDiffers,
    /// A price below zero.
    #[error("the price is below zero")]
    Price,
    /// Nobody can be paid.
    #[error("the job has no receiver")]
    NoReceiver,
    /// A user whose money would move does not exist.
    #[error("the marketplace has no user `{0}`")]
    NoSuchUser(String),
    /// What was paid cannot be taken back.
    #[error("`{user}` has {balance} cents, {needed} are to be given back")]
    BalanceTooLow {
        /// The user.
        user: String,
        /// His balance in cents.
        balance: i64,
        /// What is needed, in cents.
        needed: i64,
    },
    /// A sum that no account can hold.
    #[error("the balance of `{0}` would not fit")]
    Overflow(String),
    /// A row of the database is not what it should be.
    #[error("the database holds what cannot be read: {0}")]
    Damaged(String),
    /// The database does not take it.
    #[error("the database refuses it: {0}")]
    Refused(String),
}

impl Exception {
    /// The reason in a word, in kebab-case.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Undecodable(_) => "undecodable",
            Self::Receipt(fault) => fault.as_str(),
            Self::ReceiptDiffers(_) => "receipt-differs",
            Self::UnknownDecision => "unknown-decision",
            Self::DecisionDiffers => "decision-differs",
            Self::NoSuchJob => "no-such-job",
            Self::MovedOn { .. } => "moved-on",
            Self::Overturned => "overturned",
            Self::ReceiverDiffers { .. } => "receiver-differs",
            Self::PriceDiffers { .. } => "price-differs",
            Self::SubmissionDiffers => "submission-differs",
            Self::Price => "price",
            Self::NoReceiver => "no-receiver",
            Self::NoSuchUser(_) => "no-such-user",
            Self::BalanceTooLow { .. } => "balance-too-low",
            Self::Overflow(_) => "overflow",
            Self::Damaged(_) => "damaged",
            Self::Refused(_) => "refused",
        }
    }
}

impl From<Exception> for NewException {
    fn from(exception: Exception) -> Self {
        Self {
            reason: exception.as_str(),
            detail: exception.to_string(),
        }
    }
}

/// The marketplace's word for a status.
pub(super) fn status_word(status: JobStatus) -> &'static str {
    match status {
        JobStatus::PendingPayment => "pending_payment",
        JobStatus::Queued => "queued",
        JobStatus::Held => "held",
        JobStatus::Accepted => "accepted",
        JobStatus::Submitted => "submitted",
        JobStatus::Verified => "verified",
        JobStatus::Cancelled => "cancelled",
        JobStatus::Failed => "failed",
    }
}
