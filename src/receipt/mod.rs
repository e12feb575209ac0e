//! The receipt of a decision: what settlement pays on.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::job::JobId;
use crate::outcome::Outcome;
use crate::verdict::Score;

/// What a receipt may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Money may move on it.
    Settle,
    /// A desk run, or a verification again that nobody published: nothing moves.
    Preview,
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

/// Says who decided what of which submission, signed.
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
    /// Digest of what was judged.
    pub submission: Digest,
    /// Last hash of the verification's log.
    pub log_head: Digest,
    /// When it was decided.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub decided_at: Timestamp,
    /// Ed25519 over all of the above, in base64.
    pub signature: String,
}
