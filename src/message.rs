//! The messages of the broker, version 1: a job was submitted, a submission was decided.

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::digest::{Digest, FieldHasher};
use crate::entry::VerificationId;
use crate::job::{Job, JobId};
use crate::outcome::{GraderEnd, GraderReport, Outcome};
use crate::plan::PlanRef;
use crate::receipt::{Receipt, Trigger};
use crate::verdict::Score;

/// The version of both messages.
pub const VERSION: u32 = 1;

/// Most bytes of a submitted-job message.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// What stands in place of erased words (`assay.without_reasons` in the database).
const ERASED: &str = "[erased]";

/// The message that a job was submitted.
#[derive(Debug, Clone, PartialEq)]
pub struct SubmittedJob {
    /// What was handed in.
    pub work: Work,
    /// The plan that judges it; the operator's rules choose where there is none.
    pub plan: Option<PlanChoice>,
}

/// What was handed in: the job itself, or where to find it.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// The whole job.
    Whole(Box<Job>),
    /// The job is read from the marketplace's database.
    Thin {
        /// The job.
        job_id: JobId,
        /// The attempt; a job that has moved on is parked as `stale`.
        attempt: u32,
        /// Digest of what was handed in, compared where it is given.
        submission_sha256: Option<Digest>,
    },
}

/// How a message names its plan.
#[derive(Debug, Clone, PartialEq)]
pub enum PlanChoice {
    /// A plan of the operator's.
    Named(String),
    /// A plan of the sender's, not yet checked.
    Inline(Map<String, Value>),
}

/// A message that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// It is larger than agreed.
    #[error("the message has {0} bytes, more than {MAX_MESSAGE_BYTES}: send the job's id instead of the job")]
    TooLarge(usize),
    /// Its form is another version's.
    #[error("version {0} of the message is not {VERSION}, which this program reads")]
    Version(u32),
    /// It is no JSON of the form.
    #[error("{field}: {message}")]
    Malformed {
        /// Path of the field, `.` for the whole.
        field: String,
        /// What is wrong.
        message: String,
    },
    /// It says both what was handed in and where to find it, or neither.
    #[error("the message needs either `job` or `job_id` with `attempt`")]
    Work,
}

/// The form on the wire: both forms of the message in one.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wire {
    /// Version of the form: 1.
    #[schemars(extend("const" = VERSION))]
    v: u32,
    /// The job with what was handed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<Box<Job>>,
    /// The job's id, instead of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job_id: Option<JobId>,
    /// The attempt; goes with `job_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    /// Digest of what was handed in; goes with `job_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    submission_sha256: Option<Digest>,
    /// A plan's name, or an inline plan (`assay schema plan`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("type" = ["string", "object", "null"]))]
    plan: Option<Value>,
}

impl SubmittedJob {
    /// Reads a message.
    ///
    /// # Errors
    /// Says what is wrong with it, without quoting a secret.
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(MessageError::TooLarge(bytes.len()));
        }
        Self::parse_kept(bytes)
    }

    /// Reads a message that we keep. It may be larger than one of the broker's: the job that a thin one names is kept whole.
    ///
    /// # Errors
    /// As [`SubmittedJob::parse`], but for the size.
    pub fn parse_kept(bytes: &[u8]) -> Result<Self, MessageError> {
        // Keeping track of the path costs as much as reading: only where there is something to say.
        if let Ok(wire) = serde_json::from_slice::<Wire>(bytes) {
            return Self::try_from(wire);
        }
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let wire: Wire = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let field = error.path().to_string();
            let message = error.into_inner().to_string();
            MessageError::Malformed { field, message }
        })?;
        deserializer.end().map_err(|error| MessageError::Malformed {
            field: ".".to_owned(),
            message: error.to_string(),
        })?;
        Self::try_from(wire)
    }

    /// The message as JSON.
    ///
    /// # Errors
    /// Where a value of the plan cannot be written, which none that was read can cause.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let (mut wire, plan) = (
            Wire {
                v: VERSION,
                job: None,
                job_id: None,
                attempt: None,
                submission_sha256: None,
                plan: None,
            },
            self.plan.clone(),
        );
        match self.work.clone() {
            Work::Whole(job) => wire.job = Some(job),
            Work::Thin {
                job_id,
                attempt,
                submission_sha256,
            } => {
                wire.job_id = Some(job_id);
                wire.attempt = Some(attempt);
                wire.submission_sha256 = submission_sha256;
            }
        }
        wire.plan = plan.map(|plan| match plan {
            PlanChoice::Named(name) => Value::String(name),
            PlanChoice::Inline(plan) => Value::Object(plan),
        });
        serde_json::to_vec(&wire)
    }
}

impl TryFrom<Wire> for SubmittedJob {
    type Error = MessageError;

    fn try_from(wire: Wire) -> Result<Self, MessageError> {
        if wire.v != VERSION {
            return Err(MessageError::Version(wire.v));
        }
        let work = match (wire.job, wire.job_id, wire.attempt, wire.submission_sha256) {
            (Some(job), None, None, None) => Work::Whole(job),
            (None, Some(job_id), Some(attempt), submission_sha256) => Work::Thin {
                job_id,
                attempt,
                submission_sha256,
            },
            _ => return Err(MessageError::Work),
        };
        let plan = match wire.plan {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(PlanChoice::Named(name)),
            Some(Value::Object(plan)) => Some(PlanChoice::Inline(plan)),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
                return Err(MessageError::Malformed {
                    field: "plan".to_owned(),
                    message: "expected a plan's name or an inline plan".to_owned(),
                });
            }
        };
        Ok(Self { work, plan })
    }
}

/// The message without the values of the job's variables, for where it is kept for people to read. What is no JSON is
/// kept as it is: nobody can say what in it is a value.
pub fn without_variables(message: &[u8]) -> Vec<u8> {
    fn blank(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(blank),
            Value::Object(map) => map.values_mut().for_each(blank),
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) | Value::String(_) => *value = Value::from("[redacted]"),
        }
    }
    let Ok(mut value) = serde_json::from_slice::<Value>(message) else {
        return message.to_vec();
    };
    let Some(variables) = value.get_mut("job").and_then(|job| job.get_mut("env_vars")) else {
        return message.to_vec();
    };
    blank(variables);
    serde_json::to_vec(&value).unwrap_or_default()
}

impl JsonSchema for SubmittedJob {
    fn schema_name() -> Cow<'static, str> {
        "SubmittedJob".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Wire::json_schema(generator);
        let forms = json_schema!({
            "description": "A job was submitted: the job itself, or its id and attempt.",
            "oneOf": [
                { "required": ["job"], "not": { "anyOf": [
                    { "required": ["job_id"] }, { "required": ["attempt"] }, { "required": ["submission_sha256"] },
                ] } },
                { "required": ["job_id", "attempt"], "not": { "required": ["job"] } },
            ],
        });
        for (key, value) in forms.as_object().into_iter().flatten() {
            schema.insert(key.clone(), value.clone());
        }
        schema
    }
}

/// The message that carries a decision; routing keys `job.verified` and `job.retry`, message id = verification id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutcomeMessage {
    /// Version of the form: 1.
    #[schemars(extend("const" = VERSION))]
    pub v: u32,
    /// The answer.
    pub outcome: Outcome,
    /// The job.
    pub job_id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// The verification.
    pub verification_id: VerificationId,
    /// Why it was made.
    pub trigger: Trigger,
    /// The verification whose decision this one overturns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<VerificationId>,
    /// The plan's score.
    pub score: Score,
    /// The score that the plan asks for.
    pub threshold: f64,
    /// What each grader said, in words that the submitter may read.
    pub graders: Vec<GraderWords>,
    /// The plan that judged.
    pub plan: PlanRef,
    /// When it was decided.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub decided_at: Timestamp,
    /// What settlement pays on.
    pub receipt: Receipt,
}

impl OutcomeMessage {
    /// Digest of what is left of a decision whatever is erased: the receipt, the threshold, the plan's name, and how each grader
    /// ended, without its words. Checkpoints seal it.
    pub fn lasting_digest(&self) -> Digest {
        let mut fields = FieldHasher::new("assay-decision-v1")
            .bytes(self.receipt.digest().as_bytes())
            .text(&self.threshold.to_string())
            .text(&self.plan.name)
            .number(i64::try_from(self.graders.len()).unwrap_or(i64::MAX));
        for words in &self.graders {
            let score = words.score.map(|score| score.millionths().to_string());
            fields = fields
                .text(&words.name)
                .text(&words.kind)
                .text(words.verdict.as_str())
                .optional(score.as_deref());
        }
        fields.finish()
    }

    /// Whether `kept` says the same, but for words of graders that were erased there since.
    pub fn is_kept_as(&self, kept: &Self) -> bool {
        let mut left = self.clone();
        for (words, kept) in left.graders.iter_mut().zip(&kept.graders) {
            if kept.reason == ERASED {
                words.reason.clone_from(&kept.reason);
            }
        }
        left == *kept
    }
}

/// What one grader said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GraderWords {
    /// Its name in the plan.
    pub name: String,
    /// Its kind; `hand-in` for the built-in gate.
    pub kind: String,
    /// How it ended.
    pub verdict: GraderEnd,
    /// Its score; none where it gave no verdict.
    pub score: Option<Score>,
    /// Why.
    pub reason: String,
}

impl From<GraderReport> for GraderWords {
    fn from(report: GraderReport) -> Self {
        Self {
            name: report.name,
            kind: report.kind,
            verdict: report.verdict,
            score: report.score,
            reason: report.reason,
        }
    }
}
