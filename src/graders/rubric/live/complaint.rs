//! What an endpoint complains of when it refuses a request: the text, or the request around it.

use serde::Deserialize;
use serde_json::Value;

/// What is wrong with the text of a question. Everything else may be the form in which it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Complaint {
    /// It is longer than the model's context.
    TooLong,
    /// A filter does not let it through.
    Filtered,
}

/// Codes and types of errors on the length.
const TOO_LONG: [&str; 4] = [
    "context_length_exceeded",
    "exceed_context_size_error",
    "string_above_max_length",
    "request_too_large",
];

/// Codes and types of errors of filters.
const FILTERED: [&str; 6] = [
    "content_filter",
    "content_policy_violation",
    "content_filtered",
    "responsible_ai_policy_violation",
    "responsibleaipolicyviolation",
    "moderation_blocked",
];

/// Words of messages where code and type say nothing: `BadRequestError` is all that vLLM says.
const TOO_LONG_WORDS: [&str; 4] = [
    "context length",
    "context size",
    "context window",
    "maximum number of tokens",
];

/// An error's body, or the part of it under `error`. Codes are texts or numbers.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    code: Value,
    #[serde(default, rename = "type")]
    kind: Value,
    #[serde(default)]
    message: Value,
}

/// What the body of a refusal complains of. Words of it are looked at, and none is passed on. Where it repeats a stranger's
/// words, they can make a refusal of the request one of the text: it is parked either way.
pub(super) fn complaint(body: &[u8]) -> Option<Complaint> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let error = body
        .get("error")
        .filter(|error| error.is_object())
        .unwrap_or(&body);
    let error = Body::deserialize(error).ok()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_ascii_lowercase();
    let names = [text(&error.code), text(&error.kind)];
    let named = |known: &[&str]| names.iter().any(|name| known.contains(&name.as_str()));
    let message = text(&error.message);
    if named(&FILTERED) {
        Some(Complaint::Filtered)
    } else if named(&TOO_LONG) || TOO_LONG_WORDS.iter().any(|words| message.contains(words)) {
        Some(Complaint::TooLong)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn servers_complain_of_the_text_in_forms_of_their_own() {
        for (body, expected) in [
            (
                r#"{"error": {"code": "context_length_exceeded", "message": "m"}}"#,
                Some(Complaint::TooLong),
            ),
            (
                r#"{"error": {"code": 400, "type": "exceed_context_size_error", "n_ctx": 4096}}"#,
                Some(Complaint::TooLong),
            ),
            (
                r#"{"object": "error", "code": 400, "type": "BadRequestError",
                    "message": "This model's maximum context length is 4096 tokens."}"#,
                Some(Complaint::TooLong),
            ),
            (
                r#"{"error": {"code": "content_filter", "type": null, "innererror": {}}}"#,
                Some(Complaint::Filtered),
            ),
            (
                r#"{"error": {"code": null, "type": "content_policy_violation"}}"#,
                Some(Complaint::Filtered),
            ),
            (r#"{"error": {"code": "unsupported_response_format"}}"#, None),
            (
                r#"{"error": {"code": 400, "type": "invalid_request_error", "message": "no"}}"#,
                None,
            ),
            (r#"{"error": "no"}"#, None),
            ("[]", None),
            ("no JSON", None),
        ] {
            assert_eq!(complaint(body.as_bytes()), expected, "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(bytes in any::<Vec<u8>>(), text in any::<String>()) {
            complaint(&bytes);
            complaint(serde_json::json!({"error": {"code": text, "type": text, "message": text}}).to_string().as_bytes());
        }
    }
}
