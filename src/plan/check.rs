//! What a plan may say, and whether it does: the text as it is written to checked data.

use std::collections::BTreeSet;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Issue, Plan, PlanFile, PlanFiles, PlanFolders, PlannedGrader, digest};
use crate::digest::Digest;

/// Weights beyond these would make sums of scores inexact, or infinite.
const MIN_WEIGHT: f64 = 1e-6;
const MAX_WEIGHT: f64 = 1e6;

/// Most graders of a plan, which may come from a stranger: each costs a processor or money.
const MAX_GRADERS: usize = 32;

/// What the built-in gate on the hand-in is called in reports.
const RESERVED_NAME: &str = "hand-in";

/// Where the files are that a plan names.
#[derive(Clone, Copy)]
pub(super) enum Files<'a> {
    /// Beside the plan, where it has a folder, and in the folders of their kinds.
    Folder(Option<&'a Path>),
    /// With the kept plan, by grader and key.
    Kept(&'a dyn Fn(&str, &str) -> Option<PlanFile>),
}

/// Which graders judge a job, with weights, gates and the threshold.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Plan")]
#[serde(deny_unknown_fields)]
pub(super) struct PlanText {
    /// Where an editor finds this schema; decides nothing.
    #[serde(rename = "$schema", default)]
    _schema: Option<String>,
    /// What the plan is for.
    #[serde(default)]
    description: Option<String>,
    /// The least score that is verified, above 0 and at most 1: the mean of the graders' scores by weight.
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    threshold: f64,
    /// Whether the submitter may read what would hand over the answer: expected text, hidden criteria.
    #[serde(default)]
    reveal: bool,
    /// Names of files that must have been handed in.
    #[serde(default)]
    required_files: Vec<String>,
    /// The graders. The deterministic ones run first; judges are asked when no gate has failed.
    #[serde(default)]
    graders: Vec<Map<String, Value>>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct GraderText {
    /// Unique within the plan.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    name: String,
    /// The kind of grader.
    kind: String,
    /// Whether the whole plan fails when this grader fails.
    #[serde(default)]
    gate: bool,
    /// Share of the score, above 0.
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    weight: f64,
}

fn one() -> f64 {
    1.0
}

impl PlanFolders {
    pub(super) fn check(&self, name: String, value: Value, files: Files<'_>) -> Result<Plan, Issue> {
        let text: PlanText =
            serde_path_to_error::deserialize(value).map_err(|error| Issue::from_serde(&error))?;
        if !(text.threshold > 0.0 && text.threshold <= 1.0) {
            return Err(Issue::new("threshold", "must be above 0 and at most 1"));
        }
        if text.graders.is_empty() {
            return Err(Issue::new(
                "graders",
                "a plan needs at least one [[graders]] table",
            ));
        }
        if text.graders.len() > MAX_GRADERS {
            let message = format!(
                "{} graders, at most {MAX_GRADERS} are allowed",
                text.graders.len()
            );
            return Err(Issue::new("graders", message));
        }
        for (index, required) in text.required_files.iter().enumerate() {
            if required.trim().is_empty() || required.contains('/') {
                return Err(Issue::new(
                    format!("required_files[{index}]"),
                    "must be a plain file name",
                ));
            }
        }
        let mut graders = Vec::with_capacity(text.graders.len());
        let mut names = BTreeSet::new();
        for (index, table) in text.graders.into_iter().enumerate() {
            let key = format!("graders[{index}]");
            let grader = self
                .check_grader(table, files)
                .map_err(|issue| issue.within(&key))?;
            if !names.insert(grader.name.clone()) {
                let message = format!("another grader is called `{}`: names must be unique", grader.name);
                return Err(Issue::new(format!("{key}.name"), message));
            }
            graders.push(grader);
        }
        let mut plan = Plan {
            name,
            path: None,
            description: text.description,
            threshold: text.threshold,
            reveal: text.reveal,
            required_files: text.required_files,
            graders,
            digest: Digest::of(b""),
        };
        plan.digest = digest(&plan);
        Ok(plan)
    }

    fn check_grader(&self, mut table: Map<String, Value>, source: Files<'_>) -> Result<PlannedGrader, Issue> {
        let general: Map<String, Value> = ["name", "kind", "gate", "weight"]
            .iter()
            .filter_map(|key| table.remove_entry(*key))
            .collect();
        let general: GraderText = serde_path_to_error::deserialize(Value::Object(general))
            .map_err(|error| Issue::from_serde(&error))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if general.name.is_empty() || general.name.len() > 64 || !general.name.chars().all(plain) {
            return Err(Issue::new(
                "name",
                "must be 1 to 64 letters, digits, `-`, `_` or `.`",
            ));
        }
        if !(MIN_WEIGHT..=MAX_WEIGHT).contains(&general.weight) {
            return Err(Issue::new(
                "weight",
                format!("must be a number from {MIN_WEIGHT} to {MAX_WEIGHT}"),
            ));
        }
        if general.name == RESERVED_NAME {
            return Err(Issue::new(
                "name",
                format!("`{RESERVED_NAME}` is the name of the built-in gate"),
            ));
        }
        let rules = self
            .kinds
            .iter()
            .find(|rules| rules.name == general.kind)
            .ok_or_else(|| {
                let known: Vec<_> = self.kinds.iter().map(|rules| rules.name).collect();
                Issue::new(
                    "kind",
                    format!(
                        "unknown kind `{}`, expected one of {}",
                        general.kind,
                        known.join(", ")
                    ),
                )
            })?;
        let settings = Value::Object(table);
        let mut files = PlanFiles::new();
        for need in (rules.check)(&settings)? {
            let file = match source {
                Files::Folder(folder) => self.read(&need.name, need.home, folder),
                Files::Kept(find) => find(&general.name, need.key)
                    .ok_or_else(|| format!("`{}` was not kept with the plan", need.name)),
            };
            let file = file.map_err(|message| Issue::new(need.key, message))?;
            files.insert(need.key, file);
        }
        (rules.check_files)(&files)?;
        Ok(PlannedGrader {
            name: general.name,
            kind: rules.name,
            stage: rules.stage,
            gate: general.gate,
            weight: general.weight,
            settings,
            files,
        })
    }
}
