//! From a decision to the signed message that carries it.

use jiff::Timestamp;

use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::message::{OutcomeMessage, VERSION};
use crate::outcome::{Decision, Verification};
use crate::receipt::{Purpose, Receipt, SigningKey, Trigger};
use crate::submission::Submission;

/// Who signs, and for which deployment.
pub struct Signer {
    /// The key.
    pub key: SigningKey,
    /// The deployment's name.
    pub deployment: String,
}

/// A decision that is to be signed.
pub struct Unsigned<'a> {
    /// The verification.
    pub id: VerificationId,
    /// What was judged.
    pub submission: &'a Submission,
    /// Who would be paid.
    pub receiver: Option<&'a str>,
    /// How much, in cents.
    pub price_cents: Option<i64>,
    /// The decision.
    pub decision: &'a Decision,
    /// How it came about.
    pub verification: &'a Verification,
    /// The end of the verification's chain, so that the receipt vouches for the whole log.
    pub log_head: Digest,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// What the receipt may be used for.
    pub purpose: Purpose,
    /// The decision that this one overturns: then it is a dispute's.
    pub supersedes: Option<VerificationId>,
}

impl Signer {
    /// The outcome message of a decision.
    pub fn outcome(&self, unsigned: &Unsigned<'_>) -> OutcomeMessage {
        let Unsigned {
            id,
            submission,
            receiver,
            price_cents,
            decision,
            verification,
            log_head,
            decided_at,
            purpose,
            supersedes,
        } = *unsigned;
        let (job_id, attempt) = (&submission.job_id, submission.attempt);
        let trigger = match supersedes {
            Some(_) => Trigger::Dispute,
            None => Trigger::Submission,
        };
        let receipt = Receipt {
            kid: String::new(),
            deployment: self.deployment.clone(),
            purpose,
            trigger,
            supersedes,
            verification_id: id,
            job_id: job_id.clone(),
            attempt,
            outcome: decision.outcome,
            score: decision.score,
            receiver: receiver.map(str::to_owned),
            price_cents,
            plan: decision.plan.digest,
            runtimes: verification.runtimes.clone(),
            submission: decision.submission,
            evidence: decision.evidence,
            task: submission.task.digest(),
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
            trigger,
            supersedes,
            score: decision.score,
            threshold: decision.threshold,
            graders: verification.graders.iter().cloned().map(Into::into).collect(),
            plan: decision.plan.clone(),
            decided_at,
            receipt: receipt.sign(&self.key),
        }
    }
}
