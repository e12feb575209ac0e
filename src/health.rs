//! Health and metrics over HTTP, for probes and scrapers; on loopback unless the operator says otherwise.
//!
//! `/healthz`: the process lives, every loop that said it would beat does; all of them are named. `/readyz`: what it needs can be
//! used and it is not draining; else 503 with a JSON that says what is not. `/metrics`: [`Metrics`].

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::metrics::{self, Metrics};

/// What is not known by then counts as broken: probes themselves give up after a few seconds.
const ANSWERING: Duration = Duration::from_secs(2);

/// One thing that a process needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// What it is, e.g. `database`.
    pub name: &'static str,
    /// Whether it holds.
    pub ok: bool,
    /// What is wrong; empty where nothing is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Condition {
    /// It holds.
    pub fn good(name: &'static str) -> Self {
        Self {
            name,
            ok: true,
            detail: String::new(),
        }
    }

    /// It does not hold. `detail` is shown to whoever may reach the address: no secrets.
    pub fn bad(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            ok: false,
            detail: detail.into(),
        }
    }
}

/// Says whether a process can do its work.
#[async_trait]
pub trait Readiness: Send + Sync {
    /// Everything that it needs; asked at every probe and given up after two seconds.
    async fn conditions(&self) -> Vec<Condition>;
}

/// The loops of a process, each of which must beat. Cheap to clone.
#[derive(Clone, Default)]
pub struct Heart(Arc<Mutex<Vec<Arc<Beat>>>>);

struct Beat {
    name: &'static str,
    within: Duration,
    last: Mutex<Instant>,
}

/// One loop's pulse: beats while the loop goes round, and is forgotten when the loop ends and drops it.
pub struct Pulse {
    heart: Heart,
    beat: Arc<Beat>,
}

impl Heart {
    /// A loop that from now on beats at least once `within` that time.
    pub fn pulse(&self, name: &'static str, within: Duration) -> Pulse {
        let beat = Arc::new(Beat {
            name,
            within,
            last: Mutex::new(Instant::now()),
        });
        locked(&self.0).push(Arc::clone(&beat));
        Pulse {
            heart: self.clone(),
            beat,
        }
    }

    /// Every loop, and whether it goes round.
    pub fn loops(&self) -> Vec<Condition> {
        let beats = locked(&self.0);
        let silences = beats.iter().map(|beat| (beat, locked(&beat.last).elapsed()));
        silences
            .map(|(beat, silence)| {
                if silence <= beat.within {
                    return Condition::good(beat.name);
                }
                let detail = format!("has not gone round for {} s", silence.as_secs());
                Condition::bad(beat.name, detail)
            })
            .collect()
    }
}

impl Pulse {
    /// The loop goes round.
    pub fn beat(&self) {
        *locked(&self.beat.last) = Instant::now();
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        locked(&self.heart.0).retain(|beat| !Arc::ptr_eq(beat, &self.beat));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The address cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[error(
    "health and metrics cannot be served at {address}: {source}; set pool.listen to another address, or to `off`"
)]
pub struct ListenError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Serves until it is dropped, also while the process drains.
#[derive(Debug)]
pub struct HealthServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Shown {
    heart: Heart,
    readiness: Arc<dyn Readiness>,
    metrics: Metrics,
}

impl HealthServer {
    /// Listens at `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// Where the address cannot be listened at.
    pub async fn start(
        address: SocketAddr,
        heart: Heart,
        readiness: Arc<dyn Readiness>,
        metrics: Metrics,
    ) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let router = Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/metrics", get(scrape))
            .with_state(Shown {
                heart,
                readiness,
                metrics,
            });
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "health and metrics are served no more");
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HealthServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn healthz(State(shown): State<Shown>) -> Response {
    answer("alive", &shown.heart.loops())
}

async fn readyz(State(shown): State<Shown>) -> Response {
    let conditions = timeout(ANSWERING, shown.readiness.conditions()).await;
    let conditions = conditions.unwrap_or_else(|_| {
        let detail = format!("no answer within {} s", ANSWERING.as_secs());
        vec![Condition::bad("readiness", detail)]
    });
    answer("ready", &conditions)
}

fn answer(what: &'static str, conditions: &[Condition]) -> Response {
    let good = conditions.iter().all(|condition| condition.ok);
    let status = if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({what: good, "conditions": conditions});
    (status, [(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

async fn scrape(State(shown): State<Shown>) -> Response {
    match shown.metrics.render() {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_named_until_it_goes_round_or_ends() {
        let heart = Heart::default();
        let sweeper = heart.pulse("sweeper", Duration::from_secs(60));
        let flusher = heart.pulse("flusher", Duration::ZERO);
        *locked(&flusher.beat.last) = Instant::now().checked_sub(Duration::from_secs(7)).unwrap();
        let hangs = Condition::bad("flusher", "has not gone round for 7 s");
        assert_eq!(heart.loops(), [Condition::good("sweeper"), hangs]);
        *locked(&sweeper.beat.last) = Instant::now().checked_sub(Duration::from_secs(61)).unwrap();
        assert!(heart.loops().iter().all(|condition| !condition.ok));
        sweeper.beat();
        assert_eq!(heart.loops().iter().filter(|condition| !condition.ok).count(), 1);
        drop(flusher);
        assert_eq!(heart.loops(), [Condition::good("sweeper")]);
    }
}
