//! The pool at work: lanes, drains, a judge that is down.

use std::time::Duration;

use assay::job::JobId;
use assay::journal::Journal as _;
use serde_json::json;

use super::deployment::Deployment;
use super::judge::THOUGHT;
use super::submission::{Submission, job, judged, mixed};
use super::tally::{is_long, jobs, some_jobs};

/// How long the model is down in `make chaos`; in `make test` until every job has met with it.
const DOWN: Duration = Duration::from_secs(60);

/// Longest time in which so many jobs are taken.
fn patience(count: usize) -> Duration {
    Duration::from_secs(60 + u64::try_from(count / 10).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_stop_under_load_exits_with_0_and_loses_nothing() {
    let count = jobs();
    let deployment = Deployment::new().await;
    let submissions = mixed("j", count);
    deployment.insert(&submissions).await;
    let before = deployment.money().await;
    let _settler = deployment.settler().await;
    deployment.judge.takes(Duration::from_millis(300));
    let ended = "SELECT count(*) FROM assay.claim WHERE state = 'decided'";
    deployment.publish(&submissions).await;
    for _ in 0..3 {
        let goal = deployment.count(ended).await + i64::try_from(count / 6).unwrap();
        let worker = deployment.worker().await;
        deployment
            .until("some decisions", Duration::from_secs(60), async || {
                deployment.count(ended).await >= goal.min(i64::try_from(count).unwrap())
            })
            .await;
        let status = worker.terminate();
        assert!(status.success(), "{status}");
        let running = "SELECT count(*) FROM assay.claim WHERE state = 'running'";
        assert_eq!(deployment.count(running).await, 0, "nothing is left to a lease");
    }
    let _last = deployment.worker().await;
    let tally = deployment.tally("SIGTERM under load", count, before).await;
    assert_eq!(tally.parked, 0, "{tally}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_worker_at_once_and_nothing_is_lost() {
    let count = some_jobs();
    let deployment = Deployment::new().await;
    let submissions = mixed("j", count);
    deployment.insert(&submissions).await;
    let before = deployment.money().await;
    let _settler = deployment.settler().await;
    deployment.judge.takes(Duration::from_secs(3600));
    let mut worker = deployment.worker().await;
    deployment.publish(&submissions).await;
    // Those for whom the judge has no time yet wait in his lane.
    let held = "SELECT count(*) FROM assay.claim WHERE state IN ('running', 'decided') OR for_judge";
    deployment
        .until("all are taken", patience(count), async || {
            deployment.count(held).await == i64::try_from(count).unwrap()
        })
        .await;
    worker.ask_to_end();
    deployment
        .until("it drains", Duration::from_secs(15), async || {
            worker.log().contains("nothing more is taken")
        })
        .await;
    assert!(!worker.has_ended(), "it waits for what runs");
    assert_eq!(worker.terminate().code(), Some(130));
    deployment.judge.takes(Duration::ZERO);
    let _next = deployment.worker().await;
    let tally = deployment.tally("a second signal", count, before).await;
    assert_eq!(tally.parked, 0, "{tally}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_model_is_down_nobody_loses_an_attempt_and_the_log_says_why_it_waits() {
    let count = some_jobs();
    let deployment = Deployment::new().await;
    let submissions = judged("j", count);
    deployment.insert(&submissions).await;
    let before = deployment.money().await;
    deployment.judge.is_down(true);
    let _settler = deployment.settler().await;
    let worker = deployment.worker().await;
    let down_until = tokio::time::Instant::now() + if is_long() { DOWN } else { Duration::ZERO };
    deployment.publish(&submissions).await;
    deployment
        .until("every one tried", patience(count), async || {
            deployment
                .count("SELECT count(*) FROM assay.claim WHERE tries > 0")
                .await
                == i64::try_from(count).unwrap()
        })
        .await;
    tokio::time::sleep_until(down_until).await;
    assert_eq!(deployment.count("SELECT count(*) FROM assay.decision").await, 0);
    deployment.judge.is_down(false);
    let tally = deployment.tally("model down", count, before).await;
    assert_eq!(
        (tally.decided, tally.parked),
        (i64::try_from(count).unwrap(), 0),
        "{tally}"
    );
    let retries = "SELECT count(*) FROM assay.decision WHERE outcome = 'retry'";
    assert_eq!(
        deployment.count(retries).await,
        0,
        "our trouble is nobody's failure"
    );
    let told =
        "SELECT count(*) FROM assay.log WHERE audience = 'public' AND content LIKE '%model-unavailable%'";
    assert!(deployment.count(told).await >= i64::try_from(count).unwrap());
    assert!(worker.terminate().success());
}

/// Promise 4: whoever reads the log does not wait for the verdict.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_grader_says_can_be_read_while_it_still_runs() {
    let deployment = Deployment::new().await;
    deployment.judge.takes(Duration::from_secs(3600));
    deployment.judge.thinks_aloud();
    let submission = Submission {
        job: job("j", json!({"output_text": "as expected"})),
        plan: Some("judged".to_owned()),
    };
    deployment.insert(std::slice::from_ref(&submission)).await;
    let worker = deployment.worker().await;
    deployment.publish(&[submission]).await;
    let id = JobId::new("j");
    let (gate, thought) = ("\"grader\":\"text\"", THOUGHT);
    let read = async || {
        let verifications = deployment.journal.verifications(&id).await.unwrap();
        let [verification] = &verifications[..] else {
            return (false, Vec::new());
        };
        let entries = deployment.journal.entries(verification.id).await.unwrap();
        let said = entries.into_iter().map(|entry| entry.entry.content);
        (verification.outcome.is_some(), said.collect::<Vec<_>>())
    };
    let says = |said: &[String], words: &str| said.iter().any(|content| content.contains(words));
    deployment
        .until("the judge's words", Duration::from_secs(30), async || {
            says(&read().await.1, thought)
        })
        .await;
    let (has_ended, said) = read().await;
    assert!(
        !has_ended && says(&said, gate) && !says(&said, "\"grader\":\"quality\""),
        "{said:?}"
    );
    deployment.judge.takes(Duration::ZERO);
    deployment
        .until("the judge's verdict", Duration::from_secs(30), async || {
            let (has_ended, said) = read().await;
            has_ended && says(&said, "\"grader\":\"quality\"")
        })
        .await;
    assert!(worker.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_a_job_reach_no_table_but_its_own_claim_and_no_message() {
    let deployment = Deployment::new().await;
    let secret = "sk-canary-pool-4711";
    let fields = json!({"output_text": format!("the key is {secret}"), "env_vars": {"API_KEY": secret}});
    let submission = Submission {
        job: job("leaky", fields.clone()),
        plan: Some("quick".to_owned()),
    };
    let changed = Submission {
        job: job(
            "leaky",
            json!({"output_text": "other", "env_vars": {"API_KEY": secret}}),
        ),
        plan: Some("quick".to_owned()),
    };
    let unplanned = Submission {
        job: job("unplanned", fields),
        plan: Some("no-such-plan".to_owned()),
    };
    deployment.insert(&[submission.clone(), unplanned.clone()]).await;
    let worker = deployment.worker().await;
    deployment.publish(&[submission, unplanned]).await;
    deployment
        .until("decided", Duration::from_secs(30), async || {
            deployment.count("SELECT count(*) FROM assay.decision").await == 1
        })
        .await;
    deployment.publish(&[changed]).await;
    deployment
        .until("parked", Duration::from_secs(30), async || {
            deployment.count("SELECT count(*) FROM assay.parked").await == 2
        })
        .await;
    for (table, column) in [
        ("log", "content"),
        ("verification", "decision"),
        ("parked", "detail"),
        ("parked", "convert_from(message, 'UTF8')"),
        ("decision", "convert_from(message, 'UTF8')"),
    ] {
        let leaks = format!("SELECT count(*) FROM assay.{table} WHERE {column} LIKE '%canary%'");
        assert_eq!(deployment.count(&leaks).await, 0, "{table}.{column}");
    }
    assert!(!worker.log().contains("canary"));
    assert!(worker.terminate().success());
}
