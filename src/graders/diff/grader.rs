//! The `diff` grader: settings from a plan, a comparison off the runtime's threads, a verdict.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::{Comparator, CompareError, CompareOptions, Comparison, compare};
use crate::entry::Audience;
use crate::graders::{Context, Grader, Kind, Tools};
use crate::plan::{FileHome, FileNeed, Issue, KindRules, PlannedGrader, Stage, merged};
use crate::submission::{FileRole, Submission};
use crate::verdict::{ErrorKind, Evidence, GradeError, Score, Verdict};

/// The kind `diff`.
pub static KIND: Kind = Kind {
    rules: KindRules {
        name: "diff",
        stage: Stage::Deterministic,
        check: check_settings,
        check_files: |_| Ok(()),
        schema,
    },
    build,
};

/// Where the expected text comes from: exactly one of the three.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
#[serde(deny_unknown_fields)]
struct Expected {
    /// The text itself.
    text: Option<String>,
    /// A file beside the plan.
    file: Option<String>,
    /// One of the job's input attachments.
    attachment: Option<String>,
}

/// What is compared with it; the output text where nothing is named.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Actual {
    /// The name of a file that must have been handed in.
    attachment: String,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Operands {
    /// How the two are compared; each way has its own options.
    compare: Comparator,
    /// What is expected: `text`, `file` or `attachment`.
    expected: Expected,
    /// What is compared with it; the text that was handed in where it is left out.
    #[serde(default)]
    actual: Option<Actual>,
}

struct Settings {
    operands: Operands,
    options: CompareOptions,
}

fn settings(value: &Value) -> Result<Settings, Issue> {
    let mut options = value.as_object().cloned().unwrap_or_default();
    let operands: Map<String, Value> = ["compare", "expected", "actual"]
        .iter()
        .filter_map(|key| options.remove_entry(*key))
        .collect();
    let operands: Operands = serde_path_to_error::deserialize(Value::Object(operands))
        .map_err(|error| Issue::from_serde(&error))?;
    let options: CompareOptions = serde_path_to_error::deserialize(Value::Object(options))
        .map_err(|error| Issue::from_serde(&error))?;
    options
        .validate(operands.compare)
        .map_err(|error| Issue::new(error.key().unwrap_or(""), error.to_string()))?;
    let expected = &operands.expected;
    let named = [&expected.text, &expected.file, &expected.attachment]
        .iter()
        .filter(|one| one.is_some())
        .count();
    if named != 1 {
        return Err(Issue::new(
            "expected",
            "needs exactly one of `text`, `file` and `attachment`",
        ));
    }
    Ok(Settings { operands, options })
}

fn schema(generator: &mut SchemaGenerator) -> Schema {
    merged([
        Operands::json_schema(generator),
        CompareOptions::json_schema(generator),
    ])
}

fn check_settings(value: &Value) -> Result<Vec<FileNeed>, Issue> {
    let settings = settings(value)?;
    let file = settings.operands.expected.file;
    Ok(file
        .into_iter()
        .map(|name| FileNeed {
            key: "expected",
            name,
            home: FileHome::Plan,
        })
        .collect())
}

fn build(planned: &PlannedGrader, _tools: &Tools) -> Result<Arc<dyn Grader>, GradeError> {
    let Settings { operands, options } = settings(&planned.settings)
        .map_err(|issue| GradeError::new(ErrorKind::PlanInvalid, issue.within(&planned.name).message))?;
    let expected = match (operands.expected.text, operands.expected.attachment) {
        (Some(text), _) => Side::Text(text.into_bytes().into()),
        (None, Some(name)) => Side::Attachment(name),
        (None, None) => {
            let file = planned.files.get("expected").ok_or_else(|| {
                GradeError::new(
                    ErrorKind::PlanInvalid,
                    format!("`{}`: its expected file was not loaded", planned.name),
                )
            })?;
            Side::Text(Arc::clone(&file.bytes))
        }
    };
    let actual = operands.actual.map(|actual| actual.attachment);
    Ok(Arc::new(Diff(Arc::new(Settled {
        name: planned.name.clone(),
        comparator: operands.compare,
        options,
        expected,
        actual,
    }))))
}

enum Side {
    Text(Arc<[u8]>),
    Attachment(String),
}

/// Comparisons at the same time, in the whole process: more than there are processors only cost memory.
static COMPARING: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from)));

/// Bytes of both sides that are compared on the runtime's own thread: about a millisecond for the worst of texts.
const SMALL_BYTES: usize = 8 * 1024;

struct Diff(Arc<Settled>);

struct Settled {
    name: String,
    comparator: Comparator,
    options: CompareOptions,
    expected: Side,
    actual: Option<String>,
}

#[async_trait]
impl Grader for Diff {
    fn name(&self) -> &str {
        &self.0.name
    }

    async fn grade(&self, submission: &Submission, _context: &Context) -> Result<Verdict, GradeError> {
        if let Some(compared) = self.0.grade_small(submission) {
            return compared;
        }
        let (diff, submission) = (Arc::clone(&self.0), submission.clone());
        let _slot = COMPARING
            .acquire()
            .await
            .map_err(|error| GradeError::new(ErrorKind::HostExhausted, error.to_string()))?;
        // Reading and comparing is work for a processor and a disk: it must not hold up the heartbeats of the
        // runtime's threads.
        tokio::task::spawn_blocking(move || diff.grade(&submission))
            .await
            .map_err(|error| GradeError::new(ErrorKind::GraderPanicked, error.to_string()))?
    }
}

impl Settled {
    /// Compares at once where both sides are in memory and small: handing them to another thread costs more.
    fn grade_small(&self, submission: &Submission) -> Option<Result<Verdict, GradeError>> {
        let Side::Text(expected) = &self.expected else {
            return None;
        };
        let small = expected.len() + submission.output_text.len() <= SMALL_BYTES;
        (small && self.actual.is_none()).then(|| self.compare(expected, submission.output_text.as_bytes()))
    }

    fn grade(&self, submission: &Submission) -> Result<Verdict, GradeError> {
        let expected = match &self.expected {
            Side::Text(bytes) => Arc::clone(bytes),
            Side::Attachment(name) => match read(submission, FileRole::Input, name)? {
                Some(bytes) => bytes.into(),
                None => {
                    let message = format!("the job has no input attachment `{name}` to compare with");
                    return Err(GradeError::new(ErrorKind::ExpectedUnusable, message));
                }
            },
        };
        let actual = match &self.actual {
            None => submission.output_text.clone().into_bytes(),
            Some(name) => match read(submission, FileRole::Output, name)? {
                Some(bytes) => bytes,
                None => return Ok(Verdict::fail(format!("the file `{name}` was not handed in"))),
            },
        };
        self.compare(&expected, &actual)
    }

    fn compare(&self, expected: &[u8], actual: &[u8]) -> Result<Verdict, GradeError> {
        compare(expected, actual, self.comparator, &self.options)
            .map(verdict)
            .map_err(|error| match error {
                CompareError::Option(error) => GradeError::new(ErrorKind::PlanInvalid, error.to_string()),
                CompareError::ExpectedUnusable { .. } => {
                    GradeError::new(ErrorKind::ExpectedUnusable, error.to_string())
                }
            })
    }
}

fn read(submission: &Submission, role: FileRole, name: &str) -> Result<Option<Vec<u8>>, GradeError> {
    let Some(file) = submission.file(role, name) else {
        return Ok(None);
    };
    std::fs::read(&file.path).map(Some).map_err(|error| {
        let message = format!("the evidence `{name}` cannot be read: {error}");
        GradeError::new(ErrorKind::HostExhausted, message)
    })
}

fn verdict(comparison: Comparison) -> Verdict {
    let score = Score::new(comparison.score).unwrap_or(Score::ZERO);
    let mut verdict = Verdict::new(comparison.same, score, comparison.summary);
    if let Some(difference) = comparison.difference {
        let evidence = Evidence {
            label: "difference (- expected, + handed in)".to_owned(),
            text: difference.to_string(),
            audience: Audience::Operator,
        };
        verdict.evidence.push(evidence);
    }
    verdict
}
