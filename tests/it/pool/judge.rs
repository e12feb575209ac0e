//! A judge that says yes, or no where a test wants it, after a while, or is down.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::routing::post;
use futures_util::StreamExt as _;
use futures_util::stream::once;
use serde_json::{Value, json};

use crate::openai_server::{content, finish, reasoning, usage};

/// What a judge that thinks aloud says first.
pub(crate) const THOUGHT: &str = "So far it looks good.";

#[derive(Default)]
struct State {
    down: AtomicBool,
    strict: AtomicBool,
    aloud: AtomicBool,
    millis: AtomicU64,
    asked: AtomicU64,
    /// Questions after so many are never answered.
    answers: AtomicU64,
}

pub(crate) struct SlowJudge {
    base_url: String,
    state: Arc<State>,
}

impl SlowJudge {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(State::default());
        state.millis.store(50, Ordering::Relaxed);
        state.answers.store(u64::MAX, Ordering::Relaxed);
        let shared = Arc::clone(&state);
        let router = Router::new().route(
            "/v1/chat/completions",
            post(move || {
                let state = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(answer(state).await) }
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base_url, state }
    }

    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }

    pub(crate) fn is_down(&self, down: bool) {
        self.state.down.store(down, Ordering::Relaxed);
    }

    /// From now on nothing is good.
    pub(crate) fn is_strict(&self) {
        self.state.strict.store(true, Ordering::Relaxed);
    }

    /// From now on it says [`THOUGHT`] before it takes its time.
    pub(crate) fn thinks_aloud(&self) {
        self.state.aloud.store(true, Ordering::Relaxed);
    }

    pub(crate) fn takes(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.state.millis.store(millis, Ordering::Relaxed);
    }

    /// Of all questions, only so many are answered.
    pub(crate) fn answers(&self, questions: u64) {
        self.state.answers.store(questions, Ordering::Relaxed);
    }

    pub(crate) fn asked(&self) -> u64 {
        self.state.asked.load(Ordering::Relaxed)
    }
}

async fn answer(state: Arc<State>) -> Response<Body> {
    let number = state.asked.fetch_add(1, Ordering::Relaxed);
    if state.down.load(Ordering::Relaxed) {
        let down = Response::builder().status(StatusCode::SERVICE_UNAVAILABLE);
        return down.body(Body::from("down")).unwrap();
    }
    if number >= state.answers.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    let body = if state.aloud.load(Ordering::Relaxed) {
        let thought = once(ready(event(&reasoning(THOUGHT))));
        let words = thought.chain(once(async move { verdict(&state).await }));
        Body::from_stream(words.map(Ok::<_, Infallible>))
    } else {
        Body::from(verdict(&state).await)
    };
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(body)
        .unwrap()
}

/// What it says when its time is over.
async fn verdict(state: &State) -> String {
    // Looked at again and again: a test may let the judge go on that it has held.
    let began = tokio::time::Instant::now();
    while began.elapsed() < Duration::from_millis(state.millis.load(Ordering::Relaxed)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let words = match state.strict.load(Ordering::Relaxed) {
        false => json!({"good": {"reason": "It is.", "met": true}}).to_string(),
        true => json!({"good": {"reason": "It is not.", "met": false}}).to_string(),
    };
    let events = [content(&words), finish("stop"), usage(100, 20)];
    let mut body: String = events.iter().map(event).collect();
    body.push_str("data: [DONE]\n\n");
    body
}

fn event(event: &Value) -> String {
    format!("data: {event}\n\n")
}
