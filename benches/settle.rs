//! What a receipt costs, and how many outcomes a second settlement applies on the `PostgreSQL` of `tests/servers`:
//! `tests/servers run cargo bench --profile dev --bench settle`.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench that cannot go on has failed; which server there is, is told by the environment"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use assay::clock::Clock;
use assay::digest::Digest;
use assay::entry::VerificationId;
use assay::job::Job;
use assay::journal::{Effect, PgJournal, Settled};
use assay::message::{OutcomeMessage, VERSION};
use assay::outcome::Outcome;
use assay::plan::PlanRef;
use assay::receipt::{Purpose, Receipt, SigningKey, Trigger, Trust, TrustFile, TrustedKey};
use assay::settle::{SettleSettings, Settler};
use assay::submission::Submission;
use assay::verdict::Score;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde_json::json;
use sqlx::{Connection as _, Executor as _};

const JOBS: usize = 2_000;
const SIDE_BY_SIDE: usize = 16;

fn job(number: usize, receiver: &str) -> Job {
    serde_json::from_value(json!({
        "id": format!("{receiver}-{number}"), "status": "submitted", "prompt": "p", "title": "t", "price_cents": 100,
        "sender": format!("sender-{}", number % 200), "receiver": receiver, "output_text": "x".repeat(2048),
        "created_at": "2026-11-24T09:00:00Z", "updated_at": "2026-11-24T09:00:00Z",
    }))
    .unwrap()
}

fn message(job: &Job, key: &SigningKey) -> OutcomeMessage {
    let (verification_id, digest, decided_at) =
        (VerificationId::new(), Digest::of(b"p"), Clock::system().now());
    let submission = Submission::of(job).digest;
    let receipt = Receipt {
        kid: String::new(),
        deployment: "default".to_owned(),
        purpose: Purpose::Settle,
        trigger: Trigger::Submission,
        supersedes: None,
        verification_id,
        job_id: job.id.clone(),
        attempt: 0,
        outcome: Outcome::Verified,
        score: Score::ONE,
        receiver: job.receiver.clone(),
        price_cents: job.price_cents,
        plan: digest,
        runtimes: BTreeMap::new(),
        submission,
        evidence: submission,
        task: Submission::of(job).task.digest(),
        log_head: digest,
        decided_at,
        signature: String::new(),
    };
    OutcomeMessage {
        v: VERSION,
        outcome: Outcome::Verified,
        job_id: job.id.clone(),
        attempt: 0,
        verification_id,
        trigger: Trigger::Submission,
        supersedes: None,
        score: Score::ONE,
        threshold: 0.5,
        graders: Vec::new(),
        plan: PlanRef {
            name: "p".to_owned(),
            digest,
        },
        decided_at,
        receipt: receipt.sign(key),
    }
}

fn micros(times: u32, mut work: impl FnMut()) -> f64 {
    let began = Instant::now();
    (0..times).for_each(|_| work());
    began.elapsed().as_secs_f64() * 1e6 / f64::from(times)
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::generate();
    let mut trust = TrustFile::default();
    trust.add(TrustedKey::new(&key, "default", Timestamp::UNIX_EPOCH));
    let receipt = message(&job(0, "r"), &key).receipt;
    let sign = micros(5_000, || drop(receipt.clone().sign(&key)));
    let check = micros(5_000, || trust.check(&receipt, Timestamp::now()).unwrap());
    println!("receipt: {sign:.1} us to sign, {check:.1} us to check");

    let Ok(server) = std::env::var("ASSAY_TEST_DATABASE_URL") else {
        println!("outcomes: not measured, run it by `tests/servers run`");
        return;
    };
    let mut connection = sqlx::PgConnection::connect(&format!("{server}/postgres"))
        .await
        .unwrap();
    connection.execute("CREATE DATABASE bench_settle").await.unwrap();
    let journal = PgJournal::connect(&format!("{server}/bench_settle"), 24)
        .await
        .unwrap();
    journal.set_up().await.unwrap();
    journal.set_up_demo_marketplace().await.unwrap();
    let market = journal.market().await.unwrap();
    let path = folder.path().join("trust.toml");
    trust.write(&path).unwrap();
    let trust = Arc::new(Trust::open(&path).unwrap());
    let settler = Settler::new(market.clone(), trust, SettleSettings::default(), Clock::system());
    for (receivers, what) in [(200, "200 receivers"), (1, "one receiver")] {
        let jobs: Vec<_> = (0..JOBS)
            .map(|number| job(number, &format!("{receivers}-{}", number % receivers)))
            .collect();
        let began = Instant::now();
        market.insert_demo(&jobs, 0).await.unwrap();
        let inserted = began.elapsed();
        let mut bodies = Vec::new();
        for job in &jobs {
            let message = message(job, &key);
            let body = serde_json::to_vec(&message).unwrap();
            sqlx::query(
                "INSERT INTO assay.decision (verification_id, job_id, attempt, trigger, outcome, message)
                 VALUES ($1, $2, 0, 'submission', 'verified', $3)",
            )
            .bind(message.verification_id.uuid())
            .bind(job.id.as_str())
            .bind(&body)
            .execute(&journal.pool())
            .await
            .unwrap();
            bodies.push(body);
        }
        let began = Instant::now();
        let became: Vec<_> = futures_util::stream::iter(bodies)
            .map(|body| {
                let settler = settler.clone();
                async move { settler.settle(&body).await.unwrap() }
            })
            .buffer_unordered(SIDE_BY_SIDE)
            .collect()
            .await;
        let seconds = began.elapsed().as_secs_f64();
        assert!(
            became
                .iter()
                .all(|settled| *settled == Settled::Applied(Effect::Paid))
        );
        println!(
            "outcomes: {:.0} a second, {what}, {SIDE_BY_SIDE} side by side ({JOBS} demo jobs inserted in {inserted:.1?})",
            f64::from(u32::try_from(JOBS).unwrap()) / seconds
        );
    }
    journal.close().await;
    connection
        .execute("DROP DATABASE bench_settle WITH (FORCE)")
        .await
        .unwrap();
}
