//! What changes while a submission is under way: messages of other content, the sender's job, the files behind its URLs.
//! What was claimed first is what is judged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::json;

use super::deployment::{Deployment, Process};
use super::submission::{Submission, job};

const SOON: Duration = Duration::from_secs(40);
const TRIED: &str = "SELECT count(*) FROM assay.claim WHERE state = 'waiting' AND tries > 0";
const DECIDED: &str = "SELECT count(*) FROM assay.decision";

impl Deployment {
    /// Does something as the superuser of the database.
    pub(super) async fn execute(&self, statement: &'static str) {
        sqlx::raw_sql(statement)
            .execute(&self.journal.pool())
            .await
            .unwrap();
    }

    async fn becomes(&self, what: &str, select: &str, count: i64) {
        self.until(what, SOON, async || self.count(select).await >= count)
            .await;
        assert_eq!(self.count(select).await, count, "{what}");
    }

    /// The messages that the broker keeps for later are lost: the sweeper brings back what they were about.
    async fn lose_messages(&self) {
        let mut queues = vec!["assay.submitted", "assay.judge"];
        queues.extend(assay::queue::Wait::ALL.map(assay::queue::Wait::queue));
        self.purge(&queues).await;
    }
}

fn submission(text: &str, plan: &str) -> Submission {
    Submission {
        job: job("j", json!({"output_text": text})),
        plan: Some(plan.to_owned()),
    }
}

/// The judge is down, so that the first submission waits for its next try.
async fn the_first_waits() -> (Deployment, Process) {
    let deployment = Deployment::new().await;
    let first = submission("as expected", "judged");
    deployment.insert(std::slice::from_ref(&first)).await;
    deployment.judge.is_down(true);
    let worker = deployment.worker().await;
    deployment.publish(std::slice::from_ref(&first)).await;
    deployment.becomes("the first waits", TRIED, 1).await;
    (deployment, worker)
}

fn parked_as(reason: &str) -> String {
    format!("SELECT count(*) FROM assay.parked WHERE reason = '{reason}'")
}

/// Promise 2, while the first runs and while it waits: it goes on, and what came after is set aside under its own name, even
/// where no plan would judge it.
#[tokio::test(flavor = "multi_thread")]
async fn other_content_with_an_unknown_plan_is_parked_as_changed_and_the_first_goes_on() {
    let deployment = Deployment::new().await;
    let first = submission("as expected", "judged");
    deployment.insert(std::slice::from_ref(&first)).await;
    deployment.judge.takes(Duration::from_secs(3));
    let worker = deployment.worker().await;
    deployment.publish(std::slice::from_ref(&first)).await;
    deployment
        .until("the first runs", SOON, async || deployment.judge.asked() > 0)
        .await;
    deployment
        .publish(&[
            submission("other, while it runs", "no-such-plan"),
            submission("as expected, too", "quick"),
        ])
        .await;
    deployment
        .becomes("changed, while it runs", &parked_as("submission-changed"), 2)
        .await;
    deployment.becomes("decided", DECIDED, 1).await;
    deployment
        .publish(&[submission("other, when it is decided", "no-such-plan")])
        .await;
    deployment
        .becomes("changed, when it is decided", &parked_as("submission-changed"), 3)
        .await;
    let kept = "SELECT count(*) FROM assay.parked WHERE convert_from(message, 'UTF8') LIKE '%other, when it is decided%'";
    assert_eq!(deployment.count(kept).await, 1, "for a person to read");
    assert_eq!(deployment.count(&parked_as("plan-unknown")).await, 0);
    assert!(worker.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_content_or_another_plan_while_the_first_waits_is_parked_and_the_first_is_judged() {
    let (deployment, worker) = the_first_waits().await;
    deployment
        .publish(&[
            submission("other, while it waits", "no-such-plan"),
            submission("other, while it waits", "quick"),
            submission("as expected", "no-such-plan"),
            submission("as expected", "quick"),
        ])
        .await;
    deployment
        .becomes("changed submissions", &parked_as("submission-changed"), 2)
        .await;
    deployment
        .becomes("changed plans", &parked_as("plan-changed"), 2)
        .await;
    deployment.judge.is_down(false);
    deployment.becomes("decided", DECIDED, 1).await;
    assert_eq!(deployment.count(&parked_as("plan-unknown")).await, 0);
    assert_eq!(
        deployment
            .count("SELECT count(*) FROM assay.decision WHERE outcome = 'verified'")
            .await,
        1
    );
    assert!(worker.terminate().success());
}

/// A deployment that rolls: one worker has the plan, another has not yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_the_plan_leaves_it_to_those_that_have_it() {
    let (deployment, worker) = the_first_waits().await;
    assert!(worker.terminate().success());
    let plan = deployment.bench.path("graders/plans/judged.toml");
    let away = plan.with_extension("away");
    std::fs::rename(&plan, &away).unwrap();
    let old = deployment.worker().await;
    let twice = "SELECT count(*) FROM assay.claim WHERE tries > 1 OR state = 'parked'";
    deployment.becomes("the old worker has met it", twice, 1).await;
    assert_eq!(deployment.count(&parked_as("plan-unknown")).await, 0);
    assert!(old.terminate().success());
    std::fs::rename(&away, &plan).unwrap();
    deployment.judge.is_down(false);
    let new = deployment.worker().await;
    deployment
        .execute("UPDATE assay.claim SET due_at = now() - interval '1 minute'")
        .await;
    deployment.becomes("decided", DECIDED, 1).await;
    assert!(new.terminate().success());
}

/// The message is thin, and the sender changes the job between two tries: what was claimed is what is judged.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_cannot_change_the_task_between_two_tries() {
    let deployment = Deployment::new().await;
    deployment.bench.plan(
        "from-input",
        "[[graders]]\nname = \"text\"\nkind = \"diff\"\ngate = true\ncompare = \"exact\"\n\
         expected = { attachment = \"expected.txt\" }\n\n[[graders]]\nname = \"quality\"\nkind = \"rubric\"\n\
         [[graders.criteria]]\nid = \"good\"\ntext = \"It is good.\"\nevidence = \"none\"\n",
    );
    let input = |text: &str| json!([{"name": "expected.txt", "url": format!("data:,{text}")}]);
    let first = Submission {
        job: job(
            "j",
            json!({"output_text": "agreed", "attachments": input("agreed")}),
        ),
        plan: Some("from-input".to_owned()),
    };
    deployment.insert(std::slice::from_ref(&first)).await;
    deployment.judge.is_down(true);
    let worker = deployment.worker().await;
    deployment.queue_thin(&first).await;
    deployment.becomes("the first waits", TRIED, 1).await;
    sqlx::query("UPDATE jobs SET attachments = $1::jsonb, prompt = 'Something else.'")
        .bind(input("something else").to_string())
        .execute(&deployment.journal.pool())
        .await
        .unwrap();
    deployment.judge.is_down(false);
    deployment.becomes("decided", DECIDED, 1).await;
    let verified = "SELECT count(*) FROM assay.decision WHERE outcome = 'verified'";
    assert_eq!(deployment.count(verified).await, 1, "on the task that was agreed");
    assert!(worker.terminate().success());
}

/// What thin messages are for: a job that no message could hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_more_than_a_message_is_brought_back_judged_and_can_be_disputed() {
    let deployment = Deployment::new().await;
    let padding = "x".repeat(1_500_000);
    let files = json!([{"name": "large.txt", "url": format!("data:,{padding}")}]);
    let large = Submission {
        job: job(
            "j",
            json!({"output_text": "as expected", "output_attachments": files}),
        ),
        plan: Some("quick".to_owned()),
    };
    deployment.insert(std::slice::from_ref(&large)).await;
    deployment.queue_thin(&large).await;
    let mut victim = deployment.start(&["work", "--crash-at", "after-claim"]);
    deployment
        .until("its worker dies", SOON, async || {
            deployment.count("SELECT count(*) FROM assay.claim").await == 1
        })
        .await;
    while !victim.has_ended() {
        tokio::task::yield_now().await;
    }
    deployment.lose_messages().await;
    let worker = deployment.worker().await;
    deployment.becomes("decided", DECIDED, 1).await;
    assert_eq!(deployment.count("SELECT count(*) FROM assay.parked").await, 0);
    let again = deployment.command(&["reverify", "j", "--json"]).output().unwrap();
    assert_eq!(
        again.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&again.stderr)
    );
    assert!(worker.terminate().success());
}

/// Promise 3 and the blame table: only the file that was gone at three tries over 15 minutes is its giver's fault.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_missing_for_the_first_time_is_not_held_against_the_submitter() {
    let deployment = Deployment::new().await;
    let missing = Arc::new([AtomicU16::new(404), AtomicU16::new(200)]);
    let shared = Arc::clone(&missing);
    let answer = |State(files): State<Arc<[AtomicU16; 2]>>, Path(number): Path<usize>| async move {
        (
            StatusCode::from_u16(files[number].load(Ordering::Relaxed)).unwrap(),
            "as expected",
        )
    };
    let router = Router::new().route("/{number}", get(answer)).with_state(shared);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let files = json!([format!("{host}/0"), format!("{host}/1")]);
    let two = Submission {
        job: job(
            "j",
            json!({"output_text": "as expected", "output_attachments": files}),
        ),
        plan: Some("quick".to_owned()),
    };
    deployment.insert(std::slice::from_ref(&two)).await;
    let worker = deployment
        .ready(
            deployment.start(&["work", "--any-network"]),
            "the worker takes jobs",
        )
        .await;
    deployment.publish(&[two]).await;
    let tried = |tries: u8| {
        format!(
            "SELECT count(*) FROM assay.claim WHERE (state = 'waiting' AND tries = {tries}) OR state = 'decided'"
        )
    };
    let again = "UPDATE assay.claim SET due_at = now() - interval '1 minute', first_not_found = now() - interval '1 hour'";
    for tries in 1..=2 {
        deployment.becomes("the first is missing", &tried(tries), 1).await;
        if tries == 2 {
            missing[0].store(200, Ordering::Relaxed);
            missing[1].store(404, Ordering::Relaxed);
        }
        deployment.execute(again).await;
    }
    for tries in 3..=4 {
        deployment
            .becomes("the second is missing", &tried(tries), 1)
            .await;
        assert_eq!(
            deployment.count(DECIDED).await,
            0,
            "the second is missing {} times",
            tries - 2
        );
        deployment.execute(again).await;
    }
    deployment.becomes("decided", DECIDED, 1).await;
    let retry = "SELECT count(*) FROM assay.decision WHERE outcome = 'retry'";
    assert_eq!(
        deployment.count(retry).await,
        1,
        "three times, an hour after the first"
    );
    assert!(worker.terminate().success());
}
