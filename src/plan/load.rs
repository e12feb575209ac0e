//! Reads plans: text to checked data.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::locate::{line_at, line_of};
use super::{FileHome, Issue, KindRules, Plan, PlanError, PlanFile, PlanFiles, PlannedGrader, digest};
use crate::digest::Digest;

/// Weights beyond these would make sums of scores inexact, or infinite.
const MIN_WEIGHT: f64 = 1e-6;
const MAX_WEIGHT: f64 = 1e6;

/// Most graders of a plan, which may come from a stranger: each costs a processor or money.
const MAX_GRADERS: usize = 32;

/// What the built-in gate on the hand-in is called in reports.
const RESERVED_NAME: &str = "hand-in";

/// A plan, script or prompt is text that a person wrote, or a module of a few megabytes.
const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;

/// Where plans, checks and prompts are kept, and which kinds of grader exist.
#[derive(Clone)]
pub struct PlanFolders {
    /// `graders/plans`
    pub plans: PathBuf,
    /// `graders/checks`
    pub checks: PathBuf,
    /// `prompts`
    pub prompts: PathBuf,
    /// The registry's rules.
    pub kinds: Vec<&'static KindRules>,
}

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
    /// Loads the plan of that name from the plans' folder, or, where `beside` is given, the file of that name in
    /// that folder (a fixture's own plan).
    ///
    /// # Errors
    /// Says file, line and key of the first thing that is wrong.
    pub fn load(&self, name: &str, beside: Option<&Path>) -> Result<Plan, PlanError> {
        if name.ends_with(".toml") {
            let path = beside.map_or_else(|| PathBuf::from(name), |folder| folder.join(name));
            return self.load_file(&path);
        }
        let path = self.plans.join(format!("{name}.toml"));
        let plain = !name.is_empty() && !name.contains(['/', '\\']) && !name.starts_with('.');
        if !plain || !path.is_file() {
            return Err(PlanError::unknown(name, &[path], &self.names()));
        }
        self.load_file(&path)
    }

    /// The names of all plans in the plans' folder, in order.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.plans).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_suffix(".toml")
                .map(str::to_owned)
        });
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Loads the plan in that file.
    ///
    /// # Errors
    /// Says file, line and key of the first thing that is wrong.
    pub fn load_file(&self, path: &Path) -> Result<Plan, PlanError> {
        let source_name = path.display().to_string();
        let fail = |line, issue| PlanError {
            source_name: source_name.clone(),
            line,
            issue,
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| fail(None, Issue::new("", format!("cannot be read: {error}"))))?;
        let name = path
            .file_stem()
            .map_or_else(|| "plan".into(), |stem| stem.to_string_lossy().into_owned());
        let table: toml::Table = toml::from_str(&text).map_err(|error| {
            let line = error.span().map(|span| line_at(&text, span.start));
            fail(line, Issue::new("", error.message()))
        })?;
        let value = to_json(toml::Value::Table(table), "")
            .map_err(|issue| fail(line_of(&text, &issue.key), issue))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut plan = self
            .check(name, value, Files::Folder(Some(folder)))
            .map_err(|issue| fail(Some(line_of(&text, &issue.key).unwrap_or(1)), issue))?;
        plan.path = Some(path.to_owned());
        Ok(plan)
    }

    /// Checks an inline plan. Its files are looked up in the folders only.
    ///
    /// # Errors
    /// Says the key of the first thing that is wrong.
    pub fn load_inline(&self, value: Value) -> Result<Plan, PlanError> {
        self.check("inline".to_owned(), value, Files::Folder(None))
            .map_err(|issue| PlanError {
                source_name: "inline plan".to_owned(),
                line: None,
                issue,
            })
    }

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

    fn read(&self, name: &str, home: FileHome, folder: Option<&Path>) -> Result<PlanFile, String> {
        let relative = Path::new(name);
        let plain = relative
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if name.is_empty() || !plain {
            return Err(format!("`{name}` must be a relative path without `..`"));
        }
        let mut places: Vec<PathBuf> = folder.map(|folder| folder.join(relative)).into_iter().collect();
        match home {
            FileHome::Checks => places.push(self.checks.join(relative)),
            FileHome::Prompts => {
                places.push(self.prompts.join(relative));
                places.push(self.prompts.join(format!("{name}.md")));
            }
            FileHome::Plan => {}
        }
        let Some(path) = places.iter().find(|path| path.is_file()) else {
            let looked: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
            return Err(format!(
                "`{name}` does not exist (looked for {})",
                looked.join(" and ")
            ));
        };
        let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
        if size > MAX_FILE_BYTES {
            return Err(format!("`{name}` has {size} bytes, more than {MAX_FILE_BYTES}"));
        }
        let bytes = std::fs::read(path).map_err(|error| format!("`{name}` cannot be read: {error}"))?;
        let digest = Digest::of(&bytes);
        Ok(PlanFile {
            name: name.to_owned(),
            path: path.clone(),
            bytes: bytes.into(),
            digest,
        })
    }
}

/// The same value as JSON. What JSON cannot say would be lost on the way, so it is refused.
fn to_json(value: toml::Value, key: &str) -> Result<Value, Issue> {
    match value {
        toml::Value::String(text) => Ok(Value::String(text)),
        toml::Value::Integer(number) => Ok(Value::from(number)),
        toml::Value::Boolean(flag) => Ok(Value::Bool(flag)),
        toml::Value::Float(number) if number.is_finite() => Ok(Value::from(number)),
        toml::Value::Float(number) => Err(Issue::new(key, format!("must be a finite number, not {number}"))),
        toml::Value::Datetime(_) => Err(Issue::new(
            key,
            "must not be a date or time: write it as text in quotes",
        )),
        toml::Value::Array(items) => {
            let items = items.into_iter().enumerate();
            items
                .map(|(index, item)| to_json(item, &format!("{key}[{index}]")))
                .collect()
        }
        toml::Value::Table(table) => {
            let place = |name: &str| {
                if key.is_empty() {
                    name.to_owned()
                } else {
                    format!("{key}.{name}")
                }
            };
            let entries = table.into_iter().map(|(name, item)| {
                let item = to_json(item, &place(&name))?;
                Ok((name, item))
            });
            entries.collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
    }
}
