//! What is heard of an answer while it streams in.

use serde_json::Value;

use super::super::answer::MAX_ANSWER_BYTES;
use super::super::listener::Listener;
use super::super::question::{Finish, Reply};
use super::chunk::Chunk;
use crate::entry::cut;
use crate::model_call::TokenUsage;
use crate::verdict::{ErrorKind, GradeError};

/// Most bytes of reasoning that are passed on; a model that thinks without end is cut off.
const MAX_REASONING_BYTES: usize = 2 * 1024 * 1024;

/// Longest model name that is taken from a server, in bytes.
const MAX_MODEL_BYTES: usize = 200;

/// The tokens, where the server has counted them: a question of none is no count.
fn counted(usage: &Value) -> Option<TokenUsage> {
    let tokens = |key| usage.get(key).and_then(Value::as_u64);
    Some(TokenUsage {
        prompt_tokens: tokens("prompt_tokens").filter(|tokens| *tokens > 0)?,
        completion_tokens: tokens("completion_tokens")?,
    })
}

/// What was heard of an answer so far.
#[derive(Default)]
pub(super) struct Hearing {
    refusal: bool,
    given_up: bool,
    reasoning_bytes: usize,
    model: Option<String>,
    pub(super) finish: Option<Finish>,
}

impl Hearing {
    pub(super) async fn take(&mut self, chunk: Chunk, listener: &mut Listener) -> Result<(), GradeError> {
        if chunk.error.is_some_and(|error| !error.is_null()) {
            let message = "the endpoint reported an error in the middle of the answer";
            return Err(GradeError::new(ErrorKind::ModelStreamCut, message));
        }
        listener.usage = chunk.usage.as_ref().and_then(counted).or(listener.usage);
        self.model = self.model.take().or(chunk.model);
        let Some(choice) = chunk.choices.and_then(|choices| choices.into_iter().next()) else {
            return Ok(());
        };
        if let Some(delta) = choice.delta {
            let reasoning = delta.reasoning_content.or(delta.reasoning).unwrap_or_default();
            self.reasoning_bytes += reasoning.len();
            listener.hear(&reasoning).await;
            let content = delta.content.unwrap_or_default();
            listener.hear(&content).await;
            listener.answer.push_str(&content);
            self.refusal |= delta.refusal.is_some_and(|refusal| !refusal.is_empty());
            if listener.answer.len() > MAX_ANSWER_BYTES || self.reasoning_bytes > MAX_REASONING_BYTES {
                self.finish = Some(Finish::TooLong);
            }
        }
        if let (None, Some(reason)) = (self.finish, choice.finish_reason) {
            match reason.to_ascii_lowercase().as_str() {
                // Some proxies send it with every event.
                "" => {}
                "stop" | "eos" | "eos_token" | "end_turn" | "stop_sequence" | "tool_calls"
                | "function_call" => {
                    self.finish = Some(Finish::Complete);
                }
                "length" | "max_tokens" | "model_length" => self.finish = Some(Finish::Truncated),
                "content_filter" | "refusal" | "safety" => self.finish = Some(Finish::Refused),
                // The server gave up in the middle, or says what nobody knows: no end of an answer, whatever comes after it.
                _ => self.given_up = true,
            }
        }
        Ok(())
    }

    pub(super) fn reply(self, asked_model: Option<&str>, listener: &Listener) -> Result<Reply, GradeError> {
        if self.given_up {
            let message = "the model's answer ended with a finish_reason that is no end: the server gave up";
            return Err(GradeError::new(ErrorKind::ModelStreamCut, message));
        }
        let Some(finish) = self.finish else {
            let message = "the model's answer ended without a finish_reason: it is cut off";
            return Err(GradeError::new(ErrorKind::ModelStreamCut, message));
        };
        Ok(Reply {
            text: listener.answer.clone(),
            finish: if self.refusal { Finish::Refused } else { finish },
            model: cut(
                self.model.as_deref().or(asked_model).unwrap_or_default(),
                MAX_MODEL_BYTES,
            ),
            usage: listener.usage,
        })
    }
}
