//! A model that writes for a second, some words at a time: what it costs is time, not the processor.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::json;

/// Between two of its words.
const PAUSE: Duration = Duration::from_millis(20);

/// Words of an answer.
const WORDS: usize = 50;

/// When each answer began.
type Beginnings = Arc<Mutex<Vec<Timestamp>>>;

pub(crate) struct Model {
    pub(crate) base_url: String,
    beginnings: Beginnings,
}

impl Model {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let beginnings = Beginnings::default();
        let router = Router::new()
            .route("/v1/chat/completions", post(answer))
            .with_state(Arc::clone(&beginnings));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { base_url, beginnings }
    }

    /// When the first token of the last answer was sent.
    pub(crate) fn last_first_token(&self) -> Timestamp {
        *self.beginnings.lock().unwrap().last().unwrap()
    }
}

async fn answer(State(beginnings): State<Beginnings>, _question: String) -> Response {
    let reason = "It is as it should be. ".repeat(WORDS / 6);
    let answer = json!({"good": {"reason": reason, "met": true}}).to_string();
    let size = answer.len().div_ceil(WORDS);
    let mut events: Vec<_> = answer
        .as_bytes()
        .chunks(size)
        .map(|words| {
            let content = json!({"content": String::from_utf8_lossy(words)});
            json!([{"index": 0, "delta": content, "finish_reason": null}])
        })
        .collect();
    events.push(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]));
    events.push(json!([]));
    let events = stream::iter(events.into_iter().enumerate()).then(move |(number, choices)| {
        let beginnings = Arc::clone(&beginnings);
        async move {
            if number == 0 {
                beginnings.lock().unwrap().push(Timestamp::now());
            } else {
                tokio::time::sleep(PAUSE).await;
            }
            let mut event =
                json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": choices});
            if choices.as_array().is_some_and(Vec::is_empty) {
                event["usage"] = json!({"prompt_tokens": 500, "completion_tokens": WORDS, "total_tokens": 500 + WORDS});
            }
            Ok::<_, Infallible>(Bytes::from(format!("data: {event}\n\n")))
        }
    });
    let done = stream::iter([Ok(Bytes::from_static(b"data: [DONE]\n\n"))]);
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(events.chain(done)))
        .unwrap()
}
