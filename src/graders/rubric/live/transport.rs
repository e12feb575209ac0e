//! The transport that async-openai gets from us: one try, a bounded body, and error answers that never reach it.
//!
//! async-openai logs error bodies and loses the status of those that are no JSON; endpoints have been seen to
//! repeat the request's key in them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use futures_util::StreamExt as _;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Body, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::complaint::{Complaint, complaint};

/// Most bytes of an answer's body: the events around the words take many times the room of the words.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Longest line of an answer's body: the parser of the events looks at a line again with every packet.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// Most bytes of an error's body that are looked at.
const MAX_ERROR_BYTES: usize = 16 * 1024;

/// The endpoint answered with an error.
#[derive(Debug, thiserror::Error)]
#[error("the endpoint answered with status {status}")]
pub(super) struct StatusError {
    /// The HTTP status.
    pub(super) status: StatusCode,
    /// The error's code, e.g. `context_length_exceeded`, where there is one.
    pub(super) code: Option<String>,
    /// What is wrong with the text, where that is what it complains of.
    pub(super) complaint: Option<Complaint>,
    /// Seconds to wait, where the endpoint says so.
    pub(super) retry_after: Option<u32>,
}

/// Sends one request.
#[derive(Clone)]
pub(super) struct Transport {
    /// The connections.
    pub(super) http: reqwest::Client,
    /// What must not be taken from an error's body.
    pub(super) api_key: SecretString,
    /// Becomes true when the body was cut off for being too long.
    pub(super) too_long: Arc<AtomicBool>,
}

impl tower::Service<HttpRequestFactory> for Transport {
    type Response = Response;
    type Error = OpenAIError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, OpenAIError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequestFactory) -> Self::Future {
        let transport = self.clone();
        Box::pin(async move {
            let request = request.build().await?;
            let response = transport.http.execute(request).await?;
            if response.status().is_success() {
                Ok(transport.bounded(response))
            } else {
                Err(OpenAIError::Boxed(Box::new(
                    transport.status_error(response).await,
                )))
            }
        })
    }
}

impl Transport {
    fn bounded(self, response: Response) -> Response {
        let (mut body, mut line) = (0, 0);
        let stream = response.bytes_stream().map(move |bytes| {
            let bytes = bytes.map_err(std::io::Error::other)?;
            body += bytes.len();
            line = match bytes.iter().rposition(|byte| *byte == b'\n') {
                Some(end) => bytes.len() - end - 1,
                None => line + bytes.len(),
            };
            if body > MAX_BODY_BYTES || line > MAX_LINE_BYTES {
                self.too_long.store(true, Ordering::Relaxed);
                return Err(std::io::Error::other("the body is too long"));
            }
            Ok::<_, std::io::Error>(bytes)
        });
        http::Response::new(Body::wrap_stream(stream)).into()
    }

    async fn status_error(self, response: Response) -> StatusError {
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let mut body = Vec::new();
        let mut stream = response.bytes_stream();
        while let Some(Ok(bytes)) = stream.next().await {
            body.extend_from_slice(&bytes);
            if body.len() > MAX_ERROR_BYTES {
                break;
            }
        }
        StatusError {
            status,
            code: error_code(&body, self.api_key.expose_secret()),
            complaint: complaint(&body),
            retry_after,
        }
    }
}

/// Seconds of a `Retry-After` header; its other form, a date, is not worth a clock.
fn retry_after(headers: &HeaderMap) -> Option<u32> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// The code of an error: one word of small letters. Nothing else of the body is passed on.
fn error_code(body: &[u8], key: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Wrapped {
        error: Inner,
    }
    #[derive(Deserialize)]
    struct Inner {
        code: String,
    }
    let code = serde_json::from_slice::<Wrapped>(body).ok()?.error.code;
    let plain =
        (1..=48).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let holds_key = !key.is_empty() && (code.contains(key) || key.contains(&code));
    (plain && !holds_key).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_code_is_taken_from_an_errors_body() {
        let code = |body: &str| error_code(body.as_bytes(), "sk_secret_key");
        assert_eq!(
            code(r#"{"error": {"code": "insufficient_quota", "message": "m"}}"#).as_deref(),
            Some("insufficient_quota")
        );
        for body in [
            "",
            "slow down",
            r#"{"error": {"code": 429}}"#,
            r#"{"error": {"code": "Bearer x"}}"#,
            r#"{"error": {"code": "sk_secret_key"}}"#,
            r#"{"error": {"code": "secret_key"}}"#,
        ] {
            assert_eq!(code(body), None, "{body}");
        }
    }
}
