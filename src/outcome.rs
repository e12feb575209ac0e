//! The plan's overall answer, and what each grader contributed to it.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::plan::PlanRef;
use crate::verdict::{GradeError, Score};

/// The answer that moves money or the attempt counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The agent's owner is paid.
    Verified,
    /// The attempt counter moves.
    Retry,
}

impl Outcome {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Retry => "retry",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a verification ends, as fixtures expect it and reports say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// The submission is accepted.
    Verified,
    /// The submission is not accepted.
    Retry,
    /// No decision: the trouble is not the submitter's.
    Error,
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Verified => "verified",
            Self::Retry => "retry",
            Self::Error => "error",
        })
    }
}

impl From<Outcome> for Expect {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Verified => Self::Verified,
            Outcome::Retry => Self::Retry,
        }
    }
}

/// How a grader ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GraderEnd {
    /// It passed the submission.
    Pass,
    /// It failed the submission.
    Fail,
    /// It could not judge; never the submitter's doing.
    Error,
    /// It was not asked, because a gate had failed or a grader before it could not judge.
    Skipped,
}

impl GraderEnd {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Error => "error",
            Self::Skipped => "skipped",
        }
    }
}

/// What one grader said, in words that the submitter may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GraderReport {
    /// Its name in the plan.
    pub name: String,
    /// Its kind; `hand-in` for the built-in gate.
    pub kind: String,
    /// How it ended.
    pub verdict: GraderEnd,
    /// Its score; none where it gave no verdict.
    pub score: Option<Score>,
    /// Why.
    pub reason: String,
    /// How long it took, in milliseconds; decides nothing.
    #[serde(default)]
    pub millis: u64,
}

/// The plan's answer to a submission. Final.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The answer.
    pub outcome: Outcome,
    /// The weighted mean of the graders' scores; a grader that was skipped counts as zero.
    pub score: Score,
    /// The score that the plan asks for.
    pub threshold: f64,
    /// The plan that judged.
    pub plan: PlanRef,
    /// What was handed in, as stated.
    pub submission: Digest,
    /// What was judged: the hand-in with every collected file as measured.
    pub evidence: Digest,
}

/// How a verification ended: a decision, or trouble that was not the submitter's; with the graders' words
/// either way.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// The decision, if there is one.
    pub decision: Result<Decision, GradeError>,
    /// The graders in the plan's order, a failed built-in gate first.
    pub graders: Vec<GraderReport>,
    /// Digests of the interpreters that ran scripts, by the graders' names.
    pub runtimes: BTreeMap<String, Digest>,
}
