//! A queue that confirms nothing, as RabbitMQ 3.10 has them now and then after a kill -9.

use std::process::Command;
use std::time::Duration;

use super::deployment::Deployment;
use super::submission::{judged, mixed};
use crate::servers;

/// Longer than an outcome's delivery waits for its confirmation, twice, and than the sweeper waits to publish it again.
const WAIT: Duration = Duration::from_secs(150);

/// Suspends or resumes the process that is a queue of this test.
fn queue(deployment: &Deployment, name: &str, what: &str) {
    let (_, host) = deployment.urls.amqp.rsplit_once('/').unwrap();
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers"))
        .args(["ctl", &servers::shared_folder(), "eval"])
        .arg(format!("sys:{what}('{host}_{name}')."))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim() == "ok", "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_that_nobody_confirms_hold_no_other_job_back_and_are_published_in_the_end() {
    let deployment = Deployment::new().await;
    let submissions: Vec<_> = mixed("j", 10)
        .into_iter()
        .filter(|submission| submission.plan.as_deref() != Some("judged"))
        .take(4)
        .collect();
    deployment.insert(&submissions).await;
    deployment.in_flight(2);
    tokio::task::block_in_place(|| queue(&deployment, "assay.settle", "suspend"));
    let worker = deployment.worker().await;
    deployment.publish(&submissions).await;
    deployment
        .until("all are decided, two at a time", WAIT, async || {
            deployment.count("SELECT count(*) FROM assay.decision").await == 4
        })
        .await;
    let confirmed = "SELECT count(*) FROM assay.decision
                     WHERE NOT EXISTS (SELECT FROM assay.outbox WHERE verification_id = ANY (decisions))";
    assert_eq!(
        deployment.count(confirmed).await,
        0,
        "nobody has confirmed anything"
    );

    tokio::task::block_in_place(|| queue(&deployment, "assay.settle", "resume"));
    deployment
        .until("all are confirmed", WAIT, async || {
            deployment.count(confirmed).await == 4
        })
        .await;
    assert!(worker.terminate().success());
    assert_eq!(deployment.count("SELECT count(*) FROM assay.decision").await, 4);
}

/// A message that has to wait goes to the end of its own queue, and the others have their turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_to_wait_in_that_confirms_nothing_holds_no_other_job_back() {
    let deployment = Deployment::new().await;
    let mut submissions = judged("judged", 2);
    submissions.extend(mixed("j", 1));
    deployment.insert(&submissions).await;
    deployment.configure(|config| config.replace("judge_slots = 4", "judge_slots = 1"));
    deployment.in_flight(2);
    deployment.judge.takes(Duration::from_secs(3600));
    let _worker = deployment.worker().await;
    tokio::task::block_in_place(|| queue(&deployment, "assay.judge", "suspend"));
    deployment.publish(&submissions[..2]).await;
    deployment
        .until(
            "one is asked about, the other waits for its lane",
            WAIT,
            async || {
                deployment
                    .count("SELECT count(*) FROM assay.claim WHERE for_judge")
                    .await
                    == 1
            },
        )
        .await;
    deployment.publish(&submissions[2..]).await;
    deployment
        .until("the quick one is decided", WAIT, async || {
            deployment.count("SELECT count(*) FROM assay.decision").await == 1
        })
        .await;
    tokio::task::block_in_place(|| queue(&deployment, "assay.judge", "resume"));
}
