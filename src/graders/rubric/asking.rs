//! Asks one question: uses an answer that was paid for, or asks the judge; keeps the call whatever becomes of it.

use std::sync::Arc;

use serde_json::Value;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::answer::AnswerError;
use super::bookkeeping::Unkept;
use super::judge::Judge;
use super::keeper::{CallKeeper, Paid};
use super::listener::Listener;
use super::live::RESPONSE_FORMAT;
use super::money::refusal;
use super::question::{Finish, Form, Question, Reply};
use super::under_way::{Begun, UnderWay};
use crate::entry::Audience;
use crate::graders::Context;
use crate::model_call::ModelCall;
use crate::pacing::Turn;
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
}
