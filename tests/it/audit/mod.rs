//! The audit on real `PostgreSQL`: a database as workers leave it, tampered with as its superuser can.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bucket;
mod bundle;
mod checkpoints;
mod disputes;
mod erase;
mod erase_hand_ins;
mod erase_places;
mod kept;
mod tamper;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use assay::audit::{Anchor, Sealer};
use assay::clock::Clock;
use assay::digest::Digest;
use assay::entry::{Audience, Entry, EntryType, VerificationId};
use assay::job::JobId;
use assay::journal::{
    Cause, Chain, ClaimAnswer, Claims, Ending, EndingState, GroupWriter, Link, NewClaim, NewDispute,
    NewVerification, PgJournal, Written,
};
use assay::message::{GraderWords, OutcomeMessage, VERSION};
use assay::outcome::{GraderEnd, Outcome};
use assay::plan::PlanRef;
use assay::receipt::{Purpose, Receipt, SigningKey, Trigger, TrustFile, TrustedKey};
use assay::verdict::Score;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::servers::{TestDatabase, database};

const LEASE: Duration = Duration::from_secs(30);

/// A pool's database of one test's own, and whoever audits it.
pub(super) struct World {
    pub(super) journal: PgJournal,
    pub(super) trust: PathBuf,
    pub(super) folder: tempfile::TempDir,
    claims: Claims,
    writer: GroupWriter,
    key: PathBuf,
    database: TestDatabase,
}

impl World {
    pub(super) async fn new() -> Self {
        let database = database().await;
        let journal = PgJournal::connect(&database.url, 8).await.unwrap();
        journal.set_up().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate();
        let (key_path, trust) = (folder.path().join("key"), folder.path().join("trust.toml"));
        key.write_new(&key_path).unwrap();
        let mut file = TrustFile::default();
        file.add(TrustedKey::new(&key, "default", Timestamp::UNIX_EPOCH));
        file.write(&trust).unwrap();
        Self {
            claims: Claims::start(journal.clone(), "w".to_owned(), LEASE),
            writer: GroupWriter::start(journal.clone(), LEASE, assay::metrics::Metrics::new()),
            journal,
            trust,
            key: key_path,
            folder,
            database,
        }
    }

    pub(super) fn key(&self) -> SigningKey {
        SigningKey::read(&self.key).unwrap()
    }

    /// What a worker leaves of a submission that it claimed and decided.
    pub(super) async fn decide(&self, job: &str, outcome: Outcome) -> VerificationId {
        let (new, of) = self.claim(job).await;
        let (links, head) = links(&new, outcome);
        let message = message(&new, outcome, head.head).sign_with(&self.key());
        self.end(
            of,
            EndingState::Decided {
                outcome,
                message: serde_json::to_vec(&message).unwrap(),
                traceparent: None,
            },
            (outcome.as_str(), None),
            (links, head),
        )
        .await;
        new.id
    }

    /// What a worker leaves of one that it could not grade.
    pub(super) async fn fail(&self, job: &str) -> VerificationId {
        let (new, of) = self.claim(job).await;
        let mut chain = Chain::new(new.chain_start());
        let told = [
            entry(EntryType::Info, "the model is down: canary".to_owned()),
            entry(EntryType::Result, r#"{"outcome":"error"}"#.to_owned()),
        ];
        let links = told.into_iter().map(|entry| chain.push(entry)).collect();
        self.end(
            of,
            EndingState::Parked {
                reason: "model-unavailable",
                detail: "canary".to_owned(),
            },
            (
                "error",
                Some(r#"{"error":"model-unavailable","message":"canary"}"#.to_owned()),
            ),
            (links, chain),
        )
        .await;
        new.id
    }

    pub(super) async fn claim(&self, job: &str) -> (NewVerification, Written) {
        let new = NewVerification {
            id: VerificationId::new(),
            job_id: JobId::new(job),
            attempt: 0,
            cause: Cause::Submission,
            plan: PlanRef {
                name: "p".to_owned(),
                digest: Digest::of(b"plan"),
            },
            submission: Digest::of(job.as_bytes()),
            started_at: Clock::system().now(),
        };
        let wanted = NewClaim {
            verification: new.clone(),
            plan_choice: Digest::of(b"choice"),
            message: Arc::new(br#"{"v":1,"job":{"output_text":"canary"}}"#.to_vec()),
            traceparent: None,
            has_judge: false,
        };
        let answer = self.claims.claim(wanted).await.unwrap();
        assert!(matches!(answer, ClaimAnswer::Held(_)), "{answer:?}");
        let of = Written {
            id: new.id,
            job_id: new.job_id.clone(),
            attempt: 0,
        };
        (new, of)
    }

    async fn end(
        &self,
        of: Written,
        state: EndingState,
        (outcome, error): (&'static str, Option<String>),
        (links, chain): (Vec<Link>, Chain),
    ) {
        let ending = Ending {
            of,
            state,
            outcome,
            error,
            chain,
            at: Clock::system().now(),
        };
        assert!(self.writer.end(ending, links).await.unwrap());
    }

    pub(super) fn sealer(&self, anchor: Option<&str>) -> Sealer {
        Sealer {
            journal: self.journal.clone(),
            key: self.key(),
            deployment: "default".to_owned(),
            anchor: anchor.map(|name| Anchor::File(self.folder.path().join(name))),
            clock: Clock::system(),
        }
    }

    /// Makes a checkpoint of what has ended, and anchors it.
    pub(super) async fn seal(&self, anchor: Option<&str>) {
        self.sealer(anchor).round(Duration::ZERO, true).await.unwrap();
    }

    /// Runs SQL as the superuser, with every trigger disabled.
    pub(super) async fn tamper(&self, statement: &str) {
        let mut connection = self.journal.pool().acquire().await.unwrap();
        for statement in [
            "SET session_replication_role = replica",
            statement,
            "RESET session_replication_role",
        ] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
                .execute(&mut *connection)
                .await
                .unwrap();
        }
    }

    /// `assay` with this database.
    pub(super) fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_assay"))
            .args(arguments)
            .env("ASSAY_DATABASE_URL", &self.database.url)
            .env("ASSAY_TRUST", &self.trust)
            .env("USER", "ann")
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }

    /// The exit status of `assay audit --all`, and its findings as `what, where`.
    pub(super) fn audit(&self, anchor: Option<&str>) -> (i32, Vec<(String, String)>) {
        let (code, report) = self.audit_report(&["--all"], anchor);
        let findings = report["findings"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (
            code,
            findings
                .map(|finding| (text(&finding["what"]), text(&finding["place"])))
                .collect(),
        )
    }

    pub(super) fn audit_report(&self, arguments: &[&str], anchor: Option<&str>) -> (i32, Value) {
        let anchor = anchor.map(|name| self.folder.path().join(name));
        let variables = anchor
            .as_ref()
            .map(|path| ("ASSAY_ANCHOR", path.to_str().unwrap()));
        let arguments = [&["audit", "--json"], arguments].concat();
        let output = self.run(&arguments, variables.as_slice());
        let text = String::from_utf8(output.stdout).unwrap();
        let report = serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code().unwrap(), report)
    }
}

/// A verification again of an attempt 0, and what it is about.
fn again_of(job: &str, disputes: VerificationId, set: Option<&str>) -> (NewVerification, NewDispute) {
    let new = NewVerification {
        id: VerificationId::new(),
        job_id: JobId::new(job),
        attempt: 0,
        cause: Cause::Dispute,
        plan: PlanRef {
            name: "p".to_owned(),
            digest: Digest::of(b"plan"),
        },
        submission: Digest::of(job.as_bytes()),
        started_at: Clock::system().now(),
    };
    let dispute = NewDispute {
        disputes,
        set: set.map(str::to_owned),
        by: "bob".to_owned(),
        reason: "ticket 8".to_owned(),
    };
    (new, dispute)
}

fn entry(kind: EntryType, content: String) -> Entry {
    Entry {
        kind,
        content,
        audience: Audience::Public,
        created_at: Clock::system().now(),
    }
}

/// What the heart says of a submission that one diff judges.
pub(super) fn links(new: &NewVerification, outcome: Outcome) -> (Vec<Link>, Chain) {
    let mut chain = Chain::new(new.chain_start());
    let (verdict, score) = verdict(outcome);
    let told = [
        entry(EntryType::Info, "verification of attempt 0 begins".to_owned()),
        entry(EntryType::Info, "file a.txt: 3 bytes".to_owned()),
        entry(EntryType::Reasoning, "canary: the texts are compared".to_owned()),
        entry(
            EntryType::Result,
            json!({"grader": "text", "kind": "diff", "verdict": verdict, "score": score, "reason": "canary"})
                .to_string(),
        ),
        entry(
            EntryType::Result,
            json!({
                "outcome": outcome, "score": score, "threshold": 0.5, "plan": new.plan,
                "submission": new.submission, "evidence": new.submission,
            })
            .to_string(),
        ),
    ];
    let links = told.into_iter().map(|entry| chain.push(entry)).collect();
    (links, chain)
}

fn verdict(outcome: Outcome) -> (GraderEnd, Score) {
    match outcome {
        Outcome::Verified => (GraderEnd::Pass, Score::ONE),
        Outcome::Retry => (GraderEnd::Fail, Score::ZERO),
    }
}

pub(super) fn message(new: &NewVerification, outcome: Outcome, log_head: Digest) -> OutcomeMessage {
    let (verdict, score) = verdict(outcome);
    let decided_at = Clock::system().now();
    let receipt = Receipt {
        kid: String::new(),
        deployment: "default".to_owned(),
        purpose: Purpose::Settle,
        trigger: Trigger::Submission,
        supersedes: None,
        verification_id: new.id,
        job_id: new.job_id.clone(),
        attempt: new.attempt,
        outcome,
        score,
        receiver: Some("receiver".to_owned()),
        price_cents: Some(1_000),
        plan: new.plan.digest,
        runtimes: BTreeMap::new(),
        submission: new.submission,
        evidence: new.submission,
        task: Digest::of(b"task"),
        log_head,
        decided_at,
        signature: String::new(),
    };
    OutcomeMessage {
        v: VERSION,
        outcome,
        job_id: new.job_id.clone(),
        attempt: new.attempt,
        verification_id: new.id,
        trigger: Trigger::Submission,
        supersedes: None,
        score,
        threshold: 0.5,
        graders: vec![GraderWords {
            name: "text".to_owned(),
            kind: "diff".to_owned(),
            verdict,
            score: Some(score),
            reason: "canary".to_owned(),
        }],
        plan: new.plan.clone(),
        decided_at,
        receipt,
    }
}

/// Signs what a message's receipt says.
pub(super) trait SignWith {
    fn sign_with(self, key: &SigningKey) -> Self;
}

impl SignWith for OutcomeMessage {
    fn sign_with(mut self, key: &SigningKey) -> Self {
        self.receipt = self.receipt.sign(key);
        self
    }
}
