//! Messages that no well-behaved marketplace sends: twice, late, changed, broken.

use std::time::Duration;

use assay::digest::Digest;
use assay::job::JobStatus;
use assay::message::{PlanChoice, SubmittedJob, Work};
use assay::queue::{Destination, Lane, Outgoing, Queue as _};
use assay::submission::Submission as HandIn;
use serde_json::json;

use super::deployment::Deployment;
use super::submission::{Submission, job, mixed};
use super::tally::jobs;

impl Deployment {
    pub(super) async fn send(&self, body: Vec<u8>) {
        let outgoing = Outgoing {
            to: Destination::Lane(Lane::Submitted),
            message_id: uuid::Uuid::now_v7().to_string(),
            body,
            traceparent: None,
        };
        self.queue.publish(outgoing).await.unwrap();
    }

    async fn parked_as(&self, reason: &str, count: i64) {
        let parked = format!("SELECT count(*) FROM assay.parked WHERE reason = '{reason}'");
        self.until(reason, Duration::from_secs(30), async || {
            self.count(&parked).await >= count
        })
        .await;
        assert_eq!(self.count(&parked).await, count, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_in_any_order_to_several_workers_are_decided_and_paid_once() {
    let count = jobs();
    let deployment = Deployment::new().await;
    let submissions = mixed("j", count);
    deployment.insert(&submissions).await;
    let before = deployment.money().await;
    let _settler = deployment.settler().await;
    let _workers = [deployment.worker().await, deployment.worker().await];
    let mut twice = submissions.clone();
    twice.extend(submissions.iter().rev().cloned());
    deployment.publish(&twice).await;
    deployment.publish(&submissions[..count / 2]).await;
    let tally = deployment
        .tally("duplicates, reordered, two workers", count, before)
        .await;
    assert_eq!(tally.parked, 0, "{tally}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_graded_is_parked_with_its_reason_and_grades_nothing() {
    let deployment = Deployment::new().await;
    let _settler = deployment.settler().await;
    let worker = deployment.worker().await;
    let good = Submission {
        job: job("good", json!({"output_text": "as expected"})),
        plan: Some("quick".to_owned()),
    };
    deployment.insert(std::slice::from_ref(&good)).await;

    deployment.send(b"no JSON".to_vec()).await;
    deployment.send(br#"{"v":1,"job":{"id":"x"}}"#.to_vec()).await;
    deployment
        .send(br#"{"v":9,"job_id":"x","attempt":0}"#.to_vec())
        .await;
    deployment.parked_as("undecodable", 3).await;
    deployment.send(vec![b' '; 1_100_000]).await;
    deployment.parked_as("too-large", 1).await;

    let thin = |id: &str, attempt, digest| {
        let message = SubmittedJob {
            work: Work::Thin {
                job_id: assay::job::JobId::new(id),
                attempt,
                submission_sha256: digest,
            },
            plan: Some(PlanChoice::Named("quick".to_owned())),
        };
        message.to_json().unwrap()
    };
    deployment.send(thin("nobody", 0, None)).await;
    deployment.parked_as("missing-job", 1).await;
    deployment.send(thin("good", 7, None)).await;
    deployment.send(thin("good", 0, Some(Digest::of(b"other")))).await;
    let mut late = good.clone();
    late.job.status = JobStatus::Verified;
    deployment.send(late.message().to_json().unwrap()).await;
    deployment.parked_as("stale", 3).await;

    let unknown = Submission {
        job: job("unknown-plan", json!({"output_text": "x"})),
        plan: Some("../../etc/passwd".to_owned()),
    };
    deployment.publish(&[unknown]).await;
    deployment.parked_as("plan-unknown", 1).await;
    let greedy = SubmittedJob {
        work: Work::Whole(Box::new(job("greedy", json!({"output_text": "x"})))),
        plan: Some(PlanChoice::Inline(
            json!({"graders": [{"name": "r", "kind": "rubric", "model": "dearest", "criteria": []}]})
                .as_object()
                .unwrap()
                .clone(),
        )),
    };
    deployment.send(greedy.to_json().unwrap()).await;
    deployment.parked_as("plan-not-allowed", 1).await;

    // The same job, thin and right, is graded; other content of the same attempt is not.
    let digest = HandIn::of(&good.job).digest;
    deployment.send(thin("good", 0, Some(digest))).await;
    let decided = "SELECT count(*) FROM assay.decision";
    deployment
        .until("good", Duration::from_secs(30), async || {
            deployment.count(decided).await == 1
        })
        .await;
    let altered = Submission {
        job: job("good", json!({"output_text": "as expected, and more"})),
        plan: Some("quick".to_owned()),
    };
    deployment.publish(&[altered]).await;
    deployment.parked_as("submission-changed", 1).await;
    assert_eq!(deployment.count(decided).await, 1);
    assert!(worker.terminate().success());

    let listed = deployment
        .command(&["parked", "list", "--json"])
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.lines().count(), 11, "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_is_closed_and_a_mere_request_is_noted_and_graded() {
    let deployment = Deployment::new().await;
    let worker = deployment.worker().await;
    let cancelled = Submission {
        job: job(
            "cancelled",
            json!({"output_text": "as expected", "status": "cancelled"}),
        ),
        plan: Some("quick".to_owned()),
    };
    let asked = Submission {
        job: job(
            "asked",
            json!({"output_text": "as expected", "cancellation_requested": true}),
        ),
        plan: Some("quick".to_owned()),
    };
    deployment.publish(&[cancelled, asked]).await;
    deployment
        .until("both", Duration::from_secs(30), async || {
            deployment
                .count("SELECT count(*) FROM assay.claim WHERE state IN ('closed', 'decided')")
                .await
                == 2
        })
        .await;
    let closed = "SELECT count(*) FROM assay.log WHERE job_id = 'cancelled' AND content LIKE 'closed without a verdict%'";
    assert_eq!(deployment.count(closed).await, 1);
    assert_eq!(
        deployment
            .count("SELECT count(*) FROM assay.decision WHERE job_id = 'asked'")
            .await,
        1
    );
    let noted =
        "SELECT count(*) FROM assay.log WHERE job_id = 'asked' AND content LIKE '%noted, and graded%'";
    assert_eq!(deployment.count(noted).await, 1);
    assert!(worker.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_submission_comes_back_when_a_person_says_so() {
    let deployment = Deployment::new().await;
    let worker = deployment.worker().await;
    let submission = Submission {
        job: job("late-plan", json!({"output_text": "as expected"})),
        plan: Some("late".to_owned()),
    };
    deployment.insert(std::slice::from_ref(&submission)).await;
    deployment.publish(&[submission]).await;
    deployment.parked_as("plan-unknown", 1).await;
    deployment.bench.plan(
        "late",
        "[[graders]]\nname = \"t\"\nkind = \"diff\"\ncompare = \"exact\"\nexpected = { text = \"as expected\" }\n",
    );
    let id = deployment.count("SELECT id FROM assay.parked").await.to_string();
    let retried = deployment
        .command(&["parked", "retry", &id, "--reason", "the plan is there now"])
        .output()
        .unwrap();
    assert!(
        retried.status.success(),
        "{}",
        String::from_utf8_lossy(&retried.stderr)
    );
    deployment
        .until("decided", Duration::from_secs(30), async || {
            deployment.count("SELECT count(*) FROM assay.decision").await == 1
        })
        .await;
    let again = deployment
        .command(&["parked", "close", &id, "--reason", "twice"])
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(worker.terminate().success());
}

/// The marketplace's rows and other people's headers are strangers' input, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_the_database_cannot_give_is_parked_and_a_broken_trace_header_is_dropped() {
    let deployment = Deployment::new().await;
    let unreadable = Submission {
        job: job("unreadable", json!({"output_text": "as expected"})),
        plan: Some("quick".to_owned()),
    };
    let traced = Submission {
        job: job("traced", json!({"output_text": "as expected"})),
        plan: Some("quick".to_owned()),
    };
    deployment.insert(&[unreadable.clone(), traced.clone()]).await;
    sqlx::raw_sql("UPDATE jobs SET output_attachments = '[{\"name\": 7}]' WHERE id = 'unreadable'")
        .execute(&deployment.journal.pool())
        .await
        .unwrap();
    let worker = deployment.worker().await;
    deployment.queue_thin(&unreadable).await;
    deployment.parked_as("unreadable-job", 1).await;
    for traceparent in ["00-\0", "no such thing"] {
        let outgoing = Outgoing {
            traceparent: Some(traceparent.to_owned()),
            ..traced.outgoing()
        };
        deployment.queue.publish(outgoing).await.unwrap();
    }
    deployment
        .until("decided", Duration::from_secs(30), async || {
            deployment.count("SELECT count(*) FROM assay.decision").await == 1
        })
        .await;
    assert!(!worker.log().contains("one by one"), "no neighbour was met");
    assert!(worker.terminate().success());
}

/// A marketplace may number its jobs by uuid: then a message that names another id is about no job.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_none_of_the_marketplaces_is_parked() {
    let deployment = Deployment::new().await;
    sqlx::raw_sql("ALTER TABLE jobs ALTER id TYPE uuid USING id::uuid")
        .execute(&deployment.journal.pool())
        .await
        .unwrap();
    let worker = deployment.worker().await;
    let nobody = Submission {
        job: job("no-uuid", json!({"output_text": "as expected"})),
        plan: Some("quick".to_owned()),
    };
    deployment.queue_thin(&nobody).await;
    deployment.parked_as("unreadable-job", 1).await;
    assert!(worker.terminate().success());
}

/// By default nobody guesses which plan judges a job whose message was lost: a person says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_message_was_lost_is_parked_by_default_and_judged_when_a_person_says_so() {
    let deployment = Deployment::new().await;
    deployment.configure(|config| config.replace("lost = \"default\"\n", ""));
    let lost = |id: &str| Submission {
        job: job(id, json!({"output_text": "as expected"})),
        plan: Some("judged".to_owned()),
    };
    deployment.insert(&[lost("lost"), lost("late")]).await;
    let worker = deployment.worker().await;
    deployment.parked_as("message-lost", 2).await;
    assert_eq!(deployment.count("SELECT count(*) FROM assay.claim").await, 0);

    let id = deployment
        .count("SELECT id FROM assay.parked WHERE job_id = 'lost'")
        .await
        .to_string();
    let retried = deployment
        .command(&["parked", "retry", &id, "--reason", "the default plan will do"])
        .output()
        .unwrap();
    assert!(
        retried.status.success(),
        "{}",
        String::from_utf8_lossy(&retried.stderr)
    );
    // Its message comes after all, and names its plan.
    deployment.queue_thin(&lost("late")).await;
    deployment
        .until("both are decided", Duration::from_secs(30), async || {
            deployment.count("SELECT count(*) FROM assay.decision").await == 2
        })
        .await;
    let plans = "SELECT count(*) FROM assay.verification WHERE (job_id, plan_name) IN (('lost', 'quick'), ('late', 'judged'))";
    assert_eq!(deployment.count(plans).await, 2);
    let open = "SELECT count(*) FROM assay.parked WHERE closed_at IS NULL";
    deployment
        .until("nothing is open", Duration::from_secs(30), async || {
            deployment.count(open).await == 0
        })
        .await;
    assert!(worker.terminate().success());
}
