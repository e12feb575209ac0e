//! Promise 5 over random sequences, beside a model of one job after another.

use std::collections::BTreeMap;

use assay::entry::VerificationId;
use assay::job::{Job, JobStatus};
use assay::journal::Settled;
use assay::outcome::Outcome;
use assay::settle::SettleSettings;
use proptest::prelude::*;

use super::World;

/// What happens to one of the jobs.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// It is handed in (again), if it is open.
    HandIn,
    /// A worker decides on it as it stands, and settlement hears of it so many times.
    Decide(bool, u8),
    /// Its last payment is overturned.
    Overturn,
    /// An outcome of earlier comes again.
    Repeat,
    /// Payments stop or go on.
    Pause(bool),
    /// What waited is looked at.
    Release,
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let step = prop_oneof![
        3 => Just(Step::HandIn),
        4 => (any::<bool>(), 1..3_u8).prop_map(|(verified, times)| Step::Decide(verified, times)),
        2 => Just(Step::Overturn),
        2 => Just(Step::Repeat),
        1 => any::<bool>().prop_map(Step::Pause),
        1 => Just(Step::Release),
    ];
    (0..3_usize, step)
}

/// What the balances must come to, from the effects that settlement has reported and the states of the jobs.
async fn assert_model(world: &World, jobs: &[Job]) {
    let mut expected = BTreeMap::<String, i64>::new();
    for job in jobs {
        let now = world.load(job).await;
        let price = job.price_cents.unwrap();
        let fee = price * 250 / 10_000;
        match now.status {
            JobStatus::Verified => {
                *expected.entry("receiver".to_owned()).or_default() += price - fee;
                *expected.entry("platform".to_owned()).or_default() += fee;
            }
            JobStatus::Failed => *expected.entry("sender".to_owned()).or_default() += price,
            _ => {}
        }
        assert_eq!(now.status == JobStatus::Failed, now.attempt_count == 3);
    }
    expected.retain(|_, cents| *cents != 0);
    assert_eq!(world.balances().await, expected);
}

async fn play(steps: Vec<(usize, Step)>) {
    let world = World::with(SettleSettings {
        fee_basis_points: 250,
        platform_user: Some("platform".to_owned()),
        ..SettleSettings::default()
    })
    .await;
    let mut jobs = Vec::new();
    for (id, price) in [("j0", 999), ("j1", 40), ("j2", 1)] {
        jobs.push(world.job(id, |job| job.price_cents = Some(price)).await);
    }
    let total = world.total().await;
    let mut decided = Vec::new();
    let mut paid = BTreeMap::<usize, VerificationId>::new();
    for (number, step) in steps {
        let job = &jobs[number];
        let now = world.load(job).await;
        match step {
            Step::HandIn if now.status == JobStatus::Queued => {
                let id = job.id.as_str().to_owned();
                sqlx::query("UPDATE jobs SET status = 'submitted', receiver = 'receiver', output_text = 'again' WHERE id = $1")
                    .bind(id)
                    .execute(&world.journal.pool())
                    .await
                    .unwrap();
            }
            Step::Decide(verified, times) if now.status == JobStatus::Submitted => {
                let known = decided.iter().find(|(_, known): &&(usize, super::Decision)| {
                    known.message.job_id == job.id && known.message.attempt == now.attempt_count
                });
                let decision = match known {
                    Some((_, decision)) => decision.clone(),
                    None => {
                        let outcome = if verified {
                            Outcome::Verified
                        } else {
                            Outcome::Retry
                        };
                        world.decide(&now, outcome).await
                    }
                };
                for _ in 0..times {
                    if let Settled::Applied(assay::journal::Effect::Paid) = world.settle(&decision).await {
                        paid.insert(number, decision.id());
                    }
                }
                decided.push((number, decision));
            }
            Step::Overturn => {
                if let Some(earlier) = paid.get(&number) {
                    let decision = world.dispute(&now, Outcome::Retry, *earlier).await;
                    world.settle(&decision).await;
                    decided.push((number, decision));
                }
            }
            Step::Repeat => {
                for (_, decision) in decided.iter().filter(|(of, _)| *of == number) {
                    let settled = world.settle(decision).await;
                    if decision.message.outcome == Outcome::Verified && matches!(settled, Settled::Applied(_))
                    {
                        paid.insert(number, decision.id());
                    }
                }
            }
            Step::Pause(on) => world.market.set_pause(on, "ann", "").await.unwrap(),
            Step::Release => drop(world.settler.release().await.unwrap()),
            Step::HandIn | Step::Decide(..) => {}
        }
        world.assert_sums(total).await;
        assert_model(&world, &jobs).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_no_cent_is_made_or_lost(steps in prop::collection::vec(step(), 1..30)) {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
            .block_on(play(steps));
    }
}
