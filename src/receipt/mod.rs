//! The receipt of a decision: what settlement pays on.
//!
//! A worker signs with its [`SigningKey`]; settlement checks against a [`TrustFile`] that only settlement reads. The form is
//! that of DESIGN.md section 3: a change of the signed fields needs another prefix.

mod key;
mod trust;

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::{Digest, FieldHasher};
use crate::entry::VerificationId;
use crate::job::JobId;
use crate::outcome::Outcome;
use crate::verdict::Score;
pub use key::{KeyError, KeyId, SigningKey};
pub use trust::{KeyState, ReceiptFault, Trust, TrustError, TrustFile, TrustedKey};

/// Keeps signatures of receipts apart from whatever else a key may sign, and names the form of what is signed.
const PREFIX: &[u8] = b"assay-receipt-v1\0";

/// What a receipt may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Money may move on it.
    Settle,
    /// A desk run, or a verification again that nobody published: nothing moves.
    Preview,
}

impl Purpose {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settle => "settle",
            Self::Preview => "preview",
        }
    }
}

/// Why a verification was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// The work was handed in.
    Submission,
    /// Somebody disputes an earlier decision.
    Dispute,
}

impl Trigger {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submission => "submission",
            Self::Dispute => "dispute",
        }
    }
}

/// Says who decided what of which submission, signed.
///
/// [`Receipt::sign`] fills in `kid` and `signature`; before that they are empty, and [`TrustFile::check`] refuses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The key that signed.
    pub kid: String,
    /// The deployment that decided.
    pub deployment: String,
    /// What it may be used for.
    pub purpose: Purpose,
    /// Why the verification was made.
    pub trigger: Trigger,
    /// The verification whose decision this one overturns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<VerificationId>,
    /// The verification.
    pub verification_id: VerificationId,
    /// The job.
    pub job_id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// The answer.
    pub outcome: Outcome,
    /// The plan's score.
    pub score: Score,
    /// The user who would be paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<String>,
    /// The price in cents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_cents: Option<i64>,
    /// Digest of the plan with every script and prompt.
    pub plan: Digest,
    /// Digests of the runtimes that ran scripts, by their names.
    #[serde(default)]
    pub runtimes: BTreeMap<String, Digest>,
    /// Digest of what was handed in, as stated: settlement computes it again from the job's row.
    pub submission: Digest,
    /// Digest of what was judged: the hand-in with every collected file as measured.
    pub evidence: Digest,
    /// Digest of what was asked for: title, prompt, description and requirements.
    pub task: Digest,
    /// Last hash of the verification's log.
    pub log_head: Digest,
    /// When it was decided.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub decided_at: Timestamp,
    /// Ed25519 over all of the above, in base64.
    pub signature: String,
}

impl Receipt {
    /// Signs it, in the name of `key`.
    #[must_use]
    pub fn sign(mut self, key: &SigningKey) -> Self {
        self.kid = key.id().to_string();
        self.signature = key.sign(&self.signed_bytes());
        self
    }

    /// Whether `key` has signed exactly this; says nothing of times and purposes, as [`TrustFile::check`] does.
    pub fn is_signed_by(&self, key: &TrustedKey) -> bool {
        self.kid == key.kid.as_str() && key.has_signed(&self.signed_bytes(), &self.signature)
    }

    /// What is signed: the prefix, then [`Receipt::digest`].
    fn signed_bytes(&self) -> Vec<u8> {
        [PREFIX, self.digest().as_bytes()].concat()
    }

    /// Digest of all fields but the signature, in the order of the type.
    pub fn digest(&self) -> Digest {
        let mut fields = FieldHasher::new("assay-receipt-v1")
            .text(&self.kid)
            .text(&self.deployment)
            .text(self.purpose.as_str())
            .text(self.trigger.as_str())
            .optional(self.supersedes.map(|id| id.to_string()).as_deref())
            .text(&self.verification_id.to_string())
            .text(self.job_id.as_str())
            .number(i64::from(self.attempt))
            .text(self.outcome.as_str())
            .number(i64::from(self.score.millionths()))
            .optional(self.receiver.as_deref())
            .optional(self.price_cents.map(|cents| cents.to_string()).as_deref())
            .bytes(self.plan.as_bytes())
            .number(i64::try_from(self.runtimes.len()).unwrap_or(i64::MAX));
        for (name, digest) in &self.runtimes {
            fields = fields.text(name).bytes(digest.as_bytes());
        }
        fields
            .bytes(self.submission.as_bytes())
            .bytes(self.evidence.as_bytes())
            .bytes(self.task.as_bytes())
            .bytes(self.log_head.as_bytes())
            .number(self.decided_at.as_microsecond())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One change to a receipt.
    type Change = fn(&mut Receipt);

    pub(super) fn receipt() -> Receipt {
        Receipt {
            kid: String::new(),
            deployment: "main".to_owned(),
            purpose: Purpose::Settle,
            trigger: Trigger::Submission,
            supersedes: None,
            verification_id: VerificationId::from(uuid::Uuid::from_u128(1)),
            job_id: JobId::new("job_1"),
            attempt: 2,
            outcome: Outcome::Verified,
            score: Score::ONE,
            receiver: Some("u2".to_owned()),
            price_cents: Some(1250),
            plan: Digest::of(b"plan"),
            runtimes: BTreeMap::from([("python".to_owned(), Digest::of(b"python"))]),
            submission: Digest::of(b"submission"),
            evidence: Digest::of(b"evidence"),
            task: Digest::of(b"task"),
            log_head: Digest::of(b"head"),
            decided_at: "2026-11-24T09:00:00.123456Z".parse().unwrap(),
            signature: String::new(),
        }
    }

    #[test]
    fn every_field_is_signed() {
        let original = receipt();
        let changes: [Change; 19] = [
            |receipt| receipt.kid = "k".to_owned(),
            |receipt| receipt.deployment.push('2'),
            |receipt| receipt.purpose = Purpose::Preview,
            |receipt| receipt.trigger = Trigger::Dispute,
            |receipt| receipt.supersedes = Some(receipt.verification_id),
            |receipt| receipt.verification_id = VerificationId::from(uuid::Uuid::from_u128(2)),
            |receipt| receipt.job_id = JobId::new("job_2"),
            |receipt| receipt.attempt = 3,
            |receipt| receipt.outcome = Outcome::Retry,
            |receipt| receipt.score = Score::ZERO,
            |receipt| receipt.receiver = None,
            |receipt| receipt.price_cents = Some(1251),
            |receipt| receipt.plan = Digest::of(b"other"),
            |receipt| receipt.runtimes.clear(),
            |receipt| receipt.submission = Digest::of(b"other"),
            |receipt| receipt.evidence = Digest::of(b"other"),
            |receipt| receipt.task = Digest::of(b"other"),
            |receipt| receipt.log_head = Digest::of(b"other"),
            |receipt| receipt.decided_at = "2026-11-24T09:00:00.123457Z".parse().unwrap(),
        ];
        let mut seen = vec![original.signed_bytes()];
        for change in changes {
            let mut changed = original.clone();
            change(&mut changed);
            let bytes = changed.signed_bytes();
            assert!(!seen.contains(&bytes), "{changed:?}");
            seen.push(bytes);
        }
    }

    #[test]
    fn the_signed_bytes_are_those_of_version_1() {
        // Receipts outlive programs: whoever changes this text changes the contract.
        insta::assert_snapshot!(
            hex::encode(receipt().signed_bytes()),
            @"61737361792d726563656970742d763100a23a9356fe2ab718a8c2208b2bb37b702ea7bbc2199712287f722316b7fa6bda"
        );
    }
}
