//! From a decision to the signed message that carries it.

use jiff::Timestamp;

use super::intake::HandIn;
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::message::{OutcomeMessage, VERSION};
use crate::outcome::{Decision, Verification};
use crate::receipt::{Purpose, Receipt, SigningKey, Trigger};

/// Who signs, and for which deployment.
pub struct Signer {
    /// The key.
    pub key: SigningKey,
    /// The deployment's name.
    pub deployment: String,
}

impl Signer {
    /// The outcome message of a decision on what was handed in. `log_head` is the end of the verification's chain, so that
    /// the receipt vouches for the whole log.
    pub(super) fn outcome(
        &self,
        id: VerificationId,
        hand_in: &HandIn,
        (decision, verification): (&Decision, &Verification),
        log_head: Digest,
        decided_at: Timestamp,
    ) -> OutcomeMessage {
        let (job_id, attempt) = (&hand_in.submission.job_id, hand_in.submission.attempt);
        let receipt = Receipt {
            kid: String::new(),
            deployment: self.deployment.clone(),
            purpose: Purpose::Settle,
            trigger: Trigger::Submission,
            supersedes: None,
            verification_id: id,
            job_id: job_id.clone(),
            attempt,
            outcome: decision.outcome,
            score: decision.score,
            receiver: hand_in.receiver.clone(),
            price_cents: hand_in.price_cents,
            plan: decision.plan.digest,
            runtimes: verification.runtimes.clone(),
            submission: decision.submission,
            evidence: decision.evidence,
            log_head,
            decided_at,
            signature: String::new(),
        };
        OutcomeMessage {
            v: VERSION,
            outcome: decision.outcome,
            job_id: job_id.clone(),
            attempt,
            verification_id: id,
            trigger: Trigger::Submission,
            supersedes: None,
            score: decision.score,
            threshold: decision.threshold,
            graders: verification.graders.iter().cloned().map(Into::into).collect(),
            plan: decision.plan.clone(),
            decided_at,
            receipt: receipt.sign(&self.key),
        }
    }
}
