//! What probes and scrapers get.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use assay::health::{Condition, HealthServer, Heart, Readiness};
use assay::metrics::Metrics;
use async_trait::async_trait;
use serde_json::{Value, json};

struct Says(Vec<Condition>);

#[async_trait]
impl Readiness for Says {
    async fn conditions(&self) -> Vec<Condition> {
        self.0.clone()
    }
}

/// A database that never answers.
struct Hangs;

#[async_trait]
impl Readiness for Hangs {
    async fn conditions(&self) -> Vec<Condition> {
        std::future::pending().await
    }
}

async fn served(heart: Heart, readiness: impl Readiness + 'static, metrics: Metrics) -> HealthServer {
    let any = "127.0.0.1:0".parse().unwrap();
    HealthServer::start(any, heart, Arc::new(readiness), metrics)
        .await
        .unwrap()
}

async fn get(server: &HealthServer, path: &str) -> (u16, String, String) {
    assay::tls::install_provider();
    let url = format!("http://{}{path}", server.address());
    let response = reqwest::get(url).await.unwrap();
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    (status, kind, response.text().await.unwrap())
}

#[tokio::test]
async fn a_process_that_lacks_something_is_alive_and_not_ready_and_says_what_it_lacks() {
    let conditions = vec![
        Condition::good("database"),
        Condition::bad("broker: publishing", "blocked by an alarm"),
    ];
    let server = served(Heart::default(), Says(conditions), Metrics::new()).await;
    let (status, kind, body) = get(&server, "/readyz").await;
    assert_eq!((status, kind.as_str()), (503, "application/json"));
    let body: Value = serde_json::from_str(&body).unwrap();
    let expected = json!({"ready": false, "conditions": [
        {"name": "database", "ok": true},
        {"name": "broker: publishing", "ok": false, "detail": "blocked by an alarm"},
    ]});
    assert_eq!(body, expected);
    assert_eq!(get(&server, "/healthz").await.0, 200);
}

#[tokio::test]
async fn a_process_that_has_all_is_ready() {
    let server = served(
        Heart::default(),
        Says(vec![Condition::good("database")]),
        Metrics::new(),
    )
    .await;
    assert_eq!(get(&server, "/readyz").await.0, 200);
}

#[tokio::test]
async fn a_loop_that_hangs_makes_the_process_unhealthy() {
    let heart = Heart::default();
    let hanging = heart.pulse("sweeper", Duration::ZERO);
    let _other = heart.pulse("release", Duration::from_secs(3600));
    let server = served(heart, Says(Vec::new()), Metrics::new()).await;
    let (status, _, body) = get(&server, "/healthz").await;
    assert_eq!(status, 503);
    let body: Value = serde_json::from_str(&body).unwrap();
    let expected = json!({"alive": false, "conditions": [
        {"name": "sweeper", "ok": false, "detail": "has not gone round for 0 s"},
        {"name": "release", "ok": true},
    ]});
    assert_eq!(body, expected);
    drop(hanging);
    assert_eq!(get(&server, "/healthz").await.0, 200);
}

#[tokio::test]
async fn a_database_that_never_answers_makes_a_probe_fail_and_not_hang() {
    let server = served(Heart::default(), Hangs, Metrics::new()).await;
    let (status, _, body) = get(&server, "/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains("no answer within 2 s"), "{body}");
}

#[tokio::test]
async fn a_scrape_reads_open_metrics() {
    let metrics = Metrics::new();
    metrics.parked("stale");
    let server = served(Heart::default(), Says(Vec::new()), metrics).await;
    let (status, kind, body) = get(&server, "/metrics").await;
    assert_eq!((status, kind.as_str()), (200, assay::metrics::CONTENT_TYPE));
    assert!(body.contains("assay_parked_total{reason=\"stale\"} 1"), "{body}");
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_says_what_to_do() {
    let server = served(Heart::default(), Says(Vec::new()), Metrics::new()).await;
    let second = HealthServer::start(
        server.address(),
        Heart::default(),
        Arc::new(Says(Vec::new())),
        Metrics::new(),
    );
    let error = second.await.unwrap_err().to_string();
    assert!(
        error.ends_with("set pool.listen to another address, or to `off`"),
        "{error}"
    );
}
