//! The audit on real `PostgreSQL`: a database as workers leave it, tampered with as its superuser can.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bucket;
mod bundle;
mod checkpoints;
mod disputes;
mod erase;
mod erase_hand_ins;
mod erase_places;
mod facts;
mod kept;
mod sealing;
mod tamper;
mod tamper_kept;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use assay::audit::{Anchor, Sealer};
use assay::clock::Clock;
use assay::digest::Digest;
use assay::entry::{EntryType, VerificationId};
use assay::job::JobId;
use assay::journal::{
    Cause, Chain, ClaimAnswer, Claims, Ending, EndingState, GroupWriter, Link, LookFrom, NewClaim,
    NewVerification, PgJournal, Place, Written,
};
use assay::message::{SubmittedJob, Work};
use assay::outcome::Outcome;
use assay::receipt::{SigningKey, TrustFile, TrustedKey};
use assay::submission::Submission;
use jiff::Timestamp;
use serde_json::Value;

use facts::{SignWith as _, entry, handed_in, kept_plan, links, message, plan_ref};

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
        journal.keep_plan(&kept_plan()).await.unwrap();
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
        let handed_in = handed_in(job);
        let new = NewVerification {
            id: VerificationId::new(),
            job_id: JobId::new(job),
            attempt: 0,
            cause: Cause::Submission,
            plan: plan_ref(),
            submission: Submission::of(&handed_in).digest,
            started_at: Clock::system().now(),
        };
        let wanted = NewClaim {
            verification: new.clone(),
            plan_choice: Digest::of(b"choice"),
            message: Arc::new(
                SubmittedJob {
                    work: Work::Whole(Box::new(handed_in)),
                    plan: None,
                }
                .to_json()
                .unwrap(),
            ),
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
        assert!(self.writer.end(ending, links).await.unwrap().is_committed());
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
        self.sealer(anchor)
            .round(Duration::ZERO, LookFrom::Place(Place::BEGINNING))
            .await
            .unwrap();
    }

    /// How many verifications stand in checkpoints.
    pub(super) async fn sealed(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM assay.checkpoint_leaf")
            .fetch_one(&self.journal.pool())
            .await
            .unwrap()
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
