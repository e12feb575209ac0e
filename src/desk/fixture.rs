//! Fixtures: a folder with a job, what is expected of it, and the judge's answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::JudgeChoice;
use super::input::{InputError, read_job, read_toml};
use crate::graders::rubric::{Judge, JudgeError};
use crate::job::Job;
use crate::outcome::Expect;
use crate::plan::{Plan, PlanError, PlanFolders, Stage};
use crate::verdict::ErrorKind;

/// `fixture.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FixtureText {
    plan: String,
    expect: Expect,
    #[serde(default)]
    score_min: Option<f64>,
    #[serde(default)]
    score_max: Option<f64>,
    /// With `expect = "error"`: the kind of grade error.
    #[serde(default)]
    error: Option<ErrorKind>,
    #[serde(default)]
    description: Option<String>,
    /// For calibration: the ids of criteria, and whether each is met.
    #[serde(default)]
    labels: BTreeMap<String, bool>,
}

/// A job, the plan that judges it, and what is expected.
#[derive(Clone)]
pub struct Fixture {
    /// Its path below the folder that was searched.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// What it shows.
    pub description: Option<String>,
    /// The job.
    pub job: Job,
    /// The plan.
    pub plan: Plan,
    /// Who answers its rubrics.
    pub judge: Judge,
    /// What is expected.
    pub expect: Expect,
    /// Least score expected.
    pub score_min: Option<f64>,
    /// Highest score expected.
    pub score_max: Option<f64>,
    /// The kind of grade error expected.
    pub error: Option<ErrorKind>,
    /// What a person says of criteria, by their ids: whether each is met. Calibration compares with it.
    pub labels: BTreeMap<String, bool>,
}

/// A fixture that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FixtureError {
    /// One of its files is wrong.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Its plan is wrong.
    #[error("{fixture}: {error}")]
    Plan {
        /// `fixture.toml`, or the flag that named the plan.
        fixture: String,
        /// What is wrong.
        error: PlanError,
    },
    /// Its judge's answers are wrong.
    #[error("{}: {error}", folder.display())]
    Judge {
        /// The fixture's folder.
        folder: PathBuf,
        /// What is wrong.
        error: JudgeError,
    },
    /// A folder cannot be searched.
    #[error("fixtures cannot be searched: {0}")]
    Unreadable(String),
    /// A path to search does not exist.
    #[error("{0} does not exist")]
    NoSuchPath(PathBuf),
}

/// The folders with a `fixture.toml` at or below the paths, in the order of their names, with the name that each is
/// shown by.
///
/// # Errors
/// Where a path does not exist.
pub fn discover(paths: &[PathBuf]) -> Result<Vec<(String, PathBuf)>, FixtureError> {
    let mut found = Vec::new();
    for path in paths {
        if !path.exists() {
            return Err(FixtureError::NoSuchPath(path.clone()));
        }
        for entry in walkdir::WalkDir::new(path)
            .follow_links(false)
            .sort_by_file_name()
        {
            let entry = entry.map_err(|error| FixtureError::Unreadable(error.to_string()))?;
            if entry.file_name() != "fixture.toml" {
                continue;
            }
            let Some(folder) = entry.path().parent() else {
                continue;
            };
            let below = folder
                .strip_prefix(path)
                .ok()
                .filter(|below| !below.as_os_str().is_empty());
            let name = below
                .or_else(|| folder.file_name().map(Path::new))
                .unwrap_or(folder);
            found.push((name.display().to_string(), folder.to_owned()));
        }
    }
    found.sort();
    // Searched paths may overlap: a fixture that is found twice is run once.
    let mut seen = BTreeSet::new();
    found.retain(|(_, folder)| seen.insert(folder.canonicalize().unwrap_or_else(|_| folder.clone())));
    Ok(found)
}

/// How the fixture in that folder names its plan.
pub(super) fn plan_name(folder: &Path) -> Result<String, InputError> {
    let text: FixtureText = read_toml(&folder.join("fixture.toml"))?;
    Ok(text.plan)
}

impl Fixture {
    /// Loads a fixture's job and plan; `plan` overrides the fixture's own.
    ///
    /// # Errors
    /// Says file, line and field of what is wrong.
    pub fn load(
        name: String,
        folder: &Path,
        plan: Option<&str>,
        folders: &PlanFolders,
        judge: &JudgeChoice,
    ) -> Result<Self, FixtureError> {
        let path = folder.join("fixture.toml");
        let text: FixtureText = read_toml(&path)?;
        let wrong = |field: &str, message: &str| InputError {
            field: Some(field.to_owned()),
            ..InputError::new(&path, message)
        };
        for (field, bound) in [("score_min", text.score_min), ("score_max", text.score_max)] {
            if bound.is_some_and(|bound| !(0.0..=1.0).contains(&bound)) {
                return Err(wrong(field, "must be from 0 to 1").into());
            }
        }
        if text.error.is_some() && text.expect != Expect::Error {
            return Err(wrong("error", "goes with expect = \"error\" only").into());
        }
        if text.expect == Expect::Error && (text.score_min.is_some() || text.score_max.is_some()) {
            return Err(wrong(
                "expect",
                "an error has no score: leave out score_min and score_max",
            )
            .into());
        }
        let job = read_job(&folder.join("job.json"))?;
        let (plan_name, origin, beside) = match plan {
            Some(name) => (name, "--plan".to_owned(), None),
            None => (text.plan.as_str(), path.display().to_string(), Some(folder)),
        };
        let plan = folders
            .load(plan_name, beside)
            .map_err(|error| FixtureError::Plan {
                fixture: origin,
                error,
            })?;
        // A plan without judges has no use for answers, so none are asked for.
        let judge = if plan.graders.iter().any(|grader| grader.stage == Stage::Judge) {
            judge
                .open(folder)
                .and_then(|judge| judge.check_against(&plan).map(|()| judge))
                .map_err(|error| FixtureError::Judge {
                    folder: folder.to_owned(),
                    error,
                })?
        } else {
            Judge::none()
        };
        Ok(Self {
            name,
            folder: folder.to_owned(),
            description: text.description,
            job,
            plan,
            judge,
            expect: text.expect,
            score_min: text.score_min,
            score_max: text.score_max,
            error: text.error,
            labels: text.labels,
        })
    }
}
