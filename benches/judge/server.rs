//! A model that answers after a while, in a process of its own.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Tokens of question and answer, as the server counts them.
pub(crate) const TOKENS: [u64; 2] = [500, 40];

pub(crate) const ROLE: &str = "ASSAY_BENCH_MODEL";

/// How long an answer takes.
pub(crate) const DELAY: Duration = Duration::from_millis(300);

/// When a request came, in seconds since the first, and whose it was.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Arrival {
    pub(crate) at: f64,
    pub(crate) who: String,
}

/// The server's process. It ends when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) base_url: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(ROLE, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            child,
            base_url: line.trim().to_owned(),
        }
    }

    pub(crate) async fn arrivals(&self) -> Vec<Arrival> {
        assay::tls::install_provider();
        let url = format!("{}/arrivals", self.base_url);
        let told = reqwest::get(url).await.unwrap().bytes().await.unwrap();
        serde_json::from_slice(&told).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

type Arrivals = Arc<Mutex<Vec<(Instant, String)>>>;

pub(crate) async fn run() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}/v1", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/v1/chat/completions", post(answer))
        .route("/v1/arrivals", get(arrivals))
        .with_state(Arrivals::default());
    axum::serve(listener, router).await.unwrap();
}

async fn arrivals(State(arrivals): State<Arrivals>) -> String {
    let arrivals = arrivals.lock().unwrap();
    let first = arrivals.first().map(|(at, _)| *at);
    let told: Vec<_> = arrivals
        .iter()
        .map(|(at, who)| Arrival {
            at: first.map_or(0.0, |first| (*at - first).as_secs_f64()),
            who: who.clone(),
        })
        .collect();
    serde_json::to_string(&told).unwrap()
}

async fn answer(State(arrivals): State<Arrivals>, headers: HeaderMap, _question: String) -> Response {
    let who = headers["authorization"].to_str().unwrap().replace("Bearer ", "");
    arrivals.lock().unwrap().push((Instant::now(), who));
    tokio::time::sleep(DELAY).await;
    let answer = json!({"polite": {"evidence": "Dear Ms Ortiz", "reason": "It greets.", "met": true}});
    let chunk = |delta: serde_json::Value, finish: Option<&str>| {
        json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "bench",
               "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    };
    let events = [
        chunk(json!({"content": answer.to_string()}), None),
        chunk(json!({}), Some("stop")),
        json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": [],
               "usage": {"prompt_tokens": TOKENS[0], "completion_tokens": TOKENS[1], "total_tokens": TOKENS[0] + TOKENS[1]}}),
    ];
    let body: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    let parts = [Ok::<_, Infallible>(body), Ok("data: [DONE]\n\n".to_owned())];
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(futures_util::stream::iter(parts)))
        .unwrap()
}
