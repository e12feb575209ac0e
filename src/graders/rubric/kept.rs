//! Plays the calls of an earlier verification back: judging again without the model.

use std::collections::HashMap;

use super::judge::{Finish, Question, Reply};
use crate::digest::Digest;
use crate::model_call::{CallFinish, ModelCall};
use crate::verdict::{ErrorKind, GradeError};

/// The kept calls by what they asked.
pub(super) struct Kept(HashMap<Digest, ModelCall>);

impl Kept {
    /// Of calls in the order of time: where the same was asked twice, the later counts, as it did then.
    pub(super) fn new(calls: impl IntoIterator<Item = ModelCall>) -> Self {
        Self(calls.into_iter().map(|call| (call.key, call)).collect())
    }

    /// What came of exactly that question then; an error where it was not asked.
    pub(super) fn recall(&self, question: &Question<'_>) -> Result<Reply, GradeError> {
        let mismatch = |message: String| Err(GradeError::new(ErrorKind::ReplayMismatch, message));
        let grader = question.grader;
        let Some(call) = self.0.get(&question.key) else {
            return mismatch(format!(
                "no kept answer fits a question of grader `{grader}`: the submission, the prompt, the criteria or the \
                 model are not those of then; ask the judge anew"
            ));
        };
        let finish = match call.finish {
            CallFinish::Complete => Finish::Complete,
            CallFinish::Truncated => Finish::Truncated,
            CallFinish::TooLong => Finish::TooLong,
            CallFinish::Refused => Finish::Refused,
            CallFinish::Failed(kind) => {
                let why = call.rejected.as_deref().unwrap_or_default();
                return Err(GradeError::new(kind, format!("as it was then: {why}")));
            }
        };
        let Some(text) = call.answer.clone() else {
            return mismatch(format!(
                "the kept answer to a question of grader `{grader}` was erased: ask the judge anew"
            ));
        };
        Ok(Reply {
            text,
            finish,
            model: call.model.clone().unwrap_or_default(),
            usage: call.usage,
        })
    }
}
