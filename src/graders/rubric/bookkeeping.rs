//! What is written of a call: what is kept of it, and what the log says.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::answer::AnswerError;
use super::asking::Asker;
use super::keeper::CallKeeper;
use super::listener::Listener;
use super::live::tokens_of;
use super::money::in_cents;
use super::question::{Finish, Form, Message, Question, Reply};
use crate::digest::Digest;
use crate::entry::Audience;
use crate::model_call::{CallFinish, LoggedCall, ModelCall, TokenUsage};
use crate::secrets::Redacted;
use crate::verdict::{ErrorKind, GradeError};

impl Asker<'_> {
    fn cost(&self, model: &str, usage: Option<TokenUsage>) -> Option<u64> {
        self.judge.model()?.money().cost(model, usage.unwrap_or_default())
    }

    /// The call as it is kept where it is called off before anybody has answered.
    pub(super) fn begun(&self, question: &Question<'_>, form: Form) -> ModelCall {
        let started_at = self.context.clock.now();
        let prompt = Message::as_json(&question.messages);
        let prompt_digest = Digest::of(prompt.as_bytes());
        // The operator's criteria are shown as they are; where one repeats a value, it is not kept.
        let prompt = self
            .context
            .log
            .without_secrets(&prompt, &mut Redacted::default());
        let model = question
            .model
            .map(str::to_owned)
            .or_else(|| self.judge.default_model());
        // What counts where the call is called off before anybody has said what it took.
        let usage = self.judge.model().map(|asked| TokenUsage {
            completion_tokens: 0,
            ..asked.estimate(question)
        });
        ModelCall {
            id: Uuid::now_v7(),
            cost_microcents: model.as_deref().and_then(|model| self.cost(model, usage)),
            grader: question.grader.to_owned(),
            criteria: question
                .criteria
                .iter()
                .map(|criterion| criterion.id.clone())
                .collect(),
            sample: question.sample,
            parameters: self.judge.parameters(model.as_deref(), form),
            model_asked: model.unwrap_or_default(),
            model: None,
            judge_mode: self.judge.mode().as_str().to_owned(),
            prompt: Some(prompt),
            prompt_digest,
            answer: None,
            answer_digest: None,
            finish: CallFinish::Failed(ErrorKind::Cancelled),
            rejected: Some("called off while the judge wrote".to_owned()),
            usage_estimated: usage.is_some(),
            usage,
            key: question.key,
            reused: None,
            started_at,
            ended_at: started_at,
        }
    }

    /// Fills in how the call ended.
    pub(super) fn end<T>(
        &self,
        call: &mut ModelCall,
        reply: &Result<(Reply, Result<T, AnswerError>), GradeError>,
        listener: &Listener,
        ended_at: Timestamp,
    ) {
        let log = &self.context.log;
        call.ended_at = ended_at;
        let answer = match reply {
            Ok((reply, answer)) => {
                call.finish = reply.finish.into();
                call.model = Some(log.clean(&reply.model));
                call.rejected = match (reply.finish, answer) {
                    (Finish::Refused, _) => Some("the judge refused".to_owned()),
                    (_, Err(error)) => Some(error.to_string()),
                    (_, Ok(_)) => None,
                };
                &reply.text
            }
            Err(error) => {
                call.finish = CallFinish::Failed(error.kind);
                call.rejected = Some(log.clean(&error.message));
                &listener.answer
            }
        };
        let heard = reply.is_ok() || !answer.is_empty();
        call.answer = heard.then(|| log.without_secrets(answer, &mut Redacted::default()));
        call.answer_digest = call.answer.as_ref().map(|answer| Digest::of(answer.as_bytes()));
        let estimate = call.usage.filter(|_| listener.charged).map(|asked| TokenUsage {
            completion_tokens: tokens_of(listener.heard_bytes()),
            ..asked
        });
        call.usage_estimated = listener.usage.is_none() && estimate.is_some();
        call.usage = listener.usage.or(estimate);
        call.cost_microcents = self.cost(&call.model_asked, call.usage);
    }

    /// Says in the log how the call ended and what it took.
    pub(super) async fn tell(&self, call: &ModelCall) {
        let how = match call.finish {
            CallFinish::Failed(kind) => format!("the call failed ({kind})"),
            CallFinish::Complete | CallFinish::Truncated | CallFinish::TooLong | CallFinish::Refused => {
                format!("{} answered", call.model.as_deref().unwrap_or_default())
            }
        };
        let tokens = call.usage.map_or_else(
            || "no tokens".to_owned(),
            |usage| {
                let about = if call.usage_estimated { "about " } else { "" };
                format!(
                    "{about}{} tokens in, {} out",
                    usage.prompt_tokens, usage.completion_tokens
                )
            },
        );
        let cost = call.cost_microcents.map(|cost| format!(", {}", in_cents(cost)));
        let text = format!(
            "judge ({}): {how}; {tokens}{}",
            call.judge_mode,
            cost.unwrap_or_default()
        );
        self.context.log.info(Audience::Operator, text).await;
        self.log_call(call).await;
    }

    /// Names question and answer in the log, so that its chain binds what is kept of the call.
    pub(super) async fn log_call(&self, call: &ModelCall) {
        let content = LoggedCall::of(call).to_value();
        self.context.log.result(Audience::Operator, content).await;
    }
}

/// A call that is kept even where nobody waits for its answer any more: it was paid for.
pub(super) struct Unkept {
    /// Where it is kept.
    pub(super) calls: Arc<dyn CallKeeper>,
    /// The call, until somebody else keeps it.
    pub(super) call: Option<ModelCall>,
}

impl Drop for Unkept {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let calls = Arc::clone(&self.calls);
        runtime.spawn(async move {
            if let Err(error) = calls.keep(&call).await {
                tracing::warn!(%error, "a call of a model that was called off is not kept");
            }
        });
    }
}
