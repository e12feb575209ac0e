//! Promise 10: slow judges do not hold up quick checks.

use std::collections::BTreeMap;
use std::time::Duration;

use assay::queue::Queue as _;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};

use super::deployment::Deployment;
use super::submission::{Submission, judged, quick};
use super::tally::{is_long, jobs};

/// Quick jobs that come together behind the slow ones.
const QUICK: usize = 100;

/// As promised, on a machine that does nothing else.
const PROMISED: SignedDuration = SignedDuration::from_secs(1);

/// What `make test` asks for, which runs many tests beside each other on whatever machine there is.
const LOADED: SignedDuration = SignedDuration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn slow_judges_do_not_hold_up_quick_checks() {
    let deployment = Deployment::new().await;
    deployment.judge.takes(Duration::from_secs(20));
    let slow = judged("slow", jobs().min(1_000));
    let quick = quick("quick", QUICK);
    deployment.insert(&slow).await;
    deployment.insert(&quick).await;
    let worker = deployment.worker().await;
    deployment.publish(&slow).await;
    deployment
        .until("judges at work", Duration::from_secs(60), async || {
            deployment.judge.asked() >= 4
        })
        .await;
    let published = deployment.publish_noting_when(&quick).await;
    let decided = "SELECT count(*) FROM assay.decision WHERE job_id LIKE 'quick-%'";
    let all = i64::try_from(QUICK).unwrap();
    deployment
        .until("the quick ones", Duration::from_secs(60), async || {
            deployment.count(decided).await == all
        })
        .await;
    let mut took = deployment.times_until_decision(&published).await;
    took.sort_unstable();
    let (half, most) = (percentile(&took, 50), percentile(&took, 95));
    println!(
        "{QUICK} quick jobs behind {} of 20 s: p50 {half:#}, p95 {most:#}, the last {:#}",
        slow.len(),
        percentile(&took, 100)
    );
    let limit = if is_long() { PROMISED } else { LOADED };
    assert!(most < limit, "p95 {most:#} is not below {limit:#}: {took:?}");
    // Four judges at a time, once in 20 s: hardly any of them can have ended.
    let ended = "SELECT count(*) FROM assay.decision WHERE job_id LIKE 'slow-%'";
    assert!(
        deployment.count(ended).await < 4 * 3,
        "the slow ones are still at it"
    );
    worker.kill();
}

/// Of sorted times, the one that so many in a hundred do not exceed.
fn percentile(sorted: &[SignedDuration], percent: usize) -> SignedDuration {
    sorted[(sorted.len() * percent).div_ceil(100) - 1]
}

impl Deployment {
    /// Publishes the messages side by side; when each was handed to the broker.
    async fn publish_noting_when(&self, jobs: &[Submission]) -> BTreeMap<String, Timestamp> {
        let published = jobs.iter().map(async |submission| {
            let at = Timestamp::now();
            self.queue.publish(submission.outgoing()).await.unwrap();
            (submission.job.id.to_string(), at)
        });
        join_all(published).await.into_iter().collect()
    }

    /// How long each took until its decision was written, on the clock of this machine, which is the database's, too.
    async fn times_until_decision(&self, published: &BTreeMap<String, Timestamp>) -> Vec<SignedDuration> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT job_id, (extract(epoch FROM decided_at) * 1000000)::int8 FROM assay.decision
             WHERE trigger = 'submission'",
        )
        .fetch_all(&self.journal.pool())
        .await
        .unwrap();
        let took = rows.into_iter().filter_map(|(job, micros)| {
            let decided = Timestamp::from_microsecond(micros).unwrap();
            Some(decided.duration_since(*published.get(&job)?))
        });
        took.collect()
    }
}
