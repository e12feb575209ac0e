//! A plan: which graders judge a job, with weights, gates and the threshold.
//!
//! A plan is plain data. It is read from TOML (`graders/plans/NAME.toml`) or inline JSON, checked whole before
//! anything is spent, and carries the content of every file that it names, so that its digest says everything
//! that decides a verdict and an old plan can be run again after the files have changed.

mod check;
mod error;
mod folders;
mod inline;
mod kept;
mod load;
mod locate;
mod schema;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::{Digest, FieldHasher};
pub use error::{Issue, PlanError};
pub use folders::PlanFolders;
pub use inline::InlineRules;
pub use kept::{KeptFile, KeptPlan};
pub use locate::line_at;
pub use schema::{merged, plan_schema};

/// When a grader runs: the cheap and certain first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Deterministic and cheap: `diff`, `check`. All of them run first, side by side.
    Deterministic,
    /// Costs money: `rubric`. Runs only when no gate has failed.
    Judge,
}

/// What a plan needs to know of a kind of grader. One for each kind, in the graders' registry.
pub struct KindRules {
    /// The word that plans use.
    pub name: &'static str,
    /// When graders of this kind run.
    pub stage: Stage,
    /// Checks a grader's own settings and says which files it needs.
    pub check: fn(&Value) -> Result<Vec<FileNeed>, Issue>,
    /// Checks the files once they are read.
    pub check_files: fn(&PlanFiles) -> Result<(), Issue>,
    /// The JSON Schema of a grader's own settings: an object.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

/// A file that a grader's settings name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileNeed {
    /// The key that names it, e.g. `script`.
    pub key: &'static str,
    /// The name as written.
    pub name: String,
    /// Where such files are kept.
    pub home: FileHome,
}

/// Where a kind of file is kept. A name is looked up beside the plan first, then there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileHome {
    /// `graders/checks/`
    Checks,
    /// `prompts/`, where the extension `.md` may be left out.
    Prompts,
    /// Only beside the plan.
    Plan,
}

/// A file's content as it was when the plan was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanFile {
    /// The name as the plan writes it.
    pub name: String,
    /// Where it was read, for messages; not part of the digest.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
    /// Digest of the bytes.
    pub digest: Digest,
}

/// A grader's files by the key that names them.
pub type PlanFiles = BTreeMap<&'static str, PlanFile>;

/// One grader of a plan, its settings checked.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedGrader {
    /// Unique within the plan.
    pub name: String,
    /// `diff`, `check`, `rubric`, …
    pub kind: &'static str,
    /// When it runs.
    pub stage: Stage,
    /// Whether the whole plan fails when it fails.
    pub gate: bool,
    /// Its share of the score; finite and above zero.
    pub weight: f64,
    /// The kind's own settings.
    pub settings: Value,
    /// The files that the settings name, by key.
    pub files: PlanFiles,
}

/// Which graders judge a job. Made by [`PlanFolders`], always valid.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Its name: the file's stem, or `inline`.
    pub name: String,
    /// The file it was read from, for messages and `--watch`; none for an inline plan.
    pub path: Option<PathBuf>,
    /// What it is for.
    pub description: Option<String>,
    /// Least score that is verified, from 0 to 1.
    pub threshold: f64,
    /// Whether expected text, hidden criteria and the like may be shown to the submitter.
    pub reveal: bool,
    /// Files that must have been handed in.
    pub required_files: Vec<String>,
    /// The graders, in the order written.
    pub graders: Vec<PlannedGrader>,
    /// Says everything that decides a verdict: settings and the content of every file named.
    pub digest: Digest,
}

/// A plan's name and digest, as decisions carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanRef {
    /// The plan's name.
    pub name: String,
    /// The plan's digest.
    pub digest: Digest,
}

impl Plan {
    /// Name and digest.
    pub fn reference(&self) -> PlanRef {
        PlanRef {
            name: self.name.clone(),
            digest: self.digest,
        }
    }

    /// Every file that the plan was made from.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let named = self
            .graders
            .iter()
            .flat_map(|grader| grader.files.values().map(|file| &file.path));
        self.path.iter().chain(named)
    }
}

/// The plan's digest. Name, description and paths are not in it: they decide nothing.
fn digest(plan: &Plan) -> Digest {
    let graders = plan.graders.iter().map(|grader| DigestedGrader {
        name: &grader.name,
        kind: grader.kind,
        gate: grader.gate,
        weight: grader.weight,
        settings: grader.settings.clone(),
        files: grader
            .files
            .iter()
            .map(|(key, file)| (*key, file.digest))
            .collect(),
    });
    digest_of(plan.threshold, plan.reveal, &plan.required_files, graders)
}

/// What of a grader is in its plan's digest.
struct DigestedGrader<'a> {
    name: &'a str,
    kind: &'a str,
    gate: bool,
    weight: f64,
    settings: Value,
    /// Digests of the files that it names, by their keys.
    files: BTreeMap<&'a str, Digest>,
}

fn digest_of<'a>(
    threshold: f64,
    reveal: bool,
    required_files: &[String],
    graders: impl Iterator<Item = DigestedGrader<'a>>,
) -> Digest {
    let mut hasher = FieldHasher::new("assay-plan-v1")
        .text(&threshold.to_string())
        .text(if reveal { "reveal" } else { "" })
        .text(&Value::from(required_files.to_vec()).to_string());
    for grader in graders {
        hasher = hasher
            .text(grader.name)
            .text(grader.kind)
            .text(if grader.gate { "gate" } else { "" })
            .text(&grader.weight.to_string())
            .text(&canonical(&grader.settings).to_string());
        for (key, digest) in grader.files {
            hasher = hasher.text(key).bytes(digest.as_bytes());
        }
    }
    hasher.finish()
}

/// The same value with the keys of every object in order, so that their order in a file decides nothing.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map
                .iter()
                .map(|(key, item)| (key.clone(), canonical(item)))
                .collect();
            Value::Object(sorted.into_iter().collect())
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
