//! How fast an endpoint is asked that wants to be asked less, or that counts tokens.

use std::sync::Arc;
use std::time::Duration;

use assay::graders::rubric::{Judge, JudgeSettings};
use assay::pacing::{Pace, Pacer};
use assay::verdict::ErrorKind;
use tokio::sync::Barrier;
use tokio::time::Instant;

use super::bench::{Bench, GOOD, settings};
use crate::openai_server::{Ending, OpenAiServer, Piece, Script};

/// Calls that are under way together when the storm begins.
const STORM: usize = 5;

#[tokio::test]
async fn a_storm_of_429_cuts_once_is_waited_out_and_is_over() {
    // Each is answered only when all have been asked.
    let all = Arc::new(Barrier::new(STORM));
    let mut storm = Script::body(429, "slow down").header("retry-after", "1.5");
    storm.pieces.insert(0, Piece::Meet(all));
    let mut scripts = vec![storm; STORM];
    scripts.push(Script::answer(GOOD));
    let server = OpenAiServer::start(scripts).await.unwrap();
    let settings = settings(&server);
    let pacer = settings.pacer.clone();
    let judge = Judge::live(settings).unwrap();
    assert_eq!(pacer.concurrency(), (20, 0));
    let storm: Vec<_> = (0..STORM)
        .map(|_| tokio::spawn(Bench::new(judge.clone()).grade()))
        .collect();
    for graded in storm {
        let error = graded.await.unwrap().0.unwrap_err();
        assert_eq!(error.kind, ErrorKind::ModelRateLimited);
        assert!(error.message.contains("slow down for 1.5 s"), "{error}");
    }
    let over = Instant::now();
    assert_eq!(pacer.concurrency(), (16, 0), "one cut for all that began before");
    let (result, _) = Bench::new(judge.clone()).grade().await;
    assert!(result.unwrap().passed);
    assert!(over.elapsed() >= Duration::from_millis(1_300), "asked too early");
    assert_eq!(server.requests().len(), STORM + 1, "nobody asks meanwhile");
    assert!(Bench::new(judge).grade().await.0.is_ok(), "nobody waits any more");
}

#[tokio::test]
async fn a_wait_that_is_endless_or_unreadable_is_capped_and_still_a_wait() {
    for wait in ["99999999999999999999", "tomorrow"] {
        let script = Script::body(429, "").header("retry-after", wait);
        let server = OpenAiServer::start([script]).await.unwrap();
        let settings = settings(&server);
        let judge = Judge::live(settings).unwrap();
        let (result, _) = Bench::new(judge.clone()).grade().await;
        let error = result.unwrap_err();
        assert!(error.message.contains("slow down for 60 s"), "{error}");
        let next = tokio::time::timeout(Duration::from_millis(300), Bench::new(judge).grade()).await;
        assert!(next.is_err(), "{wait}: it was asked again at once");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_429_whose_body_never_ends_is_a_429() {
    let script = Script::body(429, "")
        .header("retry-after", "7")
        .cut(Ending::Silence);
    let server = OpenAiServer::start([script]).await.unwrap();
    let settings = settings(&server);
    let pacer = settings.pacer.clone();
    let (result, _) = Bench::new(Judge::live(settings).unwrap()).grade().await;
    let error = result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ModelRateLimited, "{error}");
    assert!(error.message.contains("for 7 s"), "{error}");
    assert_eq!(pacer.concurrency(), (16, 0));
}

#[tokio::test]
async fn a_connection_that_is_reset_before_the_headers_is_an_endpoint_that_is_not_there() {
    let server = OpenAiServer::start([Script::body(200, "").cut(Ending::Reset)])
        .await
        .unwrap();
    let settings = settings(&server);
    let pacer = settings.pacer.clone();
    let (result, _) = Bench::new(Judge::live(settings).unwrap()).grade().await;
    assert_eq!(result.unwrap_err().kind, ErrorKind::ModelUnavailable);
    assert_eq!(
        server.requests().len(),
        1,
        "it is not asked again behind our back"
    );
    assert_eq!(pacer.concurrency(), (20, 0), "trouble of its own cuts nothing");
}

/// The server counts 120 tokens for a question of which far more was thought: what was not used is there for the next.
#[tokio::test]
async fn tokens_are_reserved_by_estimate_and_corrected_by_what_the_server_counts() {
    let server = OpenAiServer::start([Script::answer(GOOD)]).await.unwrap();
    let settings = JudgeSettings {
        pacer: Pacer::alone(Pace {
            tokens_per_minute: Some(3_500),
            ..Pace::default()
        }),
        ..settings(&server)
    };
    let judge = Judge::live(settings).unwrap();
    let both = async {
        for _ in 0..2 {
            Bench::new(judge.clone()).grade().await.0.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), both).await.is_ok());
    // Two at once are more than a minute has room for, as long as nobody has counted.
    let held = Arc::new(tokio::sync::Notify::new());
    let server = OpenAiServer::start([Script::answer(GOOD).wait_before(0, &held)])
        .await
        .unwrap();
    let settings = JudgeSettings {
        pacer: Pacer::alone(Pace {
            tokens_per_minute: Some(3_500),
            ..Pace::default()
        }),
        ..super::bench::settings(&server)
    };
    let judge = Judge::live(settings).unwrap();
    let first = tokio::spawn(Bench::new(judge.clone()).grade());
    let second = tokio::spawn(Bench::new(judge).grade());
    let wait = Duration::from_millis(500);
    let both = tokio::time::timeout(wait, async { tokio::join!(first, second) }).await;
    assert!(both.is_err());
    assert_eq!(server.requests().len(), 1);
}
