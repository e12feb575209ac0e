//! What a desk run came to, as data and in its forms.

mod changes;
mod file;
mod html;
mod junit;
mod lines;
mod progress;
mod room;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::entry::{Audience, EntryType};
use crate::outcome::Expect;
use crate::outcome::GraderReport;
use crate::verdict::{ErrorKind, GradeError, Score};
pub use file::{ParseReportFileError, ReportError, ReportFile};
pub use lines::{Lines, print_log};
pub use progress::Progress;
pub(crate) use room::Room;

/// The report of a run; `--report json=FILE`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RunReport {
    /// Version of this form: 1.
    pub v: u32,
    /// When the run began.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: Timestamp,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// Counts.
    pub summary: Summary,
    /// One for each fixture, in the order of their names.
    pub fixtures: Vec<FixtureReport>,
}

/// How many fixtures came out how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Summary {
    /// Fixtures run.
    pub total: usize,
    /// Fixtures that came out as they should.
    pub as_expected: usize,
    /// Fixtures that did not.
    pub unexpected: usize,
    /// Fixtures without a decision, expected or not.
    pub errors: usize,
}

/// What one fixture came to.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FixtureReport {
    /// Path below the folder that was searched.
    pub name: String,
    /// What it shows, in its author's words.
    pub description: Option<String>,
    /// The job.
    pub job_id: String,
    /// What the fixture expects.
    pub expected: Expect,
    /// The kind of grade error that it expects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_error: Option<ErrorKind>,
    /// Least score that it expects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_min: Option<f64>,
    /// Highest score that it expects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_max: Option<f64>,
    /// What it came to: `verified`, `retry` or `error`.
    pub outcome: Expect,
    /// Whether outcome, score bounds and kind of error are as expected.
    pub as_expected: bool,
    /// The plan's score; none without a decision.
    pub score: Option<Score>,
    /// The plan's threshold.
    pub threshold: f64,
    /// The plan.
    pub plan: String,
    /// Where the judge's answers came from (`live`, `record`, `replay`, `scripted`); none without a judge.
    pub judge: Option<String>,
    /// What is not as expected, in one line.
    pub why: Option<String>,
    /// How long it took, in milliseconds; decides nothing.
    pub millis: u64,
    /// The grade error, where there is no decision.
    pub error: Option<ErrorReport>,
    /// The graders.
    pub graders: Vec<GraderReport>,
    /// The log.
    pub log: Vec<LogLine>,
}

/// A grade error.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ErrorReport {
    /// Its kind.
    pub kind: ErrorKind,
    /// What happened.
    pub message: String,
}

impl From<&GradeError> for ErrorReport {
    fn from(error: &GradeError) -> Self {
        Self {
            kind: error.kind,
            message: error.message.clone(),
        }
    }
}

/// An entry of the log.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LogLine {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: EntryType,
    /// Its content.
    pub content: String,
    /// Who may read it.
    pub audience: Audience,
    /// When it happened.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: Timestamp,
}

impl RunReport {
    /// The report of these fixtures, run from `started_at` on for `millis` milliseconds.
    pub fn new(mut fixtures: Vec<FixtureReport>, started_at: Timestamp, millis: u64) -> Self {
        fixtures.sort_by(|a, b| a.name.cmp(&b.name));
        let count = |wanted: fn(&FixtureReport) -> bool| fixtures.iter().filter(|one| wanted(one)).count();
        let summary = Summary {
            total: fixtures.len(),
            as_expected: count(|one| one.as_expected),
            unexpected: count(|one| !one.as_expected),
            errors: count(|one| one.outcome == Expect::Error),
        };
        Self {
            v: 1,
            started_at,
            millis,
            summary,
            fixtures,
        }
    }

    /// How many fixtures came out so.
    pub fn count(&self, outcome: Expect) -> usize {
        self.fixtures.iter().filter(|one| one.outcome == outcome).count()
    }

    /// Whether something went wrong that no change of a fixture or a grader would mend.
    pub fn our_own_trouble(&self) -> bool {
        let unexpected = self.fixtures.iter().filter(|fixture| !fixture.as_expected);
        unexpected
            .filter_map(|fixture| fixture.error.as_ref())
            .any(|error| error.kind.recourse() == crate::verdict::Recourse::Transient)
    }
}

impl FixtureReport {
    /// What is expected, in words: `error (fuel-exhausted)`, `retry, score from 0.5 to 0.9`.
    pub fn expectation(&self) -> String {
        let error = self
            .expected_error
            .map(|kind| format!(" ({kind})"))
            .unwrap_or_default();
        let score = match (self.score_min, self.score_max) {
            (None, None) => String::new(),
            (Some(least), None) => format!(", score from {least}"),
            (None, Some(most)) => format!(", score up to {most}"),
            (Some(least), Some(most)) => format!(", score from {least} to {most}"),
        };
        format!("{}{error}{score}", self.expected)
    }
}
