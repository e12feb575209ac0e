//! What is written of a verification when it ends.

use std::time::Duration;

use jiff::Timestamp;

use super::outbox::OutboxId;
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::job::JobId;
use crate::journal::Chain;
use crate::outcome::Outcome;

/// Who writes: the claim and its fencing token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The verification.
    pub id: VerificationId,
    /// The job.
    pub job_id: JobId,
    /// The attempt.
    pub attempt: u32,
}

/// What a claim becomes when its verification ends.
#[derive(Debug, Clone, PartialEq)]
pub enum EndingState {
    /// Decided: the message is published from now on, and again after the time of a lease, until it is confirmed.
    Decided {
        /// The answer.
        outcome: Outcome,
        /// The outcome message with its receipt.
        message: Vec<u8>,
        /// W3C trace context.
        traceparent: Option<String>,
    },
    /// Comes back.
    Waits {
        /// When.
        after: Duration,
        /// Whether it counts as a try.
        counts: bool,
        /// Digest of the URL of an attachment that answered 404 or 410.
        not_found: Option<Digest>,
        /// Whether it waits for a judge: then a delivery of the judges' lane may take it before its time.
        for_judge: bool,
    },
    /// Set aside for a person.
    Parked {
        /// Why, in kebab-case.
        reason: &'static str,
        /// Why, for the operator.
        detail: String,
    },
    /// Closed without a decision.
    Closed,
}

/// The end of a verification.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// Which.
    pub of: Written,
    /// What its claim becomes.
    pub state: EndingState,
    /// How it ended, in one word: `verified`, `retry`, `error`, `closed`.
    pub outcome: &'static str,
    /// The error, as JSON, where it came to one. A decision is kept with its message.
    pub error: Option<String>,
    /// Where its chain ends.
    pub chain: Chain,
    /// When.
    pub at: Timestamp,
}

/// What became of an ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It is committed. Where it decided, its outcome stands in this row of the outbox.
    Committed(OutboxId),
    /// The claim was no longer held, and nothing was written.
    NotHeld,
}

impl Ended {
    /// Whether it is committed.
    pub fn is_committed(self) -> bool {
        matches!(self, Self::Committed(_))
    }
}
