//! One call: the request, and the answer as it streams in.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_openai::Client;
use futures_util::StreamExt as _;
use reqwest::redirect;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout};

use super::super::judge::JudgeError;
use super::super::listener::Listener;
use super::super::model::{JudgeSettings, ResponseFormat};
use super::super::money::Money;
use super::super::question::{Finish, Form, Question, Reply};
use super::chunk::Chunk;
use super::endpoint::Endpoint;
use super::failure::{Failed, call_error, innermost, is_refused_as_it_is, is_turned_away, stream_error};
use super::hearing::Hearing;
use super::transport::Transport;
use crate::metrics::{CallEnd, Metrics, Usage};
use crate::model_call::{CallFinish, ModelCall, TokenUsage};
use crate::pacing::{Ended, Turn};
use crate::verdict::{ErrorKind, GradeError, Recourse};

/// Bytes of text for a token, and tokens of a picture, roughly.
const BYTES_PER_TOKEN: usize = 3;
const TOKENS_PER_PICTURE: u64 = 1_000;

/// Millionths of a cent in a dollar.
const MICROCENTS_PER_DOLLAR: f64 = 1e8;

/// About how many tokens so many bytes of text are.
pub(in super::super) fn tokens_of(bytes: usize) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN) as u64
}

/// The parameter that says how the form of the answer was asked for.
pub(in super::super) const RESPONSE_FORMAT: &str = "response_format";

/// Tokens of an answer, where nobody has set a limit to it.
const USUAL_ANSWER: u32 = 1_000;

/// A model behind an endpoint.
pub(in super::super) struct Live {
    settings: JudgeSettings,
    endpoint: Endpoint,
    http: reqwest::Client,
    metrics: Option<Metrics>,
    /// Models for which the endpoint has refused a schema.
    plain: Mutex<HashSet<String>>,
}

impl Live {
    /// Checks the settings and builds the HTTP client.
    pub(in super::super) fn new(
        settings: JudgeSettings,
        metrics: Option<Metrics>,
    ) -> Result<Self, JudgeError> {
        let endpoint = Endpoint::new(&settings)?;
        crate::tls::install_provider();
        let mut http = reqwest::Client::builder()
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.read_timeout)
            // A redirect would take prompt and key to a place that the operator did not name.
            .redirect(redirect::Policy::none());
        if !endpoint.is_https() {
            // No certificates are needed then, and a bare container has none.
            http = http.tls_certs_only([]);
        }
        let http = http
            .build()
            .map_err(|error| JudgeError::Client(innermost(&error)))?;
        Ok(Self {
            settings,
            endpoint,
            http,
            metrics,
            plain: Mutex::default(),
        })
    }

    /// The model that is asked where a rubric names none.
    pub(in super::super) fn default_model(&self) -> Option<String> {
        self.settings.model.clone()
    }

    /// What is asked for beside the words.
    pub(in super::super) fn parameters(&self, model: Option<&str>, form: Form) -> Value {
        json!({
            "endpoint": self.settings.base_url,
            RESPONSE_FORMAT: self.format(model, form).as_str(),
            "temperature": self.settings.temperature,
            "max_completion_tokens": self.settings.max_completion_tokens,
        })
    }

    /// How the form of the answer is asked for: in words only once the endpoint has refused a schema for that model, and then
    /// answered the same question without one.
    fn format(&self, model: Option<&str>, form: Form) -> ResponseFormat {
        if form == Form::InWords {
            return ResponseFormat::Text;
        }
        let model = model.or(self.settings.model.as_deref()).unwrap_or_default();
        let plain = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        if plain.contains(model) {
            ResponseFormat::Text
        } else {
            self.settings.response_format
        }
    }

    fn speaks_plain(&self, model: Option<&str>) {
        let model = model.or(self.settings.model.as_deref()).unwrap_or_default();
        let mut plain = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        plain.insert(model.to_owned());
    }

    /// Waits for the turn of a question.
    pub(in super::super) async fn turn(&self, question: &Question<'_>) -> Turn {
        let estimate = self.estimate(question);
        let tokens = estimate.prompt_tokens.saturating_add(estimate.completion_tokens);
        self.settings.pacer.enter(tokens).await
    }

    /// What it costs, and how much may be spent.
    pub(in super::super) fn money(&self) -> &Money {
        &self.settings.money
    }

    /// Counts a call.
    pub(in super::super) fn count(&self, call: &ModelCall, took: Duration) {
        let Some(metrics) = &self.metrics else { return };
        let end = match call.finish {
            CallFinish::Failed(_) => CallEnd::Failed,
            CallFinish::Complete | CallFinish::Truncated | CallFinish::TooLong | CallFinish::Refused => {
                CallEnd::Answered
            }
        };
        let tokens = call.usage.unwrap_or_default();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a cost is far below 2^53 millionths of a cent"
        )]
        let dollars = |microcents: u64| microcents as f64 / MICROCENTS_PER_DOLLAR;
        let usage = Usage {
            input_tokens: tokens.prompt_tokens,
            output_tokens: tokens.completion_tokens,
            cost_dollars: call.cost_microcents.map(dollars),
        };
        metrics.model_called(&call.model_asked, end, usage, took);
    }

    /// Sends one request and reads its answer.
    pub(in super::super) async fn ask(
        &self,
        question: &Question<'_>,
        form: Form,
        turn: Turn,
        listener: &mut Listener,
    ) -> Result<Reply, GradeError> {
        let limit = self.settings.call_timeout;
        let answer = timeout(limit, self.call(question, form, listener))
            .await
            .unwrap_or_else(|_| {
                let message = format!("the model gave no whole answer within {} s", limit.as_secs_f64());
                Err(GradeError::new(ErrorKind::ModelUnavailable, message).into())
            });
        // Only now: what was wrong may have been the text, and a stranger's text must not take the schema from everybody.
        if form == Form::InWords && answer.is_ok() {
            self.speaks_plain(question.model);
        }
        turn.ended(match &answer {
            Err(failed) if failed.error.kind == ErrorKind::ModelRateLimited => Ended::TooMuch {
                retry_after: failed.retry_after,
            },
            Err(failed) if failed.error.recourse() == Recourse::Transient => Ended::Trouble,
            Ok(_) | Err(_) => Ended::Answered {
                tokens: listener
                    .usage
                    .map(|usage| usage.prompt_tokens + usage.completion_tokens),
            },
        });
        answer.map_err(|failed| failed.error)
    }

    /// Tokens that the call will use, roughly: a token is three to four bytes of most texts.
    pub(in super::super) fn estimate(&self, question: &Question<'_>) -> TokenUsage {
        let messages = question.messages.iter();
        let bytes: usize = messages.map(|message| message.content.len()).sum();
        let answer = self.settings.max_completion_tokens.unwrap_or(USUAL_ANSWER);
        TokenUsage {
            prompt_tokens: tokens_of(bytes) + question.pictures.len() as u64 * TOKENS_PER_PICTURE,
            completion_tokens: answer.into(),
        }
    }

    async fn call(
        &self,
        question: &Question<'_>,
        form: Form,
        listener: &mut Listener,
    ) -> Result<Reply, Failed> {
        let too_long = Arc::new(AtomicBool::new(false));
        let format = self.format(question.model, form);
        let request = self.request(question, format)?;
        let client = Client::build(self.http.clone(), self.endpoint.clone()).with_http_service(Transport {
            http: self.http.clone(),
            api_key: self.settings.api_key.clone(),
            too_long: Arc::clone(&too_long),
        });
        let chat = client.chat();
        // Until we hear otherwise: silence may have cost something, too.
        listener.charged = true;
        let mut stream = chat
            .create_stream_byot::<_, Chunk>(request)
            .await
            .map_err(|error| {
                listener.charged = !is_turned_away(&error);
                if format == ResponseFormat::JsonSchema && is_refused_as_it_is(&error) {
                    listener.schema_refused = true;
                }
                call_error(&error)
            })?;
        let mut hearing = Hearing::default();
        loop {
            let due = listener.due();
            let event = tokio::select! {
                event = stream.next() => event,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    listener.flush().await;
                    continue;
                }
            };
            match event {
                Some(Ok(chunk)) => hearing.take(chunk, listener).await?,
                // What was already finished is whole, whatever happens to the connection afterwards.
                Some(Err(_)) if hearing.finish.is_some() => break,
                Some(Err(_)) if too_long.load(Ordering::Relaxed) => hearing.finish = Some(Finish::TooLong),
                Some(Err(error)) => return Err(stream_error(&error).into()),
                None => break,
            }
            if hearing.finish == Some(Finish::TooLong) {
                break;
            }
        }
        Ok(hearing.reply(question.model.or(self.settings.model.as_deref()), listener)?)
    }

    fn request(&self, question: &Question<'_>, format: ResponseFormat) -> Result<Value, GradeError> {
        let Some(model) = question.model.or(self.settings.model.as_deref()) else {
            let error = JudgeError::NoModel(question.grader.to_owned());
            return Err(GradeError::new(ErrorKind::ModelRequestRefused, error.to_string()));
        };
        let mut messages = json!(question.messages);
        if let (false, Some(last)) = (
            question.pictures.is_empty(),
            messages.as_array_mut().and_then(|all| all.last_mut()),
        ) {
            let words = last["content"].take();
            let pictures = question
                .pictures
                .iter()
                .map(|picture| json!({"type": "image_url", "image_url": {"url": picture.data_url()}}));
            let parts = std::iter::once(json!({"type": "text", "text": words})).chain(pictures);
            last["content"] = parts.collect();
        }
        let mut request = json!({
            "model": model,
            "messages": messages,
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        if format == ResponseFormat::JsonSchema {
            request["response_format"] = json!({
                "type": "json_schema",
                "json_schema": {"name": "answers", "strict": true, "schema": question.schema},
            });
        }
        if let Some(temperature) = self.settings.temperature {
            request["temperature"] = json!(temperature);
        }
        if let Some(limit) = self.settings.max_completion_tokens {
            request["max_completion_tokens"] = json!(limit);
        }
        Ok(request)
    }
}
