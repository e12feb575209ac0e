//! What the server says to one request.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{Barrier, Notify};

/// What the server says to one request.
#[derive(Clone)]
pub(crate) struct Script {
    /// The model whose requests it is meant for.
    pub(crate) model: Option<String>,
    /// The status.
    pub(crate) status: u16,
    /// Header lines beside those that every answer has.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The body, piece by piece.
    pub(crate) pieces: Vec<Piece>,
    /// What happens after the last piece.
    pub(crate) ending: Ending,
}

/// A piece of a body.
#[derive(Clone)]
pub(crate) enum Piece {
    /// Words.
    Text(String),
    /// The value of the request's `Authorization` header.
    EchoKey,
    /// Nothing, until the test says so.
    Wait(Arc<Notify>),
    /// Nothing, until all of them have come so far.
    Meet(Arc<Barrier>),
}

/// How an answer ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As it should.
    Proper,
    /// The connection is dropped.
    Dropped,
    /// The connection is reset before the head of the answer.
    Reset,
    /// Nothing more comes, and the connection stays open.
    Silence,
}

impl Script {
    /// A streamed answer of these events, which ends as it should.
    pub(crate) fn stream(events: impl IntoIterator<Item = Value>) -> Self {
        let mut script = Self::body(200, "");
        script.pieces = events.into_iter().map(event).collect();
        script.pieces.push(Piece::Text("data: [DONE]\n\n".to_owned()));
        script
    }

    /// A streamed answer of that text in a few pieces, with usage.
    pub(crate) fn answer(text: &str) -> Self {
        let middle = text.floor_char_boundary(text.len() / 2);
        Self::stream([
            content(&text[..middle]),
            content(&text[middle..]),
            finish("stop"),
            usage(100, 20),
        ])
    }

    /// An answer with that status and body.
    pub(crate) fn body(status: u16, body: impl Into<String>) -> Self {
        Self {
            model: None,
            status,
            headers: Vec::new(),
            pieces: vec![Piece::Text(body.into())],
            ending: Ending::Proper,
        }
    }

    /// The same without its last piece (`[DONE]`), ending that way.
    pub(crate) fn cut(mut self, ending: Ending) -> Self {
        self.pieces.pop();
        self.ending = ending;
        self
    }

    /// The same, for requests for that model only.
    pub(crate) fn only_for(mut self, model: &str) -> Self {
        self.model = Some(model.to_owned());
        self
    }

    /// The same with one more header line.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The same, waiting before that piece.
    pub(crate) fn wait_before(mut self, piece: usize, notify: &Arc<Notify>) -> Self {
        self.pieces.insert(piece, Piece::Wait(Arc::clone(notify)));
        self
    }
}

fn event(value: Value) -> Piece {
    Piece::Text(format!("data: {value}\n\n"))
}

fn chunk(delta: Value, finish_reason: Option<&str>) -> Value {
    json!({
        "id": "c", "object": "chat.completion.chunk", "model": "served-model-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    })
}

/// An event with words of the answer.
pub(crate) fn content(text: &str) -> Value {
    chunk(json!({"content": text}), None)
}

/// An event with words of the reasoning.
pub(crate) fn reasoning(text: &str) -> Value {
    chunk(json!({"reasoning_content": text}), None)
}

/// An event with words of a refusal.
pub(crate) fn refusal(text: &str) -> Value {
    chunk(json!({"refusal": text}), None)
}

/// The event that says why the answer ends.
pub(crate) fn finish(reason: &str) -> Value {
    chunk(json!({}), Some(reason))
}

/// The event with the tokens used.
pub(crate) fn usage(prompt: u64, completion: u64) -> Value {
    json!({"model": "served-model-1", "choices": [], "usage": {
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
    }})
}
