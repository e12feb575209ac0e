//! Records a model's answers beside a fixture, and plays them back.
//!
//! The file is JSON, for people to read and to keep in version control. Only whole answers are kept: a failed
//! call, a truncated or an empty answer would turn a bad day of the model into the truth.

use std::collections::BTreeMap;
use std::io::{ErrorKind as IoErrorKind, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::judge::JudgeError;
use super::question::{Finish, Question, Reply};
use crate::digest::Digest;
use crate::model_call::TokenUsage;
use crate::verdict::{ErrorKind, GradeError};

/// Version of the file's form.
const VERSION: u32 = 1;

/// A recording.
pub(super) struct Tape {
    path: PathBuf,
    recording: Mutex<Recording>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recording {
    v: u32,
    answers: BTreeMap<Digest, Take>,
}

/// One kept answer.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Take {
    /// The grader that asked, for people.
    grader: String,
    /// The model as the server named it.
    model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usage: Option<TokenUsage>,
    /// The answer, line by line.
    answer: Vec<String>,
}

impl Tape {
    /// Opens a recording.
    pub(super) fn open(path: &Path) -> Result<Self, JudgeError> {
        let unusable = |message: String| JudgeError::Answers {
            path: path.to_owned(),
            message,
        };
        let bytes = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
        let recording: Recording =
            serde_json::from_slice(&bytes).map_err(|error| unusable(format!("{error}; record again")))?;
        if recording.v != VERSION {
            return Err(unusable(format!(
                "version {} is not {VERSION}, which this program reads; record again",
                recording.v
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            recording: Mutex::new(recording),
        })
    }

    /// Opens a recording, or begins one where there is no file.
    pub(super) fn open_or_new(path: &Path) -> Result<Self, JudgeError> {
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == IoErrorKind::NotFound => Ok(Self {
                path: path.to_owned(),
                recording: Mutex::new(Recording {
                    v: VERSION,
                    answers: BTreeMap::new(),
                }),
            }),
            Ok(_) | Err(_) => Self::open(path),
        }
    }

    /// Keeps an answer, if it is a whole one.
    pub(super) async fn keep(&self, question: &Question<'_>, reply: &Reply) -> Result<(), GradeError> {
        if reply.finish != Finish::Complete || reply.text.trim().is_empty() {
            return Ok(());
        }
        // Held over the write: two graders of a plan record into the same file.
        let mut recording = self.recording.lock().await;
        recording.answers.insert(
            question.key,
            Take {
                grader: question.grader.to_owned(),
                model: reply.model.clone(),
                usage: reply.usage,
                answer: reply.text.split('\n').map(str::to_owned).collect(),
            },
        );
        self.write(&recording).map_err(|error| {
            let message = format!("the recording {} cannot be written: {error}", self.path.display());
            GradeError::new(ErrorKind::HostExhausted, message)
        })
    }

    /// Writes the file whole or not at all.
    fn write(&self, recording: &Recording) -> std::io::Result<()> {
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut file, recording)?;
        file.write_all(b"\n")?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }

    /// The kept answer to exactly that question.
    pub(super) async fn recall(&self, question: &Question<'_>) -> Result<Reply, GradeError> {
        let recording = self.recording.lock().await;
        let Some(take) = recording.answers.get(&question.key) else {
            let grader = question.grader;
            let known = if recording.answers.values().any(|take| take.grader == grader) {
                "answers other questions of"
            } else {
                "knows nothing of"
            };
            let message = format!(
                "the recording {} {known} grader `{grader}`: the submission, the prompt, the criteria or the model \
                 are not those that were recorded; run again with the judge in mode `record`",
                self.path.display()
            );
            return Err(GradeError::new(ErrorKind::ReplayMismatch, message));
        };
        Ok(Reply {
            text: take.answer.join("\n"),
            finish: Finish::Complete,
            model: take.model.clone(),
            usage: take.usage,
        })
    }
}
