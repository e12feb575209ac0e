//! What went wrong on our side or the sender's: the blame table of DESIGN.md section 2, but for the submitter's rows
//! ([`Fault`](crate::submission::Fault)).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::digest::Digest;

/// What becomes of a grade error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recourse {
    /// It passes: the submission comes back later.
    Transient,
    /// It stays: the submission is parked for a person.
    Permanent,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// What went wrong on our side (or the sender's); never a verdict.
        ///
        /// The rows of the blame table (DESIGN.md section 2) that are not the submitter's.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorKind { $($(#[$doc])* $variant,)* }

        impl ErrorKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The kebab-case text form.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

kinds! {
    /// DNS, connection, time-out or 5xx of the host of an attachment.
    AttachmentUnreachable = "attachment-unreachable",
    /// The attachment's host says the file is gone, but not yet often enough to blame the submitter.
    AttachmentNotFoundYet = "attachment-not-found-yet",
    /// The operator's rules do not let us fetch an input that the sender gave.
    InputRefused = "input-refused",
    /// Every judge's slot of this worker is taken: the submission moves to the judges' lane.
    JudgesBusy = "judges-busy",
    /// The model's endpoint is down, refuses the connection or answers 5xx.
    ModelUnavailable = "model-unavailable",
    /// The model's endpoint asks us to slow down.
    ModelRateLimited = "model-rate-limited",
    /// The model's answer broke off.
    ModelStreamCut = "model-stream-cut",
    /// The model's endpoint refuses the request itself: key, model name, parameters.
    ModelRequestRefused = "model-request-refused",
    /// No model is set up to answer rubrics.
    NoJudge = "no-judge",
    /// The journal cannot be written or read.
    Journal = "journal",
    /// The broker cannot be reached.
    Broker = "broker",
    /// The host has no memory, disk or process left.
    HostExhausted = "host-exhausted",
    /// The wall-clock guard of the sandbox struck.
    SandboxGuard = "sandbox-guard",
    /// The sandbox's process died or could not be used.
    SandboxDied = "sandbox-died",
    /// The verification's own deadline passed.
    DeadlineExceeded = "deadline-exceeded",
    /// Somebody called the verification off, e.g. because the worker shuts down.
    Cancelled = "cancelled",
    /// The plan is unknown, broken or names what does not exist.
    PlanInvalid = "plan-invalid",
    /// The expected side of a comparison is missing or unusable.
    ExpectedUnusable = "expected-unusable",
    /// The script's module is refused: imports, wrong export, no component, too large.
    ScriptRefused = "script-refused",
    /// The script itself reported an error.
    ScriptFailed = "script-failed",
    /// The script trapped.
    ScriptTrapped = "script-trapped",
    /// The script's answer is no verdict.
    ScriptAnswerMalformed = "script-answer-malformed",
    /// The script used up its fuel, and the plan says to park.
    FuelExhausted = "fuel-exhausted",
    /// The script asked for more memory than it may have, and the plan says to park.
    MemoryExhausted = "memory-exhausted",
    /// The judge's answer is off the menu after one re-ask and escalation.
    JudgeOffMenu = "judge-off-menu",
    /// The judge refused to judge.
    JudgeRefused = "judge-refused",
    /// Another model finds that the hand-in tries to influence its own grading, and the plan says to park.
    InfluenceSuspected = "influence-suspected",
    /// As much was spent on the job's judges as the operator allows.
    SpendCeilingJob = "spend-ceiling-job",
    /// As much was spent on judges today as the operator allows.
    SpendCeilingDay = "spend-ceiling-day",
    /// What must be shown to the judge is larger than its budget.
    JudgeInputTooLarge = "judge-input-too-large",
    /// The judge did not see all of what it was asked about: values of the job's variables were taken out.
    JudgeInputRedacted = "judge-input-redacted",
    /// No recorded or scripted answer fits the question.
    ReplayMismatch = "replay-mismatch",
    /// A kept answer is not the one that the log of its verification names.
    AnswerChanged = "answer-changed",
    /// A grader panicked: a defect of ours.
    GraderPanicked = "grader-panicked",
}

impl ErrorKind {
    /// Whether the submission comes back or is parked. Every kind is named, so that a new one forces the question.
    pub fn recourse(self) -> Recourse {
        match self {
            Self::AttachmentUnreachable
            | Self::AttachmentNotFoundYet
            | Self::JudgesBusy
            | Self::ModelUnavailable
            | Self::ModelRateLimited
            | Self::ModelStreamCut
            | Self::SpendCeilingDay
            | Self::Journal
            | Self::Broker
            | Self::HostExhausted
            | Self::SandboxGuard
            | Self::SandboxDied
            | Self::DeadlineExceeded
            | Self::Cancelled => Recourse::Transient,
            Self::InputRefused
            | Self::ModelRequestRefused
            | Self::NoJudge
            | Self::InfluenceSuspected
            | Self::SpendCeilingJob
            | Self::PlanInvalid
            | Self::ExpectedUnusable
            | Self::ScriptRefused
            | Self::ScriptFailed
            | Self::ScriptTrapped
            | Self::ScriptAnswerMalformed
            | Self::FuelExhausted
            | Self::MemoryExhausted
            | Self::JudgeOffMenu
            | Self::JudgeRefused
            | Self::JudgeInputTooLarge
            | Self::JudgeInputRedacted
            | Self::ReplayMismatch
            | Self::AnswerChanged
            | Self::GraderPanicked => Recourse::Permanent,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no kind of grade error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of grade error")]
pub struct ParseErrorKindError(String);

impl FromStr for ErrorKind {
    type Err = ParseErrorKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| ParseErrorKindError(text.to_owned()))
    }
}

impl JsonSchema for ErrorKind {
    fn schema_name() -> Cow<'static, str> {
        "ErrorKind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What went wrong on our side or the sender's; never a verdict.",
            "enum": Self::ALL,
        })
    }
}

impl Serialize for ErrorKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// What went wrong while grading, on our side or the sender's. Never a verdict and never a lost attempt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct GradeError {
    /// What it is; decides whether it comes back.
    pub kind: ErrorKind,
    /// What happened and what to do next, for the operator.
    pub message: String,
    /// What it is about, where trouble with one thing must not count as trouble with another: digest of a file's URL.
    pub about: Option<Digest>,
}

impl GradeError {
    /// An error of that kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            about: None,
        }
    }

    /// The same, about that.
    #[must_use]
    pub fn about(self, about: Digest) -> Self {
        Self {
            about: Some(about),
            ..self
        }
    }

    /// Whether the submission comes back or is parked.
    pub fn recourse(&self) -> Recourse {
        self.kind.recourse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_kind_round_trips_in_kebab_case() {
        for kind in ErrorKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            assert!(kind.as_str().chars().all(|c| c.is_ascii_lowercase() || c == '-'));
        }
        assert!("no-such-kind".parse::<ErrorKind>().is_err());
    }

    /// The rows of the blame table that are ours, by the words of DESIGN.md section 2.
    #[test]
    fn the_blame_table_says_what_comes_back_and_what_parks() {
        use ErrorKind::*;
        let comes_back = [
            (
                "DNS, connection, time-out, 5xx of an attachment host",
                AttachmentUnreachable,
            ),
            ("404/410 before the third try", AttachmentNotFoundYet),
            ("model down", ModelUnavailable),
            ("429", ModelRateLimited),
            ("cut stream", ModelStreamCut),
            ("database", Journal),
            ("broker", Broker),
            ("host out of memory", HostExhausted),
            ("wall-clock guard of the sandbox", SandboxGuard),
            ("death of the sandbox's child", SandboxDied),
            ("deadline", DeadlineExceeded),
            ("shutdown", Cancelled),
        ];
        for (row, kind) in comes_back {
            assert_eq!(kind.recourse(), Recourse::Transient, "{row}");
        }
        let parks = [
            ("no judge is set up", NoJudge),
            ("plan missing or broken", PlanInvalid),
            ("expected text missing or broken", ExpectedUnusable),
            ("module refused", ScriptRefused),
            ("script error", ScriptFailed),
            ("trap", ScriptTrapped),
            ("malformed answer", ScriptAnswerMalformed),
            ("fuel, default", FuelExhausted),
            ("memory, default", MemoryExhausted),
            ("judge off-menu after re-ask", JudgeOffMenu),
            ("judge shown not all of it", JudgeInputTooLarge),
            ("judge kept from a variable's value", JudgeInputRedacted),
            ("panic in a grader", GraderPanicked),
        ];
        for (row, kind) in parks {
            assert_eq!(kind.recourse(), Recourse::Permanent, "{row}");
        }
    }
}
