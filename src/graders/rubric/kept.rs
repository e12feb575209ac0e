//! Plays the calls of an earlier verification back: judging again without the model.

use super::question::{Finish, Question, Reply};
use crate::model_call::{CallFault, CallFinish, LoggedCalls, ModelCall};
use crate::verdict::{ErrorKind, GradeError};

/// The kept calls, in the order of time, and what the log of their verification says of them.
pub(super) struct Kept {
    calls: Vec<ModelCall>,
    logged: LoggedCalls,
}

impl Kept {
    pub(super) fn new(calls: impl IntoIterator<Item = ModelCall>, logged: LoggedCalls) -> Self {
        Self {
            calls: calls.into_iter().collect(),
            logged,
        }
    }

    /// What came of exactly that question then; an error where it was not asked, or where what is kept is not what the log
    /// names.
    pub(super) fn recall(&self, question: &Question<'_>) -> Result<Reply, GradeError> {
        let grader = question.grader;
        let call = match self.logged.believed(question.key, &self.calls) {
            Ok(Some(call)) => call,
            Ok(None) => {
                let message = format!(
                    "no kept answer fits a question of grader `{grader}`: the submission, the prompt, the criteria or \
                     the model are not those of then; ask the judge anew"
                );
                return Err(GradeError::new(ErrorKind::ReplayMismatch, message));
            }
            Err(fault) => {
                let kind = match fault {
                    CallFault::Changed | CallFault::NotLogged | CallFault::Gone => ErrorKind::AnswerChanged,
                    CallFault::Erased => ErrorKind::ReplayMismatch,
                };
                let message = format!(
                    "the kept answer to a question of grader `{grader}`: {fault}; ask the judge anew"
                );
                return Err(GradeError::new(kind, message));
            }
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
        Ok(Reply {
            text: call.answer.clone().unwrap_or_default(),
            finish,
            model: call.model.clone().unwrap_or_default(),
            usage: call.usage,
        })
    }
}
