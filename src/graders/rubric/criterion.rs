//! One thing that a judge is asked about.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::plan::Issue;

/// Longest text of a criterion in bytes.
const MAX_CRITERION_BYTES: usize = 4 * 1024;

/// Largest weight, either way: sums of weights stay exact enough for a score in millionths.
const MAX_WEIGHT: f64 = 1e6;

/// One thing that the judge is asked about.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Criterion {
    /// Unique within the grader; letters, digits, `-`, `_` and `.`.
    pub(super) id: String,
    /// What must be (or, with a negative weight, must not be) there.
    pub(super) text: String,
    /// Points that it gives when it is met.
    pub(super) weight: f64,
    /// Whether the grader fails without it, whatever the score.
    pub(super) required: bool,
    /// What the judge must show for saying that it is met.
    pub(super) evidence: EvidenceWanted,
    /// Whether its id is kept from the submitter.
    pub(super) hidden: bool,
}

impl Criterion {
    /// Whether an answer is what the sender hopes for: met, or for a negative weight not met.
    pub(super) fn fulfilled(&self, met: bool) -> bool {
        met == (self.weight > 0.0)
    }
}

/// What a judge must show for saying that a criterion is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum EvidenceWanted {
    /// Words of the submission, which are looked up there.
    Quote,
    /// The name of a file that was handed in.
    Attachment,
    /// Nothing.
    None,
}

/// One thing that the judge is asked about.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Criterion")]
#[serde(deny_unknown_fields)]
pub(super) struct CriterionText {
    /// Unique within the grader.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    id: String,
    /// What must be there or, with a negative weight, must not be there.
    #[schemars(length(min = 1))]
    text: String,
    /// Points when it is met; negative for what must not be there, never zero.
    #[serde(default = "one")]
    #[schemars(range(min = -MAX_WEIGHT, max = MAX_WEIGHT), extend("not" = {"const": 0}))]
    weight: f64,
    /// Whether the grader fails without it, whatever the score.
    #[serde(default)]
    required: bool,
    /// What the judge must show for saying that it is met. Left out: `quote` for a positive weight, else `none`.
    #[serde(default)]
    evidence: Option<EvidenceWanted>,
    /// Whether its id is kept from the submitter.
    #[serde(default)]
    hidden: bool,
}

fn one() -> f64 {
    1.0
}

impl Criterion {
    /// Checks what a plan says of a criterion.
    pub(super) fn checked(text: CriterionText) -> Result<Self, Issue> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.id.is_empty() || text.id.len() > 64 || !text.id.chars().all(plain) {
            return Err(Issue::new(
                "id",
                "must be 1 to 64 letters, digits, `-`, `_` or `.`",
            ));
        }
        if text.text.trim().is_empty() || text.text.len() > MAX_CRITERION_BYTES {
            let message = format!("must say what is judged, in at most {MAX_CRITERION_BYTES} bytes");
            return Err(Issue::new("text", message));
        }
        if !text.weight.is_finite() || text.weight == 0.0 || text.weight.abs() > MAX_WEIGHT {
            let message = format!("must be a finite number other than zero, at most {MAX_WEIGHT} either way");
            return Err(Issue::new("weight", message));
        }
        // What must not be there has no words to quote where all is well.
        let default = if text.weight > 0.0 {
            EvidenceWanted::Quote
        } else {
            EvidenceWanted::None
        };
        Ok(Self {
            id: text.id,
            text: text.text,
            weight: text.weight,
            required: text.required,
            evidence: text.evidence.unwrap_or(default),
            hidden: text.hidden,
        })
    }
}
