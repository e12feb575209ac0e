//! What is handed in, logged and decided in these tests.

use std::collections::BTreeMap;

use assay::clock::Clock;
use assay::digest::Digest;
use assay::entry::{Audience, Entry, EntryType, VerificationId};
use assay::job::{Job, JobId};
use assay::journal::{Cause, Chain, Link, NewDispute, NewVerification};
use assay::message::{GraderWords, OutcomeMessage, VERSION};
use assay::outcome::{GraderEnd, Outcome};
use assay::plan::{KeptPlan, PlanRef};
use assay::receipt::{Purpose, Receipt, SigningKey, Trigger};
use assay::submission::{Submission, Task};
use assay::verdict::Score;
use serde_json::json;

use crate::pool::job;

/// A job of that id with what was handed in at its attempt 0.
pub(super) fn handed_in(id: &str) -> Job {
    job(id, json!({"output_text": "canary", "price_cents": 1_000}))
}

/// The plan that judges all of them, as it is kept.
pub(super) fn kept_plan() -> KeptPlan {
    let mut plan = KeptPlan {
        name: "p".to_owned(),
        digest: Digest::of(b""),
        settings: json!({
            "description": "", "threshold": 0.5, "reveal": false, "required_files": [],
            "graders": [{"name": "text", "kind": "diff", "gate": false, "weight": 1.0, "expected_text": "as expected"}],
        }),
        files: Vec::new(),
    };
    plan.digest = plan.computed_digest().unwrap();
    plan
}

pub(super) fn plan_ref() -> PlanRef {
    let KeptPlan { name, digest, .. } = kept_plan();
    PlanRef { name, digest }
}

/// A verification again of an attempt 0, and what it is about.
pub(super) fn again_of(
    job: &str,
    disputes: VerificationId,
    set: Option<&str>,
) -> (NewVerification, NewDispute) {
    let new = NewVerification {
        id: VerificationId::new(),
        job_id: JobId::new(job),
        attempt: 0,
        cause: Cause::Dispute,
        plan: plan_ref(),
        submission: Submission::of(&handed_in(job)).digest,
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

pub(super) fn entry(kind: EntryType, content: String) -> Entry {
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
        task: Task::of(&handed_in(new.job_id.as_str())).digest(),
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
