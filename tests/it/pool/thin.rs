//! Messages that only say where their job is, delivered again when settlement has moved the job on. Promise 2: what is decided is
//! decided, and a redelivery is no case for a person.

use std::time::Duration;

use assay::digest::Digest;
use assay::message::{SubmittedJob, Work};
use assay::submission::Submission as HandIn;
use serde_json::json;

use super::deployment::Deployment;
use super::submission::{Submission, job};

const SOON: Duration = Duration::from_secs(40);
const STALE: &str = "SELECT count(*) FROM assay.parked WHERE reason = 'stale'";

/// The thin message of a submission that states this digest.
fn stating(submission: &Submission, digest: Digest) -> Vec<u8> {
    let thin = SubmittedJob {
        work: Work::Thin {
            job_id: submission.job.id.clone(),
            attempt: submission.job.attempt_count,
            submission_sha256: Some(digest),
        },
        ..submission.thin()
    };
    thin.to_json().unwrap()
}

fn submission(id: &str, text: &str, attempt: u32) -> Submission {
    Submission {
        job: job(id, json!({"output_text": text, "attempt_count": attempt})),
        plan: Some("quick".to_owned()),
    }
}

impl Deployment {
    /// Waits until all messages before have been dealt with: a worker that takes one at a time parks this one after them.
    async fn all_are_dealt_with(&self) {
        let marker = uuid::Uuid::now_v7().to_string();
        self.send(marker.clone().into_bytes()).await;
        let parked =
            format!("SELECT count(*) FROM assay.parked WHERE convert_from(message, 'UTF8') = '{marker}'");
        self.until("the marker is parked", SOON, async || {
            self.count(&parked).await == 1
        })
        .await;
    }

    async fn settled(&self, count: i64) {
        let settled = "SELECT count(*) FROM assay.settlement";
        self.until("settled", SOON, async || self.count(settled).await == count)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thin_messages_that_come_again_after_settlement_are_acknowledged_and_nobody_has_to_look() {
    let deployment = Deployment::new().await;
    deployment.in_flight(1);
    let submissions = [
        submission("verified", "as expected", 0),
        submission("again", "otherwise", 0),
        submission("failed", "otherwise", 2),
    ];
    deployment.insert(&submissions).await;
    let before = deployment.money().await;
    let _settler = deployment.settler().await;
    let worker = deployment.worker().await;
    for submission in &submissions {
        deployment.queue_thin(submission).await;
    }
    deployment.settled(3).await;
    let moved_on = "SELECT count(*) FROM jobs WHERE (id, status, attempt_count) IN
                    (('verified', 'verified', 0), ('again', 'queued', 1), ('failed', 'failed', 3))";
    assert_eq!(deployment.count(moved_on).await, 3);

    for submission in &submissions {
        deployment.queue_thin(submission).await;
        deployment
            .send(stating(submission, HandIn::of(&submission.job).digest))
            .await;
    }
    deployment.all_are_dealt_with().await;
    let tally = deployment.tally("thin, again", 3, before).await;
    assert_eq!((tally.decided, tally.redelivered), (3, 0), "{tally}");
    assert_eq!(tally.parked, 1, "the marker: {tally}");
    assert!(worker.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thin_message_comes_again_for_nothing_when_the_marketplace_has_no_such_job_any_more() {
    let deployment = Deployment::new().await;
    deployment.in_flight(1);
    let gone = submission("gone", "as expected", 0);
    deployment.insert(std::slice::from_ref(&gone)).await;
    let worker = deployment.worker().await;
    deployment.queue_thin(&gone).await;
    deployment.all_are_dealt_with().await;
    deployment.execute("DELETE FROM jobs").await;
    deployment.queue_thin(&gone).await;
    deployment.all_are_dealt_with().await;
    let others = "SELECT count(*) FROM assay.parked WHERE reason <> 'undecodable'";
    assert_eq!(deployment.count(others).await, 0);
    assert_eq!(
        deployment.count("SELECT count(*) FROM assay.verification").await,
        1
    );
    assert!(worker.terminate().success());
}

/// What is not what was claimed, and what nobody can compare any more, is for a person.
#[tokio::test(flavor = "multi_thread")]
async fn a_thin_message_of_other_content_or_of_an_erased_hand_in_is_parked_after_settlement_as_before() {
    let deployment = Deployment::new().await;
    deployment.in_flight(1);
    let paid = submission("paid", "as expected", 0);
    deployment.insert(std::slice::from_ref(&paid)).await;
    let _settler = deployment.settler().await;
    let worker = deployment.worker().await;
    deployment.queue_thin(&paid).await;
    deployment.settled(1).await;
    deployment.send(stating(&paid, Digest::of(b"other"))).await;
    deployment.all_are_dealt_with().await;
    assert_eq!(deployment.count(STALE).await, 1, "other content");

    let erased = deployment.journal.erase(&paid.job.id, None, ("ann", "a request"));
    erased.await.unwrap();
    deployment.queue_thin(&paid).await;
    deployment.all_are_dealt_with().await;
    assert_eq!(deployment.count(STALE).await, 2, "erased");
    assert_eq!(
        deployment.count("SELECT count(*) FROM assay.verification").await,
        1
    );
    assert!(worker.terminate().success());
}
