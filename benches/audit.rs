//! How long `assay audit --all` takes over 10,000 verifications, and how much memory: `make bench-audit`.
//!
//! The database is filled as workers fill it: claims, chains of five entries, signed decisions, a checkpoint for each
//! thousand, all of them anchored in a file. The audit is the command itself, so that its start counts.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench that cannot go on has failed; which server there is, is told by the environment"
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use assay::audit::{Anchor, Sealer};
use assay::clock::Clock;
use assay::digest::Digest;
use assay::entry::{Audience, Entry, EntryType, VerificationId};
use assay::job::Job;
use assay::journal::{
    Cause, Chain, ClaimAnswer, Claims, Ending, EndingState, GroupWriter, LookFrom, NewClaim, NewVerification,
    PgJournal, Place, Written,
};
use assay::message::{GraderWords, OutcomeMessage, SubmittedJob, VERSION, Work};
use assay::outcome::{GraderEnd, Outcome};
use assay::plan::{KeptPlan, PlanRef};
use assay::receipt::{Purpose, Receipt, SigningKey, Trigger, TrustFile, TrustedKey};
use assay::submission::{Submission, Task};
use assay::verdict::Score;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};

const VERIFICATIONS: usize = 10_000;
const OF_A_CHECKPOINT: usize = 1_000;
const SIDE_BY_SIDE: usize = 256;
const LEASE: Duration = Duration::from_secs(600);

/// How often the peak is read: it may be missed by what is allocated in the last of these.
const LOOK: Duration = Duration::from_millis(2);

/// What writes as a worker does.
struct Writers {
    claims: Claims,
    writer: GroupWriter,
    key: SigningKey,
    plan: PlanRef,
}

impl Writers {
    /// What a worker leaves of a submission that it claimed and decided.
    async fn decide(&self, number: usize) {
        let job = handed_in(number);
        let new = new_verification(&job, self.plan.clone());
        let task = Task::of(&job).digest();
        let work = Work::Whole(Box::new(job));
        let hand_in = SubmittedJob { work, plan: None }.to_json().unwrap();
        let wanted = NewClaim {
            verification: new.clone(),
            plan_choice: Digest::of(b"choice"),
            message: Arc::new(hand_in),
            traceparent: None,
            has_judge: false,
        };
        let answer = self.claims.claim(wanted).await.unwrap();
        assert!(matches!(answer, ClaimAnswer::Held(_)), "{answer:?}");
        let mut chain = Chain::new(new.chain_start());
        let links = told(&new).into_iter().map(|entry| chain.push(entry)).collect();
        let message = message(&new, task, chain.head, &self.key);
        let ending = Ending {
            of: Written {
                id: new.id,
                job_id: new.job_id,
                attempt: new.attempt,
            },
            state: EndingState::Decided {
                outcome: Outcome::Verified,
                message: serde_json::to_vec(&message).unwrap(),
                traceparent: None,
            },
            outcome: Outcome::Verified.as_str(),
            error: None,
            chain,
            at: Clock::system().now(),
        };
        assert!(self.writer.end(ending, links).await.unwrap().is_committed());
    }
}

/// A job with 2 KB that were handed in.
fn handed_in(number: usize) -> Job {
    let job = json!({
        "id": format!("job-{number}"), "status": "submitted", "prompt": "Write it.", "title": "T", "sender": "sender",
        "receiver": "receiver", "price_cents": 1_000, "created_at": "2026-11-24T09:00:00Z",
        "updated_at": "2026-11-24T09:00:00Z", "output_text": "what was handed in; ".repeat(100),
    });
    serde_json::from_value(job).unwrap()
}

/// The plan that judges all of them, as it is kept.
fn plan() -> KeptPlan {
    let mut plan = KeptPlan {
        name: "p".to_owned(),
        digest: Digest::of(b""),
        settings: json!({
            "description": "", "threshold": 0.5, "reveal": false, "required_files": [],
            "graders": [{"name": "text", "kind": "diff", "gate": false, "weight": 1.0, "expected_text": "t"}],
        }),
        files: Vec::new(),
    };
    plan.digest = plan.computed_digest().unwrap();
    plan
}

fn new_verification(job: &Job, plan: PlanRef) -> NewVerification {
    NewVerification {
        id: VerificationId::new(),
        job_id: job.id.clone(),
        attempt: 0,
        cause: Cause::Submission,
        plan,
        submission: Submission::of(job).digest,
        started_at: Clock::system().now(),
    }
}

/// What the heart says of a submission that one diff judges.
fn told(new: &NewVerification) -> Vec<Entry> {
    let entry = |kind, content| Entry {
        kind,
        content,
        audience: Audience::Public,
        created_at: Clock::system().now(),
    };
    let verdict =
        json!({"grader": "text", "kind": "diff", "verdict": "pass", "score": 1.0, "reason": "the same"});
    let decision = json!({
        "outcome": "verified", "score": Score::ONE, "threshold": 0.5, "plan": new.plan, "submission": new.submission,
        "evidence": new.submission,
    });
    vec![
        entry(EntryType::Info, "verification of attempt 0 begins".to_owned()),
        entry(EntryType::Info, "file a.txt: 3 bytes".to_owned()),
        entry(
            EntryType::Reasoning,
            "the texts are compared line by line; ".repeat(8),
        ),
        entry(EntryType::Result, verdict.to_string()),
        entry(EntryType::Result, decision.to_string()),
    ]
}

fn message(new: &NewVerification, task: Digest, log_head: Digest, key: &SigningKey) -> OutcomeMessage {
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
        outcome: Outcome::Verified,
        score: Score::ONE,
        receiver: Some("receiver".to_owned()),
        price_cents: Some(1_000),
        plan: new.plan.digest,
        runtimes: BTreeMap::new(),
        submission: new.submission,
        evidence: new.submission,
        task,
        log_head,
        decided_at,
        signature: String::new(),
    };
    OutcomeMessage {
        v: VERSION,
        outcome: Outcome::Verified,
        job_id: new.job_id.clone(),
        attempt: new.attempt,
        verification_id: new.id,
        trigger: Trigger::Submission,
        supersedes: None,
        score: Score::ONE,
        threshold: 0.5,
        graders: vec![GraderWords {
            name: "text".to_owned(),
            kind: "diff".to_owned(),
            verdict: GraderEnd::Pass,
            score: Some(Score::ONE),
            reason: "the same".to_owned(),
        }],
        plan: new.plan.clone(),
        decided_at,
        receipt: receipt.sign(key),
    }
}

/// Runs `assay audit --all` to its end; gives back its report, its seconds and its peak of memory in MiB.
async fn audit(folder: &std::path::Path, url: &str) -> (Value, f64, f64) {
    let report = folder.join("report.json");
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["audit", "--all", "--json"])
        .current_dir(folder)
        .env("ASSAY_DATABASE_URL", url)
        .env("ASSAY_TRUST", folder.join("trust.toml"))
        .env("ASSAY_ANCHOR", folder.join("anchor.jsonl"))
        .stdin(Stdio::null())
        .stdout(File::create(&report).unwrap())
        .spawn()
        .unwrap();
    let mut peak = 0.0_f64;
    let mut ticks = tokio::time::interval(LOOK);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        peak = peak.max(resident_peak(child.id()).unwrap_or(0.0));
        ticks.tick().await;
    };
    let seconds = began.elapsed().as_secs_f64();
    let report = std::fs::read_to_string(report).unwrap();
    assert!(status.success(), "{status}: {report}");
    (serde_json::from_str(&report).unwrap(), seconds, peak)
}

/// None once the process has ended.
fn resident_peak(id: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = peak.trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes / 1024.0)
}

#[tokio::main]
async fn main() {
    let Ok(server) = std::env::var("ASSAY_TEST_DATABASE_URL") else {
        println!("nothing measured: run it by `make bench-audit`");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut connection = sqlx::PgConnection::connect(&format!("{server}/postgres"))
        .await
        .unwrap();
    connection.execute("CREATE DATABASE bench_audit").await.unwrap();
    let url = format!("{server}/bench_audit");
    let journal = PgJournal::connect(&url, 8).await.unwrap();
    journal.set_up().await.unwrap();
    let plan = plan();
    journal.keep_plan(&plan).await.unwrap();
    let key_path = folder.path().join("signing.key");
    SigningKey::generate().write_new(&key_path).unwrap();
    let key = SigningKey::read(&key_path).unwrap();
    let mut trust = TrustFile::default();
    trust.add(TrustedKey::new(&key, "default", Timestamp::UNIX_EPOCH));
    trust.write(&folder.path().join("trust.toml")).unwrap();

    let writers = Writers {
        claims: Claims::start(journal.clone(), "bench".to_owned(), LEASE),
        writer: GroupWriter::start(journal.clone(), LEASE, assay::metrics::Metrics::new()),
        key,
        plan: PlanRef {
            name: plan.name,
            digest: plan.digest,
        },
    };
    let sealer = Sealer {
        journal: journal.clone(),
        key: SigningKey::read(&key_path).unwrap(),
        deployment: "default".to_owned(),
        anchor: Some(Anchor::File(folder.path().join("anchor.jsonl"))),
        clock: Clock::system(),
    };
    let began = Instant::now();
    for first in (0..VERIFICATIONS).step_by(OF_A_CHECKPOINT) {
        futures_util::stream::iter(first..first + OF_A_CHECKPOINT)
            .for_each_concurrent(SIDE_BY_SIDE, |number| writers.decide(number))
            .await;
        sealer
            .round(Duration::ZERO, LookFrom::Place(Place::BEGINNING))
            .await
            .unwrap();
    }
    println!(
        "filled: {VERIFICATIONS} verifications in {:.1} s",
        began.elapsed().as_secs_f64()
    );

    let (report, seconds, peak) = audit(folder.path(), &url).await;
    assert_eq!(report["verifications"], VERIFICATIONS, "{report}");
    println!(
        "audited: {} verifications, {} entries, {} receipts, {} checkpoints in {seconds:.1} s, peak {peak:.0} MiB",
        report["verifications"], report["entries"], report["receipts"], report["checkpoints"]
    );
    journal.close().await;
    connection
        .execute("DROP DATABASE bench_audit WITH (FORCE)")
        .await
        .unwrap();
}
