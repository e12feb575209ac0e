//! What a grader says of a submission, and what it says when the trouble was ours: two words never mixed.

mod grade_error;
mod score;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::entry::Audience;
pub use grade_error::{ErrorKind, GradeError, ParseErrorKindError, Recourse};
pub use score::{Score, ScoreError};

/// Something that a verdict rests on: a diff, a quote, a count of fuel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What it is, e.g. `diff`, `quote:tone`.
    pub label: String,
    /// Its content; bounded by who makes it.
    pub text: String,
    /// Who may read it.
    pub audience: Audience,
}

/// What ran, so that the verdict can be reproduced: part of promise 8.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Digest of the script, module or prompt that judged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub artifact: Option<Digest>,
    /// Digest of the interpreter that ran a script.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub runtime: Option<Digest>,
    /// Engine and its version, or the model as the server named it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub engine: Option<String>,
    /// Fuel used by a check: deterministic within one engine version.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fuel: Option<u64>,
    /// Peak memory of a check in bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peak_memory_bytes: Option<u64>,
    /// Where a model's answers came from: `live`, `record`, `replay` or `scripted`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub judge_mode: Option<String>,
}

/// What a grader says of the submission. Final and stored; never says anything of our own trouble.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Pass or fail.
    pub passed: bool,
    /// How good, from 0 to 1.
    pub score: Score,
    /// Why, in words that the submitter may read.
    pub reason: String,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
    /// What ran.
    pub provenance: Provenance,
}

impl Verdict {
    /// A pass with the full score.
    pub fn pass(reason: impl Into<String>) -> Self {
        Self::new(true, Score::ONE, reason)
    }

    /// A fail with no score.
    pub fn fail(reason: impl Into<String>) -> Self {
        Self::new(false, Score::ZERO, reason)
    }

    /// A verdict without evidence.
    pub fn new(passed: bool, score: Score, reason: impl Into<String>) -> Self {
        Self {
            passed,
            score,
            reason: reason.into(),
            evidence: Vec::new(),
            provenance: Provenance::default(),
        }
    }
}
