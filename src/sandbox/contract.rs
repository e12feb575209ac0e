//! The types of `graders/wit/`, and the rules an answer must keep.

use serde::{Deserialize, Serialize};
use wasmtime::component::{ComponentType, Lift, Lower};

use super::SandboxError;

/// Longest reason or note that is kept, in bytes.
const TEXT_BYTES: usize = 8 << 10;
/// Most notes that are kept.
const NOTES: usize = 100;
/// What a cut text ends with.
const CUT: &str = " [cut]";

/// Where a file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub enum Role {
    /// Handed in by the agent.
    #[component(name = "output")]
    Output,
    /// Given by the sender with the job.
    #[component(name = "input")]
    Input,
}

/// One attachment, as a check sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub struct File {
    /// Cleaned file name, without folders.
    pub name: String,
    /// Media type as stated, not verified.
    #[component(name = "content-type")]
    pub content_type: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the content in lower-case hexadecimal.
    pub sha256: String,
    /// Handed in, or given with the job.
    pub role: Role,
    /// The bytes, where the check may have them.
    #[serde(with = "serde_bytes")]
    pub content: Option<Vec<u8>>,
}

/// What a check is called with: the record `submission` of the contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Call {
    /// Id of the job.
    #[component(name = "job-id")]
    pub job_id: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// Title of the job.
    pub title: String,
    /// What the sender asked for.
    pub prompt: String,
    /// The sender's description.
    pub description: Option<String>,
    /// The sender's requirements.
    pub requirements: Option<String>,
    /// The text that was handed in, empty when there was none.
    #[component(name = "output-text")]
    pub output_text: String,
    /// All attachments.
    pub files: Vec<File>,
    /// Text of a JSON object.
    pub params: String,
}

/// The record `verdict` as the guest wrote it: nothing of it is checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub(super) struct RawVerdict {
    pub(super) pass: bool,
    pub(super) score: f64,
    pub(super) reason: String,
    pub(super) notes: Vec<String>,
}

/// Type of the parameters of `grade`.
pub(super) type GradeParams<'a> = (&'a Call,);
/// Type of the results of `grade`.
pub(super) type GradeResults = (Result<RawVerdict, String>,);
/// Type of the parameters of a script runtime's `run`.
pub(super) type RunParams<'a> = (&'a Script, &'a Call);
/// Type of the results of a script runtime's `run`.
pub(super) type RunResults = (Result<RawVerdict, Problem>,);

/// A check as text, for the runtime of its language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Script {
    /// File name, for messages.
    pub name: String,
    /// The text of the file.
    pub source: String,
}

/// Why a script gave no verdict.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(variant)]
pub(super) enum Problem {
    /// It cannot be read, has no `check`, or failed.
    #[component(name = "failed")]
    Failed(String),
    /// What it answered is no verdict.
    #[component(name = "malformed")]
    Malformed(String),
}

/// What a check says of a submission. The texts are bounded but otherwise as the guest wrote them: they
/// may hold control characters, which whoever prints or stores them has to escape.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Whether the submission passes.
    pub pass: bool,
    /// Finite, from 0 to 1.
    pub score: f64,
    /// Why, at most 8 KiB.
    pub reason: String,
    /// Evidence, at most 100 notes of at most 8 KiB each.
    pub notes: Vec<String>,
}

impl Answer {
    /// Checks what a guest answered and cuts its texts.
    ///
    /// # Errors
    ///
    /// [`SandboxError::MalformedAnswer`] when the score is not a number from 0 to 1.
    pub(super) fn check(raw: RawVerdict) -> Result<Self, SandboxError> {
        if !(0.0..=1.0).contains(&raw.score) {
            return Err(SandboxError::MalformedAnswer(format!(
                "the score must be from 0 to 1, the check said {}",
                raw.score
            )));
        }
        let mut notes: Vec<String> = raw.notes.into_iter().map(|note| cut(note, TEXT_BYTES)).collect();
        if notes.len() > NOTES {
            let dropped = notes.len() - (NOTES - 1);
            notes.truncate(NOTES - 1);
            notes.push(format!("{dropped} more notes were cut"));
        }
        Ok(Self {
            pass: raw.pass,
            score: raw.score.abs(),
            reason: cut(raw.reason, TEXT_BYTES),
            notes,
        })
    }
}

/// The text, or as much of its beginning as fits into `limit` bytes, marked as cut.
pub(super) fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit.saturating_sub(CUT.len())));
        text.push_str(CUT);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(score: f64) -> RawVerdict {
        RawVerdict {
            pass: true,
            score,
            reason: String::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_score_outside_zero_to_one_is_malformed() {
        for score in [f64::NAN, f64::INFINITY, -0.1, 1.000_001] {
            assert!(
                matches!(Answer::check(raw(score)), Err(SandboxError::MalformedAnswer(_))),
                "{score}"
            );
        }
        for score in [0.0, 0.5, 1.0] {
            assert_eq!(Answer::check(raw(score)).unwrap().score, score);
        }
        assert!(Answer::check(raw(-0.0)).unwrap().score.is_sign_positive());
    }

    #[test]
    fn long_texts_and_many_notes_are_cut_and_say_so() {
        let long = "é".repeat(TEXT_BYTES);
        let raw = RawVerdict {
            reason: long.clone(),
            notes: vec![long; 150],
            ..raw(1.0)
        };
        let answer = Answer::check(raw).unwrap();
        assert!(answer.reason.len() <= TEXT_BYTES && answer.reason.ends_with(CUT));
        assert_eq!(answer.notes.len(), NOTES);
        assert!(answer.notes[0].len() <= TEXT_BYTES);
        assert_eq!(answer.notes[NOTES - 1], "51 more notes were cut");
    }
}
