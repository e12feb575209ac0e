//! Asks one question: uses an answer that was paid for, or asks the judge; keeps the call whatever becomes of it.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::answer::AnswerError;
use super::judge::{Finish, Form, Judge, Message, Question, Reply};
use super::keeper::{CallKeeper, Paid};
use super::listener::Listener;
use super::live::{RESPONSE_FORMAT, tokens_of};
use super::money::{in_cents, refusal};
use super::under_way::{Begun, UnderWay};
use crate::digest::Digest;
use crate::entry::Audience;
use crate::graders::Context;
use crate::model_call::{CallFinish, LoggedCall, ModelCall, TokenUsage};
use crate::pacing::Turn;
use crate::secrets::Redacted;
use crate::verdict::{ErrorKind, GradeError};

/// Asks the questions of one grader.
pub(super) struct Asker<'a> {
    /// Who answers.
    pub(super) judge: &'a Judge,
    /// Where calls are kept.
    pub(super) calls: &'a Arc<dyn CallKeeper>,
    /// Log, clock, deadline.
    pub(super) context: &'a Context,
    /// Who may read the judge's words.
    pub(super) audience: Audience,
    /// Its calls that have not ended.
    pub(super) under_way: UnderWay,
}

/// What came of a question.
pub(super) struct Asked<T> {
    /// The answer as read, or what is wrong with it.
    pub(super) answer: Result<T, AnswerError>,
    /// The model as the server named it.
    pub(super) model: String,
}

impl Asker<'_> {
    /// Asks, unless the verification is called off or out of time, and reads the answer with `read`.
    pub(super) async fn ask<T>(
        &self,
        question: &Question<'_>,
        read: impl Fn(&Reply) -> Result<T, AnswerError>,
    ) -> Result<Asked<T>, GradeError> {
        match self.calls.paid(question.key).await? {
            Paid::Nothing => {}
            Paid::Answer(call) if self.would_ask_the_same(question, &call) => {
                return self.use_again(question, &call, read).await;
            }
            // Another model's, or of other parameters: asked anew.
            Paid::Answer(_) => {}
            Paid::NotBelieved(why) => {
                let text = format!(
                    "an answer paid for in an earlier run is not used, the judge is asked again: {why}"
                );
                self.context.log.info(Audience::Operator, text).await;
            }
        }
        let (mut reply, schema_refused) = self.call(question, Form::Usual, &read).await;
        if schema_refused && reply.is_err() {
            let text = "the endpoint refuses the schema of the answer: asked in words";
            self.context.log.info(Audience::Operator, text).await;
            (reply, _) = self.call(question, Form::InWords, &read).await;
        }
        let (reply, answer) = reply?;
        if reply.finish == Finish::Refused {
            let message = "the judge refused to judge this submission; look at it yourself";
            return Err(GradeError::new(ErrorKind::JudgeRefused, message));
        }
        Ok(Asked {
            answer,
            model: reply.model,
        })
    }

    /// Whether the question would go now where that answer came from: to the model, at the endpoint and with the parameters of
    /// then. The question's key says nothing of the operator's settings. How the form was asked for makes no difference: answers
    /// are read as strictly either way.
    fn would_ask_the_same(&self, question: &Question<'_>, paid: &ModelCall) -> bool {
        let model = question
            .model
            .map(str::to_owned)
            .or_else(|| self.judge.default_model());
        let but_form = |parameters: &Value| {
            let mut parameters = parameters.clone();
            if let Some(parameters) = parameters.as_object_mut() {
                parameters.remove(RESPONSE_FORMAT);
            }
            parameters
        };
        let parameters = self.judge.parameters(model.as_deref(), Form::Usual);
        paid.judge_mode == self.judge.mode().as_str()
            && paid.model_asked == model.unwrap_or_default()
            && but_form(&paid.parameters) == but_form(&parameters)
    }

    /// The answer of an earlier run over the same hand-in, as if the judge had given it now.
    async fn use_again<T>(
        &self,
        question: &Question<'_>,
        paid: &ModelCall,
        read: impl Fn(&Reply) -> Result<T, AnswerError>,
    ) -> Result<Asked<T>, GradeError> {
        let log = &self.context.log;
        let reply = Reply {
            text: paid.answer.clone().unwrap_or_default(),
            finish: Finish::Complete,
            model: paid.model.clone().unwrap_or_default(),
            usage: paid.usage,
        };
        let mut listener = Listener::new(log.clone(), self.audience);
        listener.hear(&reply.text).await;
        listener.end().await;
        let text = "the judge is not asked again: this answer was paid for in an earlier run";
        log.info(Audience::Operator, text).await;
        let answer = read(&reply);
        let now = self.context.clock.now();
        let call = ModelCall {
            id: Uuid::now_v7(),
            rejected: answer.as_ref().err().map(ToString::to_string),
            cost_microcents: Some(0),
            reused: Some(paid.reused.unwrap_or(paid.id)),
            started_at: now,
            ended_at: now,
            grader: question.grader.to_owned(),
            ..paid.clone()
        };
        self.log_call(&call).await;
        self.calls.keep(&call).await?;
        Ok(Asked {
            answer,
            model: reply.model,
        })
    }

    /// One call. Also says whether it is worth asking again without a schema.
    async fn call<T>(
        &self,
        question: &Question<'_>,
        form: Form,
        read: impl Fn(&Reply) -> Result<T, AnswerError>,
    ) -> (Result<(Reply, Result<T, AnswerError>), GradeError>, bool) {
        let Context {
            log,
            clock,
            cancel,
            deadline,
            ..
        } = self.context;
        let mut begun = self.begun(question, form);
        let (turn, _under_way) = match self.turn(question, begun.id).await {
            Ok(turn) => turn,
            Err(error) => return (Err(error), false),
        };
        begun.started_at = clock.now();
        begun.ended_at = begun.started_at;
        let mut listener = Listener::new(log.clone(), self.audience);
        let began = Instant::now();
        let mut unkept = Unkept {
            calls: Arc::clone(self.calls),
            call: Some(begun),
        };
        let reply = tokio::select! {
            biased;
            () = cancel.cancelled() => {
                Err(GradeError::new(ErrorKind::Cancelled, "the verification was called off while the judge wrote"))
            }
            () = sleep_until(*deadline) => {
                let message = "the verification's time ran out while the judge wrote";
                Err(GradeError::new(ErrorKind::DeadlineExceeded, message))
            }
            reply = self.judge.ask(question, form, turn, &mut listener) => reply,
        };
        listener.end().await;
        let schema_refused = listener.schema_refused;
        let read_reply = reply.map(|reply| {
            let answer = read(&reply);
            (reply, answer)
        });
        if let Some(mut call) = unkept.call.take() {
            self.end(&mut call, &read_reply, &listener, clock.now());
            if let Some(model) = self.judge.model() {
                model.count(&call, began.elapsed());
            }
            self.tell(&call).await;
            if let Err(error) = self.calls.keep(&call).await {
                // What went wrong first is what counts.
                return (read_reply.and(Err(error)), false);
            }
        }
        (read_reply, schema_refused)
    }

    /// Waits for the call's turn, where a model is asked, and for room under the ceilings. What was spent while it waited counts,
    /// and so do calls under way, at what they may cost: where they alone leave no room, those of this grader are waited for.
    async fn turn(
        &self,
        question: &Question<'_>,
        call: Uuid,
    ) -> Result<(Option<Turn>, Option<Begun<'_>>), GradeError> {
        let Some(model) = self.judge.model() else {
            return Ok((None, None));
        };
        loop {
            let turn = self.unless_over(model.turn(question)).await?;
            if !model.money().has_ceilings() {
                return Ok((Some(turn), None));
            }
            let asked = question
                .model
                .map(str::to_owned)
                .or_else(|| model.default_model());
            let estimate = model.estimate(question);
            let reservation = model
                .money()
                .reservation(call, &asked.unwrap_or_default(), estimate)?;
            let begun = self.under_way.begin();
            let Some(no_room) = self.calls.reserve(&reservation).await? else {
                return Ok((Some(turn), Some(begun.made())));
            };
            drop(turn);
            let in_the_end = no_room.spent.on_job.saturating_sub(no_room.under_way_on_job);
            let may_fit =
                !reservation.exceeds_job(in_the_end) && !reservation.exceeds_day(no_room.spent.today);
            if !(may_fit && self.unless_over(begun.waits_for_others()).await?) {
                return Err(refusal(&reservation, no_room.spent));
            }
        }
    }

    /// Waits, unless the verification is called off or out of time before.
    async fn unless_over<T>(&self, waiting: impl Future<Output = T>) -> Result<T, GradeError> {
        let Context { cancel, deadline, .. } = self.context;
        tokio::select! {
            biased;
            () = cancel.cancelled() => {
                Err(GradeError::new(ErrorKind::Cancelled, "called off while it waited for its turn at the judge"))
            }
            () = sleep_until(*deadline) => {
                let message = "the verification's time ran out while it waited for its turn at the judge";
                Err(GradeError::new(ErrorKind::DeadlineExceeded, message))
            }
            it = waiting => Ok(it),
        }
    }

    fn cost(&self, model: &str, usage: Option<TokenUsage>) -> Option<u64> {
        self.judge.model()?.money().cost(model, usage.unwrap_or_default())
    }

    fn begun(&self, question: &Question<'_>, form: Form) -> ModelCall {
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
    fn end<T>(
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
    async fn tell(&self, call: &ModelCall) {
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
    async fn log_call(&self, call: &ModelCall) {
        let content = LoggedCall::of(call).to_value();
        self.context.log.result(Audience::Operator, &content).await;
    }
}

/// A call that is kept even where nobody waits for its answer any more: it was paid for.
struct Unkept {
    calls: Arc<dyn CallKeeper>,
    call: Option<ModelCall>,
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
