//! Submissions whose runs never ended: suspected, run alone, and blamed only for a lone run that does not end either.

use std::time::Duration;

use assay::journal::SUSPECT_AFTER;

use super::deployment::Deployment;
use super::submission::judged;

const WAIT: Duration = Duration::from_secs(90);

/// Four suspects and a judge that does not answer: one runs alone until its time is over, the others wait for their turn and
/// give up. None of it is their doing.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_whose_run_is_given_up_for_trouble_of_ours_is_not_blamed() {
    let deployment = Deployment::new().await;
    let submissions = judged("j", 4);
    deployment.insert(&submissions).await;
    deployment.judge.takes(Duration::from_secs(3600));
    let victim = deployment.worker().await;
    deployment.publish(&submissions).await;
    deployment
        .until("all are under way", WAIT, async || deployment.judge.asked() == 4)
        .await;
    victim.kill();
    // As if it had gone like this three times.
    sqlx::query("UPDATE assay.claim SET starts = $1")
        .bind(i64::from(SUSPECT_AFTER))
        .execute(&deployment.journal.pool())
        .await
        .unwrap();

    deployment.configure(|config| config.replace("[pool]\n", "[pool]\nverification_limit = \"3s\"\n"));
    let _worker = deployment.worker().await;
    let gave_up_alone = "SELECT count(*) FROM assay.verification WHERE decision LIKE '%deadline-exceeded%'";
    deployment
        .until("one has run alone for too long", WAIT, async || {
            deployment.count(gave_up_alone).await > 0
        })
        .await;
    let alone = "SELECT count(*) FROM assay.log WHERE content = 'runs alone: 3 earlier runs never ended'";
    assert!(deployment.count(alone).await > 0);
    // Taken over once from the worker that was killed, and again from a run that never began.
    let gave_up_waiting = "SELECT count(*) FROM (SELECT FROM assay.verification WHERE outcome = 'taken-over'
                           GROUP BY job_id HAVING count(*) > 1) jobs";
    deployment
        .until("others have waited for too long", WAIT, async || {
            deployment.count(gave_up_waiting).await > 0
        })
        .await;

    deployment.judge.takes(Duration::ZERO);
    let ended = "SELECT count(*) FROM assay.claim WHERE state IN ('decided', 'parked')";
    deployment
        .until("all have ended", WAIT, async || {
            deployment.count(ended).await == 4
        })
        .await;
    assert_eq!(
        deployment.count("SELECT count(*) FROM assay.parked").await,
        0,
        "nobody is blamed"
    );
}
