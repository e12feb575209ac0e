//! What it means that a call gave no answer: whose trouble it is, and for how long.

use std::error::Error as StdError;
use std::time::Duration;

use async_openai::error::OpenAIError;
use reqwest::StatusCode;

use super::complaint::Complaint;
use super::transport::StatusError;
use crate::verdict::{ErrorKind, GradeError};

/// A call that gave no answer.
pub(super) struct Failed {
    pub(super) error: GradeError,
    /// For how long the endpoint wants no other.
    pub(super) retry_after: Option<Duration>,
}

impl From<GradeError> for Failed {
    fn from(error: GradeError) -> Self {
        Self {
            error,
            retry_after: None,
        }
    }
}

/// What a call that gave no stream means. Nothing of the answer's body is in the text.
pub(super) fn call_error(error: &OpenAIError) -> Failed {
    let error = match error {
        OpenAIError::Boxed(boxed) => match boxed.downcast_ref::<StatusError>() {
            Some(error) => {
                return Failed {
                    error: status_error(error),
                    retry_after: error.retry_after,
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
pub(super) fn is_turned_away(error: &OpenAIError) -> bool {
    match error {
        OpenAIError::Boxed(boxed) => boxed.downcast_ref::<StatusError>().is_some(),
        OpenAIError::Reqwest(error) => error.is_connect(),
        _ => false,
    }
}

/// Whether the endpoint may take the same question without a schema: it found something wrong with the request, and
/// not with its text.
pub(super) fn is_refused_as_it_is(error: &OpenAIError) -> bool {
    let OpenAIError::Boxed(boxed) = error else {
        return false;
    };
    boxed.downcast_ref::<StatusError>().is_some_and(|error| {
        let wrong = matches!(
            error.status,
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY
        );
        wrong && error.complaint.is_none()
    })
}

pub(super) fn stream_error(error: &OpenAIError) -> GradeError {
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
                .map_or_else(String::new, |wait| format!(" for {} s", wait.as_secs_f64()));
            (
                ErrorKind::ModelRateLimited,
                format!("it asks us to slow down{wait}"),
            )
        }
        StatusCode::REQUEST_TIMEOUT => (
            ErrorKind::ModelUnavailable,
            "it did not get the request in time".to_owned(),
        ),
        status if error.complaint == Some(Complaint::Filtered) && status.is_client_error() => (
            ErrorKind::JudgeRefused,
            "its filter refuses the text; look at it yourself".to_owned(),
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
        _ if error.complaint == Some(Complaint::TooLong) => (
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
pub(super) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
