//! Claims: who may grade a submission. A claim keeps the submission, its lease runs on the database's clock, and the
//! verification's id is the fencing token of whoever holds it.

mod group;
mod one;

use std::sync::Arc;
use std::time::Duration;

use super::outbox::OutboxId;
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::journal::NewVerification;
use crate::outcome::Outcome;
pub use group::Claims;
pub(super) use one::{outcome_of, stored_outcome, take_over};

/// Runs that never ended, after which a submission is suspected of killing its worker and runs alone.
pub const SUSPECT_AFTER: u32 = 3;

/// A submission that somebody wants to grade.
#[derive(Debug, Clone)]
pub struct NewClaim {
    /// The run that would hold it.
    pub verification: NewVerification,
    /// Digest of how the message names its plan.
    pub plan_choice: Digest,
    /// The message, with the whole job.
    pub message: Arc<Vec<u8>>,
    /// W3C trace context of the message.
    pub traceparent: Option<String>,
    /// Whether the message comes from the judges' lane.
    pub has_judge: bool,
}

/// A claim that is held, and what is known of earlier runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// Runs begun without an end, this one included; more than [`SUSPECT_AFTER`]: it runs alone.
    pub starts: u32,
    /// Runs that ended in trouble of ours.
    pub tries: u32,
    /// The attachment whose host said last that it does not exist.
    pub not_found: Option<NotFound>,
    /// The run that was taken over, because its lease had ended.
    pub took_over: Option<VerificationId>,
    /// How long ago the submission was first claimed.
    pub received_ago: Duration,
    /// The message that was claimed first: what is judged, whatever the one at hand or the marketplace say by now. None where
    /// this claim is the first.
    pub kept: Option<Arc<Vec<u8>>>,
}

/// An attachment whose host says that it does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFound {
    /// Digest of its URL.
    pub file: Digest,
    /// Runs in which its host said so.
    pub times: u32,
    /// How long ago the first was.
    pub since: Duration,
}

/// A decision as it was stored, to be published again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOutcome {
    /// The verification that decided.
    pub verification_id: VerificationId,
    /// The answer.
    pub outcome: Outcome,
    /// The message with its receipt.
    pub message: Vec<u8>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// The row of the outbox that it stands in, as far as it is known.
    pub outbox: Option<OutboxId>,
}

/// What became of wanting a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimAnswer {
    /// It is ours.
    Held(Held),
    /// Somebody grades it, or it waits: come back after this long.
    Busy(Duration),
    /// It waits for a judge, and its message belongs into the judges' lane.
    ForJudge,
    /// It is decided.
    Decided(Box<StoredOutcome>),
    /// It is parked or closed already.
    Ended,
    /// The same attempt was claimed with other content.
    SubmissionChanged,
    /// The same attempt was claimed with another plan.
    PlanChanged,
    /// It has been run alone, and did not end even then.
    KillsWorkers,
}

pub(in crate::journal::postgres) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
