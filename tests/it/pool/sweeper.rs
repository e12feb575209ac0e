//! What the sweeper takes up by itself: no more than there is room for, and whatever else fails beside it.

use std::time::Duration;

use assay::queue::{Lane, Queue as _};
use serde_json::json;

use super::deployment::Deployment;
use super::submission::{Submission, job, judged, quick};

/// Longest wait for something that happens within a few rounds.
const WAIT: Duration = Duration::from_secs(60);

impl Deployment {
    /// Waits until the sweeper has gone through one more round at least: it tells of what was parked at the end of a round,
    /// and of what was parked after that at the end of a later one.
    async fn sweeps_again(&self) {
        let told = "SELECT count(*) FROM assay.parked WHERE noticed_at IS NOT NULL";
        for _ in 0..2 {
            let before = self.count(told).await;
            self.send(format!("no JSON: {}", uuid::Uuid::now_v7()).into_bytes())
                .await;
            self.until("the sweeper tells of it", WAIT, async || {
                self.count(told).await > before
            })
            .await;
        }
    }
}

impl Deployment {
    /// Takes a key of the outcomes' exchange from settlement's queue.
    async fn unbind(&self, key: &str) {
        let connection = lapin::Connection::connect(&self.urls.amqp, lapin::ConnectionProperties::default())
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        let arguments = lapin::types::FieldTable::default();
        let unbound = channel.queue_unbind(
            "assay.settle".into(),
            "assay.outcomes".into(),
            key.into(),
            arguments,
        );
        unbound.await.unwrap();
        connection.close(200, "done".into()).await.unwrap();
    }
}

/// The broker has lost their messages and their worker is gone, so that nobody but the sweeper brings them back.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_overdue_submissions_are_taken_up_at_a_time_than_there_is_room_for() {
    const OVERDUE: u64 = 6;
    const ROOM: u64 = 2;
    let deployment = Deployment::new().await;
    deployment.configure(|config| config.replace("judge_slots = 4", "judge_slots = 20"));
    let submissions = judged("j", OVERDUE as usize);
    deployment.insert(&submissions).await;
    deployment.judge.takes(Duration::from_secs(3600));
    let victim = deployment.worker().await;
    deployment.publish(&submissions).await;
    deployment
        .until("all are under way", WAIT, async || {
            deployment.judge.asked() == OVERDUE
        })
        .await;
    victim.kill();
    let waiting = async || {
        let depths = deployment.queue.depths().await.unwrap();
        let lane = depths.iter().find(|depth| depth.queue == Lane::Submitted.queue());
        lane.map_or(0, |depth| u64::from(depth.messages))
    };
    deployment
        .until("the broker has them back", WAIT, async || {
            waiting().await == OVERDUE
        })
        .await;
    deployment.purge(&[Lane::Submitted.queue()]).await;
    let overdue = "SELECT count(*) FROM assay.claim WHERE due_at < now() - interval '5 seconds'";
    deployment
        .until("all are overdue", WAIT, async || {
            deployment.count(overdue).await == OVERDUE as i64
        })
        .await;

    // A quarter of what may be in flight.
    deployment.in_flight(8);
    let _worker = deployment.worker().await;
    deployment
        .until("as many as there is room for", WAIT, async || {
            deployment.judge.asked() >= OVERDUE + ROOM
        })
        .await;
    deployment.sweeps_again().await;
    assert_eq!(deployment.judge.asked(), OVERDUE + ROOM);
    let held = "SELECT count(*) FROM assay.claim WHERE state = 'running' AND due_at > now()";
    assert_eq!(deployment.count(held).await, ROOM as i64);

    deployment.judge.takes(Duration::ZERO);
    let decided = "SELECT count(*) FROM assay.decision";
    deployment
        .until("the others follow", WAIT, async || {
            deployment.count(decided).await == OVERDUE as i64
        })
        .await;
}

/// The first part of a round may not read what it needs.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_round_that_fails_does_not_keep_the_others_from_their_work() {
    let deployment = Deployment::new().await;
    deployment.configure(|config| config.replace("lost_after = \"12s\"", "lost_after = \"1s\""));
    let urls = deployment.as_worker().await;
    let worker = deployment
        .ready(deployment.start_on(&urls, &["work"]), "the worker takes jobs")
        .await;
    // The marketplace does not know it, so it cannot count as one whose message is lost.
    let told = Submission {
        job: job("told", json!({"output_text": "as expected"})),
        plan: Some("quick".to_owned()),
    };
    deployment.publish(&[told]).await;
    let confirmed = "SELECT count(*) FROM assay.decision WHERE job_id = 'told'
                     AND NOT EXISTS (SELECT FROM assay.outbox WHERE verification_id = ANY (decisions))";
    let is_confirmed = async || deployment.count(confirmed).await == 1;
    deployment.until("it is told", WAIT, &is_confirmed).await;

    deployment
        .execute("REVOKE SELECT ON assay.hand_in FROM assay_worker")
        .await;
    deployment
        .until("a part fails", WAIT, async || {
            worker.log().contains("overdue submissions")
        })
        .await;
    deployment
        .execute(
            "INSERT INTO assay.outbox
             SELECT verification_id, now() - interval '1 minute', ARRAY[verification_id] FROM assay.decision",
        )
        .await;
    deployment.insert(&quick("lost", 1)).await;
    deployment
        .until("the outcome is published again", WAIT, &is_confirmed)
        .await;
    deployment.sweeps_again().await;
    let found = "SELECT count(*) FROM assay.decision WHERE job_id = 'lost-0'";
    deployment
        .until("a lost job is found", WAIT, async || {
            deployment.count(found).await == 1
        })
        .await;
    assert!(worker.terminate().success());
}

/// The exchange takes only one of the two outcomes; the other is mandatory and has nowhere to go.
#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_that_the_broker_refuses_keeps_those_behind_it_from_nothing() {
    let deployment = Deployment::new().await;
    deployment.unbind("job.verified").await;
    deployment
        .execute(
            "ALTER TABLE assay.decision DISABLE TRIGGER USER;
             INSERT INTO assay.decision (verification_id, job_id, attempt, trigger, outcome, message)
             SELECT gen_random_uuid(), 'j', number, 'dispute', (ARRAY['verified', 'retry'])[number], '{}'
             FROM generate_series(1, 2) number;
             INSERT INTO assay.dispute_outcome (verification_id, published_by, decided_at)
             SELECT verification_id, 'ann', now() - interval '1 hour' / attempt FROM assay.decision",
        )
        .await;
    let worker = deployment.worker().await;
    let confirmed =
        "SELECT count(*) FROM assay.dispute_outcome o JOIN assay.decision d USING (verification_id)
                     WHERE o.confirmed_at IS NOT NULL AND d.outcome = 'retry'";
    deployment
        .until("the second is confirmed", WAIT, async || {
            deployment.count(confirmed).await == 1
        })
        .await;
    let refused = "SELECT count(*) FROM assay.dispute_outcome WHERE confirmed_at IS NULL";
    assert_eq!(deployment.count(refused).await, 1);
    let told = |line: &str| line.contains("unconfirmed disputes") && line.contains("no queue for");
    deployment
        .until("the trouble is told", WAIT, async || {
            worker.log().lines().any(told)
        })
        .await;
    assert!(worker.terminate().success());
}
