//! One call: the request, and the answer as it streams in.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_openai::Client;
use async_openai::error::OpenAIError;
use futures_util::StreamExt as _;
use reqwest::{StatusCode, redirect};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout};

use super::super::answer::MAX_ANSWER_BYTES;
use super::super::judge::{Finish, JudgeError, Question, Reply};
use super::super::listener::Listener;
use super::super::model::{JudgeSettings, ResponseFormat};
use super::super::money::Money;
use super::chunk::Chunk;
use super::endpoint::Endpoint;
use super::transport::{StatusError, Transport};
use crate::entry::cut;
use crate::metrics::{CallEnd, Metrics, Usage};
use crate::model_call::{CallFinish, ModelCall, TokenUsage};
use crate::pacing::{Ended, Turn};
use crate::verdict::{ErrorKind, GradeError, Recourse};

/// Most bytes of reasoning that are passed on; a model that thinks without end is cut off.
const MAX_REASONING_BYTES: usize = 2 * 1024 * 1024;

/// Longest model name that is taken from a server, in bytes.
const MAX_MODEL_BYTES: usize = 200;

/// Bytes of text for a token, and tokens of a picture, roughly.
const BYTES_PER_TOKEN: usize = 3;
const TOKENS_PER_PICTURE: u64 = 1_000;

/// Millionths of a cent in a dollar.
const MICROCENTS_PER_DOLLAR: f64 = 1e8;

/// About how many tokens so many bytes of text are.
pub(in super::super) fn tokens_of(bytes: usize) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN) as u64
}

/// Tokens of an answer, where nobody has set a limit to it.
const USUAL_ANSWER: u32 = 1_000;

/// A call that gave no answer.
struct Failed {
    error: GradeError,
    /// For how long the endpoint wants no other.
    retry_after: Option<Duration>,
}

impl From<GradeError> for Failed {
    fn from(error: GradeError) -> Self {
        Self {
            error,
            retry_after: None,
        }
    }
}

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
        // Two providers in one process must be chosen between; an earlier choice, which is ring too, stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
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

    /// Whether rubrics need not name a model.
    pub(in super::super) fn has_model(&self) -> bool {
        self.settings.model.is_some()
    }

    /// The model that is asked where a rubric names none.
    pub(in super::super) fn default_model(&self) -> Option<String> {
        self.settings.model.clone()
    }

    /// What is asked for beside the words.
    pub(in super::super) fn parameters(&self, model: Option<&str>) -> Value {
        json!({
            "endpoint": self.settings.base_url,
            "response_format": self.format(model).as_str(),
            "temperature": self.settings.temperature,
            "max_completion_tokens": self.settings.max_completion_tokens,
        })
    }

    /// How the form of the answer is asked for: in words only once the endpoint has refused a schema for that model.
    fn format(&self, model: Option<&str>) -> ResponseFormat {
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
        turn: Turn,
        listener: &mut Listener,
    ) -> Result<Reply, GradeError> {
        let limit = self.settings.call_timeout;
        let answer = timeout(limit, self.call(question, listener))
            .await
            .unwrap_or_else(|_| {
                let message = format!("the model gave no whole answer within {} s", limit.as_secs_f64());
                Err(GradeError::new(ErrorKind::ModelUnavailable, message).into())
            });
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

    async fn call(&self, question: &Question<'_>, listener: &mut Listener) -> Result<Reply, Failed> {
        let too_long = Arc::new(AtomicBool::new(false));
        let format = self.format(question.model);
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
                    self.speaks_plain(question.model);
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

/// What was heard of an answer so far.
#[derive(Default)]
struct Hearing {
    refusal: bool,
    reasoning_bytes: usize,
    model: Option<String>,
    finish: Option<Finish>,
}

impl Hearing {
    async fn take(&mut self, chunk: Chunk, listener: &mut Listener) -> Result<(), GradeError> {
        if chunk.error.is_some_and(|error| !error.is_null()) {
            let message = "the endpoint reported an error in the middle of the answer";
            return Err(GradeError::new(ErrorKind::ModelStreamCut, message));
        }
        let usage = chunk.usage.and_then(|usage| serde_json::from_value(usage).ok());
        listener.usage = usage.or(listener.usage);
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
            self.finish = match reason.as_str() {
                "length" | "max_tokens" => Some(Finish::Truncated),
                "content_filter" | "refusal" | "safety" => Some(Finish::Refused),
                // The server gave up in the middle.
                "error" | "abort" | "cancelled" => None,
                _ => Some(Finish::Complete),
            };
        }
        Ok(())
    }

    fn reply(self, asked_model: Option<&str>, listener: &Listener) -> Result<Reply, GradeError> {
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

/// What a call that gave no stream means. Nothing of the answer's body is in the text.
fn call_error(error: &OpenAIError) -> Failed {
    let error = match error {
        OpenAIError::Boxed(boxed) => match boxed.downcast_ref::<StatusError>() {
            Some(error) => {
                return Failed {
                    error: status_error(error),
                    retry_after: error
                        .retry_after
                        .map(|seconds| Duration::from_secs(seconds.into())),
                };
            }
            None => GradeError::new(ErrorKind::ModelUnavailable, "the model's endpoint cannot be used"),
        },
        OpenAIError::Reqwest(error) => {
            let what = if error.is_connect() {
                "cannot be reached"
            } else if error.is_timeout() {
                "does not answer in time"
            } else {
                "broke off the connection"
            };
            let message = format!("the model's endpoint {what}: {}", innermost(error));
            GradeError::new(ErrorKind::ModelUnavailable, message)
        }
        OpenAIError::InvalidArgument(_) => GradeError::new(
            ErrorKind::ModelRequestRefused,
            "the request cannot be written as JSON",
        ),
        OpenAIError::ApiError(_)
        | OpenAIError::JSONDeserialize(..)
        | OpenAIError::FileSaveError(_)
        | OpenAIError::FileReadError(_)
        | OpenAIError::StreamError(_) => stream_error(error),
    };
    error.into()
}

/// Whether the question never reached a model: nobody charges for that.
fn is_turned_away(error: &OpenAIError) -> bool {
    match error {
        OpenAIError::Boxed(boxed) => boxed.downcast_ref::<StatusError>().is_some(),
        OpenAIError::Reqwest(error) => error.is_connect(),
        _ => false,
    }
}

/// Whether the endpoint may take the same question without a schema: it found something wrong with the request, and
/// not with its size.
fn is_refused_as_it_is(error: &OpenAIError) -> bool {
    let OpenAIError::Boxed(boxed) = error else {
        return false;
    };
    boxed.downcast_ref::<StatusError>().is_some_and(|error| {
        let wrong = matches!(
            error.status,
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY
        );
        wrong && error.code.as_deref() != Some("context_length_exceeded")
    })
}

fn stream_error(error: &OpenAIError) -> GradeError {
    let message = match error {
        OpenAIError::JSONDeserialize(..) => "the endpoint sent an event that is no chat completion",
        _ => "the connection broke off in the middle of the model's answer",
    };
    GradeError::new(ErrorKind::ModelStreamCut, message)
}

fn status_error(error: &StatusError) -> GradeError {
    let code = error
        .code
        .as_ref()
        .map(|code| format!(" ({code})"))
        .unwrap_or_default();
    let status = error.status.as_u16();
    let (kind, advice) = match error.status {
        StatusCode::TOO_MANY_REQUESTS => {
            let wait = error
                .retry_after
                .map_or_else(String::new, |seconds| format!(" for {seconds} s"));
            (
                ErrorKind::ModelRateLimited,
                format!("it asks us to slow down{wait}"),
            )
        }
        StatusCode::REQUEST_TIMEOUT => (
            ErrorKind::ModelUnavailable,
            "it did not get the request in time".to_owned(),
        ),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (
            ErrorKind::ModelRequestRefused,
            "check the judge's key and what it may use".to_owned(),
        ),
        StatusCode::NOT_FOUND => (
            ErrorKind::ModelRequestRefused,
            "check the judge's base URL and model name".to_owned(),
        ),
        status if status.is_server_error() => (
            ErrorKind::ModelUnavailable,
            "it has trouble of its own".to_owned(),
        ),
        StatusCode::PAYLOAD_TOO_LARGE => (
            ErrorKind::JudgeInputTooLarge,
            "lower max_input_bytes in the plan".to_owned(),
        ),
        _ if error.code.as_deref() == Some("context_length_exceeded") => (
            ErrorKind::JudgeInputTooLarge,
            "lower max_input_bytes in the plan".to_owned(),
        ),
        _ => (
            ErrorKind::ModelRequestRefused,
            "it refuses the request: check model name and parameters".to_owned(),
        ),
    };
    let message = format!("the model's endpoint answered with status {status}{code}: {advice}");
    GradeError::new(kind, message)
}

/// The cause at the bottom, e.g. `connection refused`: free of addresses and of what the endpoint sent.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
