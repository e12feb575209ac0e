//! Workers, their sandboxes and settlement are killed.

use std::time::Duration;

use assay::worker::CrashPoint;
use serde_json::json;

use super::deployment::{Deployment, Process};
use super::submission::{Submission, job, mixed, quick};
use super::tally::jobs;

/// Longest time in which a process that must die has died.
const DYING: Duration = Duration::from_secs(90);

impl Deployment {
    async fn dies(&self, what: &str, mut victim: Process) {
        let give_up = tokio::time::Instant::now() + DYING;
        while !victim.has_ended() {
            assert!(
                tokio::time::Instant::now() < give_up,
                "{what} did not die: {}",
                victim.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Kill -9 at every point of a delivery: after each, others bring everything to its end, once.
#[tokio::test(flavor = "multi_thread")]
async fn workers_may_die_at_every_point_of_a_delivery() {
    let count = jobs();
    let kills = if count > 500 { 4 } else { 1 };
    let deployment = Deployment::new().await;
    let _settler = deployment.settler().await;
    let (mut before, mut attempted) = (0, 0);
    for point in CrashPoint::ALL {
        let submissions = mixed(point.as_str(), count);
        deployment.insert(&submissions).await;
        deployment.publish_half_thin(&submissions).await;
        attempted += count;
        before = before.max(deployment.money().await);
        for kill in 0..kills {
            // Never the first pass, and never the same one; few, since all that the dying have in flight may be through by then, and
            // the last has to find enough.
            let passes = (3 + kill * count / 50).to_string();
            let args = ["work", "--crash-at", point.as_str(), "--crash-after", &passes];
            deployment.dies(point.as_str(), deployment.start(&args)).await;
        }
        let last = deployment.worker().await;
        let name = format!("workers killed {}", point.as_str());
        let tally = deployment.tally(&name, attempted, before).await;
        assert_eq!(tally.parked, 0, "nobody is blamed: {tally}");
        assert!(last.terminate().success());
    }
    assert!(
        deployment
            .count("SELECT count(*) FROM assay.verification WHERE outcome = 'taken-over'")
            .await
            > 0,
        "some were taken over"
    );
}

/// Kill -9 while one vote is paid and two are not: whoever takes the job over asks for those two only.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_had_paid_its_judge_for_is_used_by_the_next() {
    let deployment = Deployment::new().await;
    deployment.bench.plan(
        "voted",
        "[[graders]]\nname = \"quality\"\nkind = \"rubric\"\nsamples = 3\n\
         [[graders.criteria]]\nid = \"good\"\ntext = \"It is good.\"\nevidence = \"none\"\n",
    );
    let submissions = [Submission {
        job: job("voted", json!({"output_text": "as expected"})),
        plan: Some("voted".to_owned()),
    }];
    deployment.insert(&submissions).await;
    deployment.judge.answers(1);
    let victim = deployment.worker().await;
    deployment.publish(&submissions).await;
    let paid = "SELECT count(*) FROM assay.model_call WHERE finish = 'complete' AND reused IS NULL";
    deployment
        .until("one vote is paid, two are asked for", DYING, async || {
            deployment.judge.asked() == 3 && deployment.count(paid).await == 1
        })
        .await;
    victim.kill();
    deployment.judge.answers(u64::MAX);
    let _next = deployment.worker().await;
    let decided = "SELECT count(*) FROM assay.decision";
    deployment
        .until("the next decides", DYING, async || {
            deployment.count(decided).await == 1
        })
        .await;
    assert_eq!(
        deployment.judge.asked(),
        5,
        "the vote that was paid is not asked for again"
    );
    assert_eq!(deployment.count(paid).await, 3);
    let reused = "SELECT count(*) FROM assay.model_call WHERE reused IS NOT NULL";
    assert_eq!(deployment.count(reused).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_killer_job_parks_and_the_others_are_not_blamed() {
    let count = jobs().clamp(100, 500);
    let deployment = Deployment::new().await;
    // Slow ones beside it die with it, again and again.
    deployment.judge.takes(Duration::from_millis(150));
    let mut submissions = mixed("j", count);
    submissions.insert(
        count / 2,
        Submission {
            job: job("killer", json!({"output_text": "as expected"})),
            plan: Some("quick".to_owned()),
        },
    );
    deployment.insert(&submissions).await;
    let before = deployment.money().await;
    let _settler = deployment.settler().await;
    deployment.publish(&submissions).await;
    let parked = "SELECT count(*) FROM assay.claim WHERE state = 'parked'";
    let mut deaths = 0;
    while deployment.count(parked).await == 0 {
        let args = ["work", "--crash-at", "in-grader", "--crash-job", "killer"];
        let mut victim = deployment.start(&args);
        // Whatever supervises workers starts them anew.
        while !victim.has_ended() && deployment.count(parked).await == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if victim.has_ended() {
            deaths += 1;
            assert!(deaths < 20, "{}", victim.log());
        } else {
            // Its neighbours run alone now, one after the other: killed here, one of them would be blamed for it.
            assert!(victim.terminate().success());
        }
    }
    let _last = deployment.worker().await;
    let tally = deployment.tally("a killer job", count + 1, before).await;
    assert_eq!(tally.parked, 1, "{tally}");
    let killer = "SELECT count(*) FROM assay.parked WHERE job_id = 'killer' AND reason = 'kills-worker'";
    assert_eq!(deployment.count(killer).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_may_be_killed_any_time() {
    let count = jobs();
    let deployment = Deployment::new().await;
    let submissions: Vec<_> = mixed("j", count)
        .into_iter()
        .map(|submission| Submission {
            plan: Some("script".to_owned()),
            ..submission
        })
        .collect();
    deployment.insert(&submissions).await;
    let before = deployment.money().await;
    let _settler = deployment.settler().await;
    let worker = deployment.worker().await;
    deployment.publish(&submissions).await;
    let ended = "SELECT count(*) FROM assay.claim WHERE state = 'decided'";
    let mut killed = 0;
    while deployment.count(ended).await < i64::try_from(count).unwrap() && killed < 200 {
        for child in children_of(worker.id()) {
            // Only children of a worker that this test started.
            let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
            killed += 1;
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert!(killed > 0);
    let tally = deployment.tally("sandbox children killed", count, before).await;
    assert_eq!(tally.parked, 0, "{tally}");
}

fn children_of(parent: u32) -> Vec<rustix::process::Pid> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task"))
        .into_iter()
        .flatten()
        .flatten();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|children| {
            let ids: Vec<i32> = children
                .split_whitespace()
                .filter_map(|id| id.parse().ok())
                .collect();
            ids
        })
        .filter_map(rustix::process::Pid::from_raw)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn settlement_may_be_killed_any_time() {
    let count = jobs();
    let deployment = Deployment::new().await;
    let submissions = quick("j", count);
    deployment.insert(&submissions).await;
    let before = deployment.money().await;
    let _worker = deployment.worker().await;
    deployment.publish(&submissions).await;
    for _ in 0..5 {
        let settler = deployment.settler().await;
        let goal = deployment.count("SELECT count(*) FROM assay.settlement").await
            + i64::try_from(count / 8).unwrap();
        deployment
            .until("some settlements", DYING, async || {
                let settled = deployment.count("SELECT count(*) FROM assay.settlement").await;
                settled >= goal || settled >= i64::try_from(count).unwrap()
            })
            .await;
        settler.kill();
    }
    let _settler = deployment.settler().await;
    deployment.tally("settlement killed", count, before).await;
}
