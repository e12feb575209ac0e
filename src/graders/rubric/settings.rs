//! What a plan may say of a rubric grader.

use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::Value;

use super::criterion::{Criterion, CriterionText};
use super::gate::Gate;
use super::influence;
use super::panel::Panel;
use crate::plan::{FileHome, FileNeed, Issue};

/// More criteria in one question than a model answers with care.
const MAX_CRITERIA: usize = 100;

/// Largest budget of what is shown to a judge, in bytes.
const MAX_INPUT_BYTES: usize = 4 * 1024 * 1024;

/// A rubric grader's settings, checked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    /// Name of the prompt file.
    pub(super) prompt: String,
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
    /// Whether pictures that were handed in are shown to the judge.
    pub(super) vision: bool,
    /// Most criteria of one question.
    pub(super) max_criteria: usize,
    /// How many judges are asked, and how often.
    pub(super) panel: Panel,
    /// What fails before any judge is asked.
    pub(super) gate: Gate,
    /// The second question, to another model.
    pub(super) influence: Option<Influence>,
}

/// Whether the text tries to influence its own grading, as another model sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Influence {
    /// The model that is asked.
    pub(super) model: String,
    /// What becomes of a submission that does.
    pub(super) on_yes: OnInfluence,
}

/// What becomes of a submission that tries to influence its own grading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OnInfluence {
    /// A person looks at it.
    Park,
    /// It fails.
    Fail,
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
    /// Whether the model sees: pictures that were handed in are shown to it.
    #[serde(default)]
    vision: bool,
    /// Criteria asked about in one call, at most; more take several calls.
    #[serde(default = "max_criteria")]
    #[schemars(range(min = 1, max = MAX_CRITERIA))]
    max_criteria: usize,
    /// How often each model is asked the same.
    #[serde(default)]
    samples: Option<u32>,
    /// Models that are all asked, instead of `model`. A criterion is fulfilled where a strict majority of all votes says
    /// so.
    #[serde(default)]
    jurors: Vec<String>,
    /// A stronger model, whose word counts where the others disagree, are close to `pass_score` or off the menu.
    #[serde(default)]
    escalate_to: Option<String>,
    /// How close to `pass_score` a score is when the stronger model is asked.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    escalate_margin: f64,
    /// Price from which `jurors` and `samples` count; for cheaper jobs the first model is asked once.
    #[serde(default)]
    jury_above_cents: Option<i64>,
    /// Fewest characters that are worth a judge; fewer fail.
    #[serde(default)]
    min_chars: usize,
    /// Whether a hand-in without a letter or digit fails before a judge is asked.
    #[serde(default)]
    refuse_punctuation: bool,
    /// Whether a hand-in that is only an opening, such as "Solution:", fails before a judge is asked.
    #[serde(default)]
    refuse_openers: bool,
    /// Asks another model whether the hand-in tries to influence its own grading.
    #[serde(default)]
    influence: Option<Influence>,
}

fn default_prompt() -> String {
    "rubric".to_owned()
}

fn max_criteria() -> usize {
    MAX_CRITERIA
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
    let prompt = |key, name| FileNeed {
        key,
        name,
        home: FileHome::Prompts,
    };
    let mut needs = vec![prompt("prompt", settings.prompt)];
    if settings.influence.is_some() {
        needs.push(prompt(influence::FILE, influence::FILE.to_owned()));
    }
    Ok(needs)
}

impl Settings {
    /// Whether a model that is asked by default would be asked again in the place of another one.
    pub(super) fn asks_again(&self, default: &str) -> bool {
        let influence = self.influence.as_ref().map(|asked| asked.model.as_str());
        let mut others = self.panel.escalate_to.as_deref().into_iter().chain(influence);
        self.panel.asks_default() && others.any(|model| model == default)
    }

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
        if !(1..=MAX_CRITERIA).contains(&text.max_criteria) {
            let message = format!("must be from 1 to {MAX_CRITERIA}");
            return Err(Issue::new("max_criteria", message));
        }
        if text
            .influence
            .as_ref()
            .is_some_and(|asked| asked.model.trim().is_empty())
        {
            return Err(Issue::new("influence.model", "must name a model"));
        }
        let panel = Panel {
            model: text.model.clone(),
            samples: text.samples.unwrap_or(1),
            jurors: text.jurors,
            escalate_to: text.escalate_to,
            escalate_margin: text.escalate_margin,
            jury_above_cents: text.jury_above_cents,
        };
        panel.check()?;
        if text
            .influence
            .as_ref()
            .is_some_and(|asked| panel.asks(&asked.model))
        {
            let message =
                "must be another model than those that judge: who is talked round does not notice it";
            return Err(Issue::new("influence.model", message));
        }
        Ok(Self {
            prompt: text.prompt,
            criteria,
            pass_score: text.pass_score,
            max_input_bytes: text.max_input_bytes,
            partial: text.partial,
            vision: text.vision,
            max_criteria: text.max_criteria,
            panel,
            gate: Gate {
                min_chars: text.min_chars,
                refuse_punctuation: text.refuse_punctuation,
                refuse_openers: text.refuse_openers,
            },
            influence: text.influence,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::criterion::EvidenceWanted;
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
        insta::assert_snapshot!(issue(json!({"criteria": [good], "promt": "x"})), @"promt: unknown field `promt`, expected one of `prompt`, `model`, `criteria`, `pass_score`, `max_input_bytes`, `partial`, `vision`, `max_criteria`, `samples`, `jurors`, `escalate_to`, `escalate_margin`, `jury_above_cents`, `min_chars`, `refuse_punctuation`, `refuse_openers`, `influence`");
        insta::assert_snapshot!(issue(json!({"criteria": [good, {"id": "b", "text": "t", "wieght": 2}]})), @"criteria[1].wieght: unknown field `wieght`, expected one of `id`, `text`, `weight`, `required`, `evidence`, `hidden`");
        insta::assert_snapshot!(issue(json!({"criteria": [good, {"id": "b", "text": "t", "weight": 0}]})), @"criteria[1].weight: must be a finite number other than zero, at most 1000000 either way");
        insta::assert_snapshot!(issue(json!({"criteria": [good, good]})), @"criteria[1].id: another criterion is called `a`: ids must be unique");
        insta::assert_snapshot!(issue(json!({"criteria": [{"id": "a b", "text": "t"}]})), @"criteria[0].id: must be 1 to 64 letters, digits, `-`, `_` or `.`");
        insta::assert_snapshot!(issue(json!({"criteria": [{"id": "a", "text": " "}]})), @"criteria[0].text: must say what is judged, in at most 4096 bytes");
        insta::assert_snapshot!(issue(json!({"criteria": [{"id": "a", "text": "t", "weight": -1}]})), @"criteria: at least one criterion needs a weight above zero: there is nothing to score by");
        insta::assert_snapshot!(issue(json!({"criteria": [{"id": "a", "text": "t", "evidence": "proof"}]})), @"criteria[0].evidence: unknown variant `proof`, expected one of `quote`, `attachment`, `none`");
        insta::assert_snapshot!(issue(json!({"criteria": [good], "pass_score": 0})), @"pass_score: must be above 0 and at most 1");
        insta::assert_snapshot!(issue(json!({"criteria": [good], "max_input_bytes": 0})), @"max_input_bytes: must be from 1 to 4194304 bytes");
        insta::assert_snapshot!(issue(json!({"criteria": [good], "max_criteria": 0})), @"max_criteria: must be from 1 to 100");
        insta::assert_snapshot!(issue(json!({"criteria": [good], "influence": {"model": "", "on_yes": "park"}})), @"influence.model: must name a model");
        insta::assert_snapshot!(issue(json!({"criteria": [good], "model": "m", "influence": {"model": "m", "on_yes": "park"}})), @"influence.model: must be another model than those that judge: who is talked round does not notice it");
        insta::assert_snapshot!(issue(json!({"criteria": [good], "model": ""})), @"model: must name a model; leave it out for the operator's default");
    }
}
