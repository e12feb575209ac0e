//! Settlement on real `PostgreSQL`: a marketplace with jobs, workers' decisions, and settlers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod again;
mod brakes;
mod commands;
mod forged;
mod once;
mod run;
mod shipped;
mod sums;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use assay::clock::Clock;
use assay::digest::Digest;
use assay::entry::VerificationId;
use assay::job::{Job, JobId};
use assay::journal::{Market, PgJournal, Settled};
use assay::message::{OutcomeMessage, VERSION};
use assay::outcome::Outcome;
use assay::plan::PlanRef;
use assay::receipt::{Purpose, Receipt, SigningKey, Trigger, Trust, TrustFile, TrustedKey};
use assay::settle::{SettleSettings, Settler};
use assay::submission::Submission;
use assay::verdict::Score;
use jiff::Timestamp;
use serde_json::json;

use crate::servers::{TestDatabase, database};

/// Cents that every user begins with.
const STARTING: i64 = 5_000;

/// A marketplace of one test's own.
struct World {
    journal: PgJournal,
    market: Market,
    key: SigningKey,
    trust: PathBuf,
    settler: Settler,
    database: TestDatabase,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        Self::with(SettleSettings::default()).await
    }

    async fn with(settings: SettleSettings) -> Self {
        let database = database().await;
        let journal = PgJournal::connect(&database.url, 30).await.unwrap();
        journal.set_up().await.unwrap();
        journal.set_up_demo_marketplace().await.unwrap();
        let market = journal.market().await.unwrap();
        market
            .insert_demo_users(["sender", "receiver", "platform"], STARTING)
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let trust = folder.path().join("trust.toml");
        let key = SigningKey::generate();
        let mut file = TrustFile::default();
        file.add(TrustedKey::new(&key, "default", Timestamp::UNIX_EPOCH));
        file.write(&trust).unwrap();
        let settler = settler(&market, &trust, settings);
        Self {
            journal,
            market,
            key,
            trust,
            settler,
            database,
            folder,
        }
    }

    /// A submitted job of 1,000 cents from `sender` to `receiver`, posted and paid for.
    async fn job(&self, id: &str, change: impl FnOnce(&mut Job)) -> Job {
        let mut job = job(id);
        change(&mut job);
        self.market
            .insert_demo(std::slice::from_ref(&job), STARTING)
            .await
            .unwrap();
        job
    }

    /// What a worker stores and publishes when it has decided.
    async fn decide(&self, job: &Job, outcome: Outcome) -> Decision {
        self.decide_with(job, outcome, |_| ()).await
    }

    /// A decision of a dispute, which overturns an earlier one.
    async fn dispute(&self, job: &Job, outcome: Outcome, earlier: VerificationId) -> Decision {
        self.decide_with(job, outcome, |message| {
            message.trigger = Trigger::Dispute;
            message.supersedes = Some(earlier);
        })
        .await
    }

    async fn decide_with(
        &self,
        job: &Job,
        outcome: Outcome,
        change: impl FnOnce(&mut OutcomeMessage),
    ) -> Decision {
        let mut message = message(job, outcome);
        change(&mut message);
        message.receipt.trigger = message.trigger;
        message.receipt.supersedes = message.supersedes;
        message.receipt = message.receipt.sign(&self.key);
        let decision = Decision::of(message);
        self.store(&decision).await;
        decision
    }

    async fn store(&self, decision: &Decision) {
        self.try_store(decision).await.unwrap();
    }

    /// Stores a decision; in words why the database refuses it.
    async fn try_store(&self, decision: &Decision) -> Result<(), String> {
        let message = &decision.message;
        sqlx::query(
            "INSERT INTO assay.decision (verification_id, job_id, attempt, trigger, supersedes, outcome, message)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(message.verification_id.uuid())
        .bind(message.job_id.as_str())
        .bind(i32::try_from(message.attempt).unwrap())
        .bind(message.trigger.as_str())
        .bind(message.supersedes.map(VerificationId::uuid))
        .bind(message.outcome.as_str())
        .bind(&decision.body)
        .execute(&self.journal.pool())
        .await
        .map(|_| ())
        .map_err(|error| error.to_string())
    }

    async fn settle(&self, decision: &Decision) -> Settled {
        self.settler.settle(&decision.body).await.unwrap()
    }

    async fn load(&self, job: &Job) -> Job {
        self.market.load_job(&job.id).await.unwrap().unwrap()
    }

    async fn execute(&self, statement: &'static str) {
        sqlx::query(statement)
            .execute(&self.journal.pool())
            .await
            .unwrap();
    }

    /// From now on there is trouble of ours with these jobs, as of a table that is missing: no fault of an outcome's.
    async fn trouble(&self, job_ids_like: &str) {
        self.execute(
            "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = 'undefined_table'; END $$",
        )
        .await;
        let trigger = format!(
            "CREATE TRIGGER trouble BEFORE UPDATE ON jobs FOR EACH ROW WHEN (OLD.id LIKE '{job_ids_like}') EXECUTE FUNCTION trouble()"
        );
        sqlx::query(sqlx::AssertSqlSafe(trigger))
            .execute(&self.journal.pool())
            .await
            .unwrap();
    }

    /// Jobs of which more than settlement looks at in one go come before the last two: `a-stuck-…`, `b` and `c`.
    fn many_and_two() -> impl Iterator<Item = String> {
        let many = (0..=100).map(|number| format!("a-stuck-{number}"));
        many.chain(["b".to_owned(), "c".to_owned()])
    }

    async fn trouble_is_over(&self) {
        self.execute("DROP TRIGGER trouble ON jobs").await;
    }

    /// Balances, beside what every user began with.
    async fn balances(&self) -> BTreeMap<String, i64> {
        let rows: Vec<(String, i64)> = sqlx::query_as("SELECT id, balance_cents FROM users")
            .fetch_all(&self.journal.pool())
            .await
            .unwrap();
        rows.into_iter()
            .map(|(user, cents)| (user, cents - STARTING))
            .filter(|(_, cents)| *cents != 0)
            .collect()
    }

    /// Ledger entries that settlement wrote.
    async fn ledger(&self) -> Vec<(String, i64, String)> {
        sqlx::query_as(
            "SELECT user_id, delta, reason FROM ledger_entries
             WHERE reason NOT LIKE 'topup:%' AND reason NOT LIKE 'job:%' ORDER BY id",
        )
        .fetch_all(&self.journal.pool())
        .await
        .unwrap()
    }

    async fn exceptions(&self) -> Vec<String> {
        let rows = self.market.exceptions(false).await.unwrap();
        rows.into_iter().map(|row| row.reason).collect()
    }

    /// Where a decision stands: settled, waiting, or an open exception. One of them, or settlement has not heard of it.
    async fn stands(&self, decision: &Decision) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT 'settled' FROM assay.settlement WHERE verification_id = $1
             UNION ALL SELECT 'held: ' || reason FROM assay.held WHERE verification_id = $1 AND released_at IS NULL
             UNION ALL SELECT 'exception: ' || reason FROM assay.exception
                       WHERE verification_id = $1 AND closed_at IS NULL",
        )
        .bind(decision.id().uuid())
        .fetch_all(&self.journal.pool())
        .await
        .unwrap()
    }

    /// Promise 5 holds, and there is as much money as there was.
    async fn assert_sums(&self, total: i64) {
        let sums = self.market.audit_sums().await.unwrap();
        assert_eq!((sums.total(), sums.unbalanced), (total, Vec::<String>::new()));
    }

    async fn total(&self) -> i64 {
        self.market.audit_sums().await.unwrap().total()
    }
}

fn settler(market: &Market, trust: &std::path::Path, settings: SettleSettings) -> Settler {
    let trust = Arc::new(Trust::open(trust).unwrap());
    Settler::new(market.clone(), trust, settings, Clock::system())
}

/// A decision as it is published.
#[derive(Debug, Clone)]
struct Decision {
    message: OutcomeMessage,
    body: Vec<u8>,
}

impl Decision {
    fn of(message: OutcomeMessage) -> Self {
        let body = serde_json::to_vec(&message).unwrap();
        Self { message, body }
    }

    fn id(&self) -> VerificationId {
        self.message.verification_id
    }
}

fn job(id: &str) -> Job {
    serde_json::from_value(json!({
        "id": id, "status": "submitted", "prompt": "Write it.", "title": "T", "sender": "sender",
        "receiver": "receiver", "receiver_agent_id": "a1", "held_by_agent_id": "a1", "price_cents": 1000,
        "accepted_at": "2026-11-24T09:00:00Z", "deadline_at": "2026-11-24T10:00:00Z", "output_text": "Here: ü.",
        "output_attachments": ["https://files.example/a/out.csv?sig=1", {"name": "b.txt", "data": "aGk=", "size": 2}],
        "created_at": "2026-11-24T09:00:00Z", "updated_at": "2026-11-24T09:00:00Z",
    }))
    .unwrap()
}

fn message(job: &Job, outcome: Outcome) -> OutcomeMessage {
    let verification_id = VerificationId::new();
    let plan = PlanRef {
        name: "p".to_owned(),
        digest: Digest::of(b"plan"),
    };
    let submission = Submission::of(job).digest;
    let decided_at = Clock::system().now();
    let receipt = Receipt {
        kid: String::new(),
        deployment: "default".to_owned(),
        purpose: Purpose::Settle,
        trigger: Trigger::Submission,
        supersedes: None,
        verification_id,
        job_id: job.id.clone(),
        attempt: job.attempt_count,
        outcome,
        score: Score::ONE,
        receiver: job.receiver.clone(),
        price_cents: job.price_cents,
        plan: plan.digest,
        runtimes: BTreeMap::new(),
        submission,
        evidence: submission,
        task: Submission::of(job).task.digest(),
        log_head: Digest::of(b"head"),
        decided_at,
        signature: String::new(),
    };
    OutcomeMessage {
        v: VERSION,
        outcome,
        job_id: job.id.clone(),
        attempt: job.attempt_count,
        verification_id,
        trigger: Trigger::Submission,
        supersedes: None,
        score: Score::ONE,
        threshold: 0.5,
        graders: Vec::new(),
        plan,
        decided_at,
        receipt,
    }
}

fn unknown_job() -> JobId {
    JobId::new("nowhere")
}
