//! Labelled cases: fixture folders, and lines of JSON.
//!
//! ```json
//! {"prompt": "Answer the guest.", "output": "Dear Ms Ortiz, …", "label": "verified", "labels": {"refund": true}}
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use crate::desk::{Fixture, FixtureError, JudgeChoice, discover};
use crate::graders::rubric::{Judge, JudgeError};
use crate::job::{EnvVars, Job, JobId, JobStatus};
use crate::outcome::Expect;
use crate::plan::{Plan, PlanError, PlanFolders};

/// A hand-in, and what a person says of it.
#[derive(Clone)]
pub struct Case {
    /// The fixture's path, or file and line.
    pub name: String,
    /// The job.
    pub job: Job,
    /// The fixture's folder.
    pub folder: Option<PathBuf>,
    /// Whether it must be verified.
    pub accept: bool,
    /// Whether single criteria are met, by their ids.
    pub labels: BTreeMap<String, bool>,
    /// Who answers.
    pub judge: Judge,
}

/// Cases to calibrate a plan with.
pub struct Cases {
    /// The plan.
    pub plan: Plan,
    /// The cases, in the order given.
    pub cases: Vec<Case>,
    /// Fixtures that expect an error: they say nothing of a judge and are left out.
    pub left_out: usize,
}

/// Cases that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaseError {
    /// A fixture is wrong.
    #[error(transparent)]
    Fixture(#[from] FixtureError),
    /// The plan is wrong.
    #[error("{0}")]
    Plan(#[from] PlanError),
    /// The judge cannot be used.
    #[error("{}: {error}", path.display())]
    Judge {
        /// The file of cases.
        path: PathBuf,
        /// What is wrong.
        error: JudgeError,
    },
    /// A file of cases cannot be read.
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A line is no case.
    #[error("{}:{line}: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A label is of a criterion that the plan does not have.
    #[error("{case}: the plan `{plan}` has no criterion `{id}`: correct the label's name")]
    UnknownCriterion {
        /// The case.
        case: String,
        /// The plan.
        plan: String,
        /// The criterion.
        id: String,
    },
    /// A file or fixture would count twice, and make the intervals narrower than they are.
    #[error("{} is named twice: name each file and folder of cases once", path.display())]
    Twice {
        /// The file, or the fixture's folder.
        path: PathBuf,
    },
    /// There is nothing to calibrate with.
    #[error(
        "there is no labelled case: name folders with fixtures, or files with lines of {{prompt, output, label}}"
    )]
    Empty,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    prompt: String,
    output: String,
    label: Label,
    #[serde(default)]
    labels: BTreeMap<String, bool>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    requirements: Option<String>,
    /// For people; told in the report.
    #[serde(default)]
    id: Option<String>,
}

/// What people write for yes and no.
struct Label(bool);

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LabelVisitor;

        impl Visitor<'_> for LabelVisitor {
            type Value = Label;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`verified` or `retry`, `pass` or `fail`, true or false, 1 or 0")
            }

            fn visit_bool<E>(self, yes: bool) -> Result<Label, E> {
                Ok(Label(yes))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Label, E> {
                match number {
                    0 => Ok(Label(false)),
                    1 => Ok(Label(true)),
                    other => Err(E::invalid_value(serde::de::Unexpected::Unsigned(other), &self)),
                }
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Label, E> {
                match text {
                    "verified" | "pass" => Ok(Label(true)),
                    "retry" | "fail" => Ok(Label(false)),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }
        }

        deserializer.deserialize_any(LabelVisitor)
    }
}

impl Cases {
    /// Loads the plan and every case before anything is asked.
    ///
    /// # Errors
    /// Names the file and line of what is wrong.
    pub fn load(
        plan_name: &str,
        paths: &[PathBuf],
        folders: &PlanFolders,
        choice: &JudgeChoice,
    ) -> Result<Self, CaseError> {
        let plan = folders.load(plan_name, None)?;
        let mut loaded = Self {
            plan,
            cases: Vec::new(),
            left_out: 0,
        };
        let mut files = BTreeSet::new();
        for path in paths {
            if path.is_file() && path.extension().is_some_and(|extension| extension == "jsonl") {
                if !files.insert(place(path)) {
                    return Err(CaseError::Twice { path: path.clone() });
                }
                loaded.add_lines(path, choice)?;
            } else {
                loaded.add_fixtures(path, plan_name, folders, choice)?;
            }
        }
        if loaded.cases.is_empty() {
            return Err(CaseError::Empty);
        }
        let mut folders = loaded.cases.iter().filter_map(|case| case.folder.as_ref());
        if let Some(twice) = folders.find(|folder| !files.insert(place(folder))) {
            return Err(CaseError::Twice { path: twice.clone() });
        }
        loaded.check_labels()?;
        Ok(loaded)
    }

    fn add_fixtures(
        &mut self,
        path: &Path,
        plan: &str,
        folders: &PlanFolders,
        choice: &JudgeChoice,
    ) -> Result<(), CaseError> {
        for (name, folder) in discover(&[path.to_owned()])? {
            let fixture = Fixture::load(name, &folder, Some(plan), folders, choice)?;
            let accept = match fixture.expect {
                Expect::Verified => true,
                Expect::Retry => false,
                Expect::Error => {
                    self.left_out += 1;
                    continue;
                }
            };
            self.cases.push(Case {
                name: fixture.name,
                job: fixture.job,
                folder: Some(folder),
                accept,
                labels: fixture.labels,
                judge: fixture.judge,
            });
        }
        Ok(())
    }

    fn add_lines(&mut self, path: &Path, choice: &JudgeChoice) -> Result<(), CaseError> {
        let text = std::fs::read_to_string(path).map_err(|error| CaseError::Unreadable {
            path: path.to_owned(),
            error,
        })?;
        // One for all lines: they record into one file.
        let folder = path.parent().unwrap_or(Path::new(""));
        let judge = choice
            .open(folder)
            .and_then(|judge| judge.check_against(&self.plan).map(|()| judge))
            .map_err(|error| CaseError::Judge {
                path: path.to_owned(),
                error,
            })?;
        let lines = text.lines().enumerate();
        for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let number = index + 1;
            let line: Line = serde_json::from_str(line).map_err(|error| CaseError::Line {
                path: path.to_owned(),
                line: number,
                message: error.to_string(),
            })?;
            let place = format!("{}:{number}", path.display());
            self.cases.push(Case {
                name: line.id.clone().unwrap_or_else(|| place.clone()),
                accept: line.label.0,
                labels: line.labels.clone(),
                job: job(line, place),
                folder: None,
                judge: judge.clone(),
            });
        }
        Ok(())
    }

    /// Every labelled criterion is one of the plan's.
    fn check_labels(&self) -> Result<(), CaseError> {
        let known = criteria(&self.plan);
        for case in &self.cases {
            if let Some(id) = case.labels.keys().find(|id| !known.contains(id)) {
                return Err(CaseError::UnknownCriterion {
                    case: case.name.clone(),
                    plan: self.plan.name.clone(),
                    id: id.clone(),
                });
            }
        }
        Ok(())
    }
}

/// The ids of every rubric's criteria, in the order of the plan.
pub(super) fn criteria(plan: &Plan) -> Vec<String> {
    let lists = plan
        .graders
        .iter()
        .filter_map(|planned| planned.settings.get("criteria"));
    let criteria = lists.filter_map(|list| list.as_array()).flatten();
    let ids = criteria.filter_map(|criterion| criterion.get("id")?.as_str());
    ids.map(str::to_owned).collect()
}

/// The same for a file or folder however it is named.
fn place(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// The job of a line.
fn job(line: Line, place: String) -> Job {
    Job {
        id: JobId::new(place),
        status: JobStatus::Submitted,
        title: line.title.unwrap_or_default(),
        prompt: line.prompt,
        description: None,
        requirements: line.requirements,
        sender: "calibration".to_owned(),
        receiver: None,
        receiver_agent_id: None,
        held_by_agent_id: None,
        price_cents: None,
        time_limit_seconds: None,
        accepted_at: None,
        deadline_at: None,
        attempt_count: 0,
        cancellation_requested: false,
        output_text: Some(line.output),
        output_attachments: Vec::new(),
        env_vars: EnvVars::default(),
        attachments: Vec::new(),
        presented_to_agents: Vec::new(),
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_yes_or_a_no_in_the_words_that_people_use() {
        let label = |text: &str| serde_json::from_str::<Label>(text).map(|label| label.0);
        for yes in ["\"verified\"", "\"pass\"", "true", "1"] {
            assert!(label(yes).unwrap(), "{yes}");
        }
        for no in ["\"retry\"", "\"fail\"", "false", "0"] {
            assert!(!label(no).unwrap(), "{no}");
        }
        for neither in ["\"maybe\"", "2", "null", "\"\"", "0.5"] {
            assert!(label(neither).is_err(), "{neither}");
        }
    }
}
