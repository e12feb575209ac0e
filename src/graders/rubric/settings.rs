//! What a plan may say of a rubric grader.

use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::Value;

use crate::plan::{FileHome, FileNeed, Issue};

/// More criteria in one question than a model answers with care.
const MAX_CRITERIA: usize = 100;

/// Longest text of a criterion in bytes.
const MAX_CRITERION_BYTES: usize = 4 * 1024;

/// Largest weight, either way: sums of weights stay exact enough for a score in millionths.
const MAX_WEIGHT: f64 = 1e6;

/// Largest budget of what is shown to a judge, in bytes.
const MAX_INPUT_BYTES: usize = 4 * 1024 * 1024;

/// A rubric grader's settings, checked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    /// Name of the prompt file.
    pub(super) prompt: String,
    /// The model to ask, else the operator's default.
    pub(super) model: Option<String>,
    /// What is judged, in the order written.
    pub(super) criteria: Vec<Criterion>,
    /// Score at which this grader passes.
    pub(super) pass_score: f64,
    /// Budget in bytes of the submission's text that is shown; the task has the same budget for itself.
    pub(super) max_input_bytes: usize,
    /// Whether a submission is judged of which not all is shown. Otherwise it is parked before a call is paid: work
    /// that nobody saw is not paid. A submitter can have work parked by padding it; that gains neither money nor an
    /// attempt, and a person looks at it.
    pub(super) partial: bool,
}

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

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SettingsText {
    /// The prompt, a file of `prompts/` without its `.md`.
    #[serde(default = "default_prompt")]
    prompt: String,
    /// The model to ask; the operator's default where it is left out.
    #[serde(default)]
    model: Option<String>,
    /// What is judged. At least one weight is above zero.
    #[schemars(length(min = 1, max = MAX_CRITERIA))]
    criteria: Vec<CriterionText>,
    /// Score from which this grader passes, above 0 and at most 1.
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pass_score: f64,
    /// Bytes of the hand-in that are shown to the model, at most.
    #[serde(default = "default_max_input_bytes")]
    #[schemars(range(min = 1, max = MAX_INPUT_BYTES))]
    max_input_bytes: usize,
    /// Whether to judge a hand-in by what fits where not all of it does. Otherwise a person has to look at it.
    #[serde(default)]
    partial: bool,
}

/// One thing that the judge is asked about.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Criterion")]
#[serde(deny_unknown_fields)]
struct CriterionText {
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

fn default_prompt() -> String {
    "rubric".to_owned()
}

fn one() -> f64 {
    1.0
}

fn default_max_input_bytes() -> usize {
    64 * 1024
}

/// What a plan may write.
pub(super) fn schema(generator: &mut SchemaGenerator) -> Schema {
    SettingsText::json_schema(generator)
}

/// Checks a grader's settings and says that it needs its prompt.
pub(super) fn check(settings: &Value) -> Result<Vec<FileNeed>, Issue> {
    let settings = Settings::from_value(settings)?;
    Ok(vec![FileNeed {
        key: "prompt",
        name: settings.prompt,
        home: FileHome::Prompts,
    }])
}

impl Settings {
    /// Reads and checks the settings.
    pub(super) fn from_value(value: &Value) -> Result<Self, Issue> {
        let text: SettingsText =
            serde_path_to_error::deserialize(value).map_err(|error| Issue::from_serde(&error))?;
        if text.model.as_ref().is_some_and(|model| model.trim().is_empty()) {
            let message = "must name a model; leave it out for the operator's default";
            return Err(Issue::new("model", message));
        }
        if !(text.pass_score > 0.0 && text.pass_score <= 1.0) {
            return Err(Issue::new("pass_score", "must be above 0 and at most 1"));
        }
        if !(1..=MAX_INPUT_BYTES).contains(&text.max_input_bytes) {
            let message = format!("must be from 1 to {MAX_INPUT_BYTES} bytes");
            return Err(Issue::new("max_input_bytes", message));
        }
        if text.criteria.is_empty() || text.criteria.len() > MAX_CRITERIA {
            let message = format!("a rubric needs 1 to {MAX_CRITERIA} criteria");
            return Err(Issue::new("criteria", message));
        }
        let mut ids = BTreeSet::new();
        let mut criteria = Vec::with_capacity(text.criteria.len());
        for (index, criterion) in text.criteria.into_iter().enumerate() {
            let criterion =
                Criterion::checked(criterion).map_err(|issue| issue.within(&format!("criteria[{index}]")))?;
            if !ids.insert(criterion.id.clone()) {
                let message = format!(
                    "another criterion is called `{}`: ids must be unique",
                    criterion.id
                );
                return Err(Issue::new(format!("criteria[{index}].id"), message));
            }
            criteria.push(criterion);
        }
        if !criteria.iter().any(|criterion| criterion.weight > 0.0) {
            let message = "at least one criterion needs a weight above zero: there is nothing to score by";
            return Err(Issue::new("criteria", message));
        }
        Ok(Self {
            prompt: text.prompt,
            model: text.model,
            criteria,
            pass_score: text.pass_score,
            max_input_bytes: text.max_input_bytes,
            partial: text.partial,
        })
    }
}

impl Criterion {
    fn checked(text: CriterionText) -> Result<Self, Issue> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn issue(value: Value) -> String {
        let issue = Settings::from_value(&value).unwrap_err();
        format!("{}: {}", issue.key, issue.message)
    }

    #[test]
    fn settings_left_out_have_their_defaults() {
        let settings = Settings::from_value(&json!({"criteria": [
            {"id": "tone", "text": "The tone is polite."},
            {"id": "spam", "text": "There is advertising.", "weight": -2},
        ]}))
        .unwrap();
        assert_eq!(settings.prompt, "rubric");
        assert_eq!(settings.max_input_bytes, 65_536);
        assert!((settings.pass_score - 1.0).abs() < f64::EPSILON);
        assert_eq!(settings.criteria[0].evidence, EvidenceWanted::Quote);
        assert_eq!(settings.criteria[1].evidence, EvidenceWanted::None);
    }

    #[test]
    fn each_mistake_is_named_with_its_key() {
        let good = json!({"id": "a", "text": "t"});
        insta::assert_snapshot!(issue(json!({})), @": missing field `criteria`");
        insta::assert_snapshot!(issue(json!({"criteria": []})), @"criteria: a rubric needs 1 to 100 criteria");
        insta::assert_snapshot!(issue(json!({"criteria": [good], "promt": "x"})), @"promt: unknown field `promt`, expected one of `prompt`, `model`, `criteria`, `pass_score`, `max_input_bytes`, `partial`");
        insta::assert_snapshot!(issue(json!({"criteria": [good, {"id": "b", "text": "t", "wieght": 2}]})), @"criteria[1].wieght: unknown field `wieght`, expected one of `id`, `text`, `weight`, `required`, `evidence`, `hidden`");
        insta::assert_snapshot!(issue(json!({"criteria": [good, {"id": "b", "text": "t", "weight": 0}]})), @"criteria[1].weight: must be a finite number other than zero, at most 1000000 either way");
        insta::assert_snapshot!(issue(json!({"criteria": [good, good]})), @"criteria[1].id: another criterion is called `a`: ids must be unique");
        insta::assert_snapshot!(issue(json!({"criteria": [{"id": "a b", "text": "t"}]})), @"criteria[0].id: must be 1 to 64 letters, digits, `-`, `_` or `.`");
        insta::assert_snapshot!(issue(json!({"criteria": [{"id": "a", "text": " "}]})), @"criteria[0].text: must say what is judged, in at most 4096 bytes");
        insta::assert_snapshot!(issue(json!({"criteria": [{"id": "a", "text": "t", "weight": -1}]})), @"criteria: at least one criterion needs a weight above zero: there is nothing to score by");
        insta::assert_snapshot!(issue(json!({"criteria": [{"id": "a", "text": "t", "evidence": "proof"}]})), @"criteria[0].evidence: unknown variant `proof`, expected one of `quote`, `attachment`, `none`");
        insta::assert_snapshot!(issue(json!({"criteria": [good], "pass_score": 0})), @"pass_score: must be above 0 and at most 1");
        insta::assert_snapshot!(issue(json!({"criteria": [good], "max_input_bytes": 0})), @"max_input_bytes: must be from 1 to 4194304 bytes");
        insta::assert_snapshot!(issue(json!({"criteria": [good], "model": ""})), @"model: must name a model; leave it out for the operator's default");
    }
}
