//! How a run ends: what its claim becomes, and what becomes of the message.

use std::time::Duration;

use super::Worker;
use super::delivery::{DeliveryError, Then};
use super::intake::HandIn;
use super::outcome::Unsigned;
use super::retry::{self, Next};
use crate::journal::{Chain, EndingState, Held, JournalError, Written};
use crate::outcome::Verification;
use crate::receipt::Purpose;
use crate::verdict::ErrorKind;

/// A job that has waited for a judge for so long is brought back by the sweeper when judges have nothing to do.
const JUDGES_LANE_PATIENCE: Duration = Duration::from_secs(20);

impl Worker {
    /// What the claim becomes, and what becomes of the message.
    pub(super) fn ending_state(
        &self,
        hand_in: &HandIn,
        verification: Option<&Verification>,
        held: &Held,
        (of, chain): (&Written, Chain),
    ) -> Result<(EndingState, Then), DeliveryError> {
        let Some(verification) = verification else {
            return Ok((EndingState::Closed, Then::Done));
        };
        let error = match &verification.decision {
            Ok(decision) => {
                let message = self.signer.outcome(&Unsigned {
                    id: of.id,
                    submission: &hand_in.submission,
                    receiver: hand_in.receiver.as_deref(),
                    price_cents: hand_in.price_cents,
                    decision,
                    verification,
                    log_head: chain.head,
                    decided_at: self.clock.now(),
                    purpose: Purpose::Settle,
                    supersedes: None,
                });
                let message =
                    serde_json::to_vec(&message).map_err(|error| JournalError::Damaged(error.to_string()))?;
                let state = EndingState::Decided {
                    outcome: decision.outcome,
                    message,
                    traceparent: hand_in.traceparent.clone(),
                };
                return Ok((state, Then::Done));
            }
            Err(error) => error,
        };
        let waits = |after, counts| EndingState::Waits {
            after,
            counts,
            not_found: error
                .about
                .filter(|_| error.kind == ErrorKind::AttachmentNotFoundYet),
            for_judge: error.kind == ErrorKind::JudgesBusy,
        };
        let kind = match error.kind {
            // Called off, though nobody stops: its log could not be written, or it was taken over.
            ErrorKind::Cancelled if !self.called_off.is_cancelled() => ErrorKind::Journal,
            kind => kind,
        };
        Ok(match retry::next(kind, held.tries) {
            Next::Later(wait) => (waits(wait.duration(), true), Then::Later(wait)),
            Next::JudgesLane => (waits(JUDGES_LANE_PATIENCE, false), Then::JudgesLane),
            Next::HandBack => (waits(Duration::ZERO, false), Then::HandBack),
            Next::Park => {
                let (reason, detail) = (error.kind.as_str(), error.message.clone());
                (EndingState::Parked { reason, detail }, Then::Done)
            }
        })
    }
}
