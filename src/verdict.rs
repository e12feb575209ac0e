//! What a grader says of a submission, and what it says when the trouble was ours: two words never mixed.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::digest::Digest;
use crate::entry::Audience;

/// A score in [0, 1], kept as whole millionths so that it is the same on every machine and in every hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(u32);

/// The number is no score.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("a score must be a finite number from 0 to 1, not {0}")]
pub struct ScoreError(pub f64);

impl Score {
    /// The lowest score.
    pub const ZERO: Self = Self(0);
    /// The highest score.
    pub const ONE: Self = Self(1_000_000);

    /// Takes a number from 0 to 1; rounded to millionths, but only 1 itself becomes 1.
    ///
    /// # Errors
    /// Numbers outside, infinities and NaN are refused, never clamped.
    pub fn new(value: f64) -> Result<Self, ScoreError> {
        if !(0.0..=1.0).contains(&value) {
            return Err(ScoreError(value));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0..=1 was just checked"
        )]
        let millionths = (value * 1e6).round() as u32;
        Ok(Self(if value < 1.0 {
            millionths.min(999_999)
        } else {
            1_000_000
        }))
    }

    /// Whole millionths, 0 to 1,000,000.
    pub fn millionths(self) -> u32 {
        self.0
    }

    /// The score as a number.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1e6
    }

    /// The mean of scores by weight; zero where there is nothing to weigh.
    ///
    /// Computed in the order given: the same input gives the same score. Only full scores make a full mean. Weights are
    /// those of a checked plan: finite, above zero, and not so large that their sum is infinite.
    pub fn weighted_mean(parts: impl IntoIterator<Item = (Self, f64)>) -> Self {
        let (mut sum, mut weights, mut highest) = (0.0, 0.0, Self::ONE.0);
        for (score, weight) in parts {
            sum += f64::from(score.0) * weight;
            weights += weight;
            if score < Self::ONE {
                highest = Self::ONE.0 - 1;
            }
        }
        if weights <= 0.0 {
            return Self::ZERO;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mean of scores lies between them"
        )]
        let mean = (sum / weights).round() as u32;
        Self(mean.min(highest))
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Cut, not rounded: 0.9996 must not look like the full score that it is not.
        write!(f, "{}.{:03}", self.0 / 1_000_000, self.0 % 1_000_000 / 1_000)
    }
}

impl fmt::Debug for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_f64())
    }
}

impl JsonSchema for Score {
    fn schema_name() -> Cow<'static, str> {
        "Score".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A score, in whole millionths.",
            "type": "number",
            "minimum": 0,
            "maximum": 1,
        })
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Something that a verdict rests on: a diff, a quote, a count of fuel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What it is, e.g. `diff`, `quote:tone`.
    pub label: String,
    /// Its content; bounded by who makes it.
    pub text: String,
    /// Who may read it.
    pub audience: Audience,
}

/// What ran, so that the verdict can be reproduced: part of promise 8.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Digest of the script, module or prompt that judged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub artifact: Option<Digest>,
    /// Digest of the interpreter that ran a script.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub runtime: Option<Digest>,
    /// Engine and its version, or the model as the server named it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub engine: Option<String>,
    /// Fuel used by a check: deterministic within one engine version.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fuel: Option<u64>,
    /// Peak memory of a check in bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peak_memory_bytes: Option<u64>,
    /// Where a model's answers came from: `live`, `record`, `replay` or `scripted`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub judge_mode: Option<String>,
}

/// What a grader says of the submission. Final and stored; never says anything of our own trouble.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Pass or fail.
    pub passed: bool,
    /// How good, from 0 to 1.
    pub score: Score,
    /// Why, in words that the submitter may read.
    pub reason: String,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
    /// What ran.
    pub provenance: Provenance,
}

impl Verdict {
    /// A pass with the full score.
    pub fn pass(reason: impl Into<String>) -> Self {
        Self::new(true, Score::ONE, reason)
    }

    /// A fail with no score.
    pub fn fail(reason: impl Into<String>) -> Self {
        Self::new(false, Score::ZERO, reason)
    }

    /// A verdict without evidence.
    pub fn new(passed: bool, score: Score, reason: impl Into<String>) -> Self {
        Self {
            passed,
            score,
            reason: reason.into(),
            evidence: Vec::new(),
            provenance: Provenance::default(),
        }
    }
}

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
    /// The model's endpoint is down, refuses the connection or answers 5xx.
    ModelUnavailable = "model-unavailable",
    /// The model's endpoint asks us to slow down.
    ModelRateLimited = "model-rate-limited",
    /// The model's answer broke off.
    ModelStreamCut = "model-stream-cut",
    /// The model's endpoint refuses the request itself: key, model name, parameters.
    ModelRequestRefused = "model-request-refused",
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
    /// What must be shown to the judge is larger than its budget.
    JudgeInputTooLarge = "judge-input-too-large",
    /// The judge did not see all of what it was asked about: values of the job's variables were taken out.
    JudgeInputRedacted = "judge-input-redacted",
    /// No recorded or scripted answer fits the question.
    ReplayMismatch = "replay-mismatch",
    /// A grader panicked: a defect of ours.
    GraderPanicked = "grader-panicked",
}

impl ErrorKind {
    /// Whether the submission comes back or is parked. Every kind is named, so that a new one forces the question.
    pub fn recourse(self) -> Recourse {
        match self {
            Self::AttachmentUnreachable
            | Self::AttachmentNotFoundYet
            | Self::ModelUnavailable
            | Self::ModelRateLimited
            | Self::ModelStreamCut
            | Self::Journal
            | Self::Broker
            | Self::HostExhausted
            | Self::SandboxGuard
            | Self::SandboxDied
            | Self::DeadlineExceeded
            | Self::Cancelled => Recourse::Transient,
            Self::InputRefused
            | Self::ModelRequestRefused
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
}

impl GradeError {
    /// An error of that kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
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

    #[test]
    fn only_finite_numbers_from_0_to_1_are_scores() {
        for wrong in [-0.001, 1.000_001, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Score::new(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Score::new(-0.0).unwrap(), Score::ZERO);
        assert_eq!(Score::new(1.0).unwrap(), Score::ONE);
        assert!(Score::new(0.999_999_9).unwrap() < Score::ONE);
        assert_eq!(Score::new(1.0 / 3.0).unwrap().millionths(), 333_333);
    }

    #[test]
    fn a_mean_weighs_each_score() {
        let mean = Score::weighted_mean([(Score::ONE, 3.0), (Score::ZERO, 1.0)]);
        assert_eq!(mean.millionths(), 750_000);
        assert_eq!(
            Score::weighted_mean([(Score::ONE, 0.1), (Score::ONE, 0.2)]),
            Score::ONE
        );
        assert_eq!(Score::weighted_mean([]), Score::ZERO);
    }

    #[test]
    fn a_score_is_shown_cut_so_that_only_a_full_one_looks_full() {
        assert_eq!(Score::new(0.9999).unwrap().to_string(), "0.999");
        assert_eq!(Score::ONE.to_string(), "1.000");
        assert_eq!(Score::new(0.05).unwrap().to_string(), "0.050");
    }
}
