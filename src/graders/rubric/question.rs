//! What a judge is asked, and what it replies.

use serde::Serialize;
use serde_json::{Value, json};

use super::criterion::Criterion;
use super::picture::Picture;
use crate::digest::{Digest, FieldHasher};
use crate::model_call::{CallFinish, TokenUsage};

/// Who a message is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// The operator's rules.
    System,
    /// The question.
    User,
}

impl Role {
    /// The text form.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
        }
    }
}

/// A part of a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Message {
    /// Who it is from.
    pub(super) role: Role,
    /// What it says.
    pub(super) content: String,
}

impl Message {
    /// The messages as JSON text, as they are kept.
    pub(super) fn as_json(messages: &[Self]) -> String {
        json!(messages).to_string()
    }
}

/// How the form of the answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As the settings say, or in words where the endpoint is known to refuse schemas.
    Usual,
    /// In words: it has just refused a schema.
    InWords,
}

/// One question to a judge.
pub(super) struct Question<'a> {
    /// Name of the grader in the plan.
    pub(super) grader: &'a str,
    /// What is asked about.
    pub(super) criteria: &'a [Criterion],
    /// The model that the plan names.
    pub(super) model: Option<&'a str>,
    /// The prompt.
    pub(super) messages: Vec<Message>,
    /// Pictures that follow the prompt.
    pub(super) pictures: &'a [Picture],
    /// The form of the answer.
    pub(super) schema: &'a Value,
    /// How often this was asked before.
    pub(super) asked_before: usize,
    /// Which of several askings of the same question, from 0.
    pub(super) sample: u32,
    /// Says what is asked: everything above but the nonce.
    pub(super) key: Digest,
}

/// The key under which an answer is kept. `messages` are those without a nonce, so that the same question
/// of tomorrow has the same key; `sample` tells apart questions that are asked several times on purpose.
pub(super) fn content_key(
    messages: &[Message],
    pictures: &[Picture],
    model: Option<&str>,
    schema: &Value,
    sample: u32,
) -> Digest {
    let mut hasher = FieldHasher::new("assay-question-v1")
        .optional(model)
        .text(&schema.to_string())
        .number(i64::from(sample));
    for message in messages {
        hasher = hasher.text(message.role.as_str()).text(&message.content);
    }
    for picture in pictures {
        hasher = hasher.bytes(picture.sha256.as_bytes());
    }
    hasher.finish()
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// The judge had said all.
    Complete,
    /// It ran out of tokens.
    Truncated,
    /// It went on beyond what we read.
    TooLong,
    /// It refused, or the endpoint did in its place.
    Refused,
}

impl From<Finish> for CallFinish {
    fn from(finish: Finish) -> Self {
        match finish {
            Finish::Complete => Self::Complete,
            Finish::Truncated => Self::Truncated,
            Finish::TooLong => Self::TooLong,
            Finish::Refused => Self::Refused,
        }
    }
}

/// What a judge replied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    /// Its words.
    pub(super) text: String,
    /// How they ended.
    pub(super) finish: Finish,
    /// The model as the server named it.
    pub(super) model: String,
    /// Tokens used.
    pub(super) usage: Option<TokenUsage>,
}
