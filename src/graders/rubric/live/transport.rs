//! The transport that async-openai gets from us: one try, a bounded body, and error answers that never reach it.
//!
//! async-openai logs error bodies and loses the status of those that are no JSON; endpoints have been seen to
//! repeat the request's key in them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Body, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::timeout;

use crate::pacing::LONGEST_WAIT;

use super::complaint::{Complaint, complaint};

/// Most bytes of an answer's body: the events around the words take many times the room of the words.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Longest line of an answer's body: the parser of the events looks at a line again with every packet.
const MAX_LINE_BYTES: usize = 1024 * 1024;

/// Most bytes of an error's body that are looked at.
const MAX_ERROR_BYTES: usize = 16 * 1024;

/// Longest time that is spent on an error's body.
const ERROR_TIME: Duration = Duration::from_secs(1);

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
    /// For how long the endpoint wants no call, where it says so.
    pub(super) retry_after: Option<Duration>,
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
        let reading = async {
            while let Some(Ok(bytes)) = stream.next().await {
                body.extend_from_slice(&bytes);
                if body.len() > MAX_ERROR_BYTES {
                    break;
                }
            }
        };
        // Status and headers say what counts, and they are there already.
        let _ = timeout(ERROR_TIME, reading).await;
        StatusError {
            status,
            code: error_code(&body, self.api_key.expose_secret()),
            complaint: complaint(&body),
            retry_after,
        }
    }
}

/// How long the endpoint wants no call: at most what it may ask for, and so much where its `Retry-After` cannot be read.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    headers.get(RETRY_AFTER)?;
    let wait = text(RETRY_AFTER).and_then(|wait| {
        let seconds = wait.parse().map(Duration::try_from_secs_f64);
        // A date counts from the endpoint's own.
        let date = || Some(date_of(wait)?.duration_since(date_of(text(DATE)?)?));
        match seconds {
            Ok(seconds) => seconds.ok(),
            Err(_) => Some(Duration::try_from(date()?).unwrap_or_default()),
        }
    });
    Some(wait.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT))
}

fn date_of(text: &str) -> Option<Timestamp> {
    rfc2822::parse(text).ok().map(|date| date.timestamp())
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
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn every_form_of_retry_after_is_obeyed_up_to_a_minute() {
        let wait = |value: &[u8], date: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_bytes(value).unwrap());
            if let Some(date) = date {
                headers.insert(DATE, date.parse().unwrap());
            }
            retry_after(&headers).unwrap().as_secs_f64()
        };
        let now = Some("Wed, 25 Nov 2026 09:00:00 GMT");
        assert_eq!(retry_after(&HeaderMap::new()), None);
        assert_eq!(wait(b" 7 ", None), 7.0);
        assert_eq!(wait(b"1.5", None), 1.5);
        assert_eq!(wait(b"0", None), 0.0);
        assert_eq!(wait(b"Wed, 25 Nov 2026 09:00:12 GMT", now), 12.0);
        assert_eq!(wait(b"Wed, 25 Nov 2026 08:59:12 GMT", now), 0.0);
        let endless: [&[u8]; 9] = [
            b"86400",
            b"99999999999999999999999",
            b"inf",
            b"NaN",
            b"-1",
            b"soon",
            b"",
            b"\xff",
            b"Thu, 26 Nov 2026 09:00:12 GMT",
        ];
        for value in endless {
            assert_eq!(wait(value, now), 60.0, "{}", String::from_utf8_lossy(value));
        }
        assert_eq!(wait(b"Wed, 25 Nov 2026 09:00:12 GMT", None), 60.0);
    }

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
