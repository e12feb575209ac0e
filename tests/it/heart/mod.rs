//! The heart: stages, gates, blame, panics, deadline and cancellation, with graders made for the test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod blame;
mod stages;

use std::sync::Arc;
use std::time::Duration;

use assay::clock::Clock;
use assay::entry::{Audience, Entry};
use assay::graders::{Context, Grader, rules};
use assay::log::{Log, LogReader};
use assay::outcome::{GraderEnd, Outcome, Verification};
use assay::plan::{Plan, PlanFolders, Stage};
use assay::submission::Submission;
use assay::verdict::{ErrorKind, GradeError, Verdict};
use assay::verify::verify_with;
use async_trait::async_trait;
use serde_json::json;
use tokio::sync::Barrier;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What a grader of the test does.
#[derive(Clone)]
enum Act {
    Give(Verdict),
    Err(ErrorKind),
    Panic,
    Never,
    /// Waits for the others at the barrier first: passes only if they run side by side.
    Meet(Arc<Barrier>),
    /// Says something and then never ends.
    SayThenNever,
}

struct Actor(Act);

#[async_trait]
impl Grader for Actor {
    fn name(&self) -> &str {
        "actor"
    }

    async fn grade(&self, _: &Submission, context: &Context) -> Result<Verdict, GradeError> {
        match &self.0 {
            Act::Give(verdict) => Ok(verdict.clone()),
            Act::Err(kind) => Err(GradeError::new(*kind, "made for the test")),
            Act::Panic => panic!("boom\u{1b}[2J"),
            Act::Never => std::future::pending().await,
            Act::Meet(barrier) => {
                barrier.wait().await;
                Ok(Verdict::pass("met"))
            }
            Act::SayThenNever => {
                context.log.reasoning(Audience::Public, "thinking aloud").await;
                std::future::pending().await
            }
        }
    }
}

/// One grader of a test's plan.
struct Part {
    stage: Stage,
    gate: bool,
    weight: f64,
    act: Act,
}

fn part(act: Act) -> Part {
    Part {
        stage: Stage::Deterministic,
        gate: false,
        weight: 1.0,
        act,
    }
}

fn gate(act: Act) -> Part {
    Part {
        gate: true,
        ..part(act)
    }
}

fn judge(act: Act) -> Part {
    Part {
        stage: Stage::Judge,
        ..part(act)
    }
}

fn pass() -> Act {
    Act::Give(Verdict::pass("good"))
}

fn fail() -> Act {
    Act::Give(Verdict::fail("bad"))
}

fn plan(threshold: f64, parts: &[Part]) -> Plan {
    let nowhere = PlanFolders {
        plans: "".into(),
        checks: "".into(),
        prompts: "".into(),
        kinds: rules(),
    };
    let graders: Vec<_> = (0..parts.len())
        .map(|index| json!({"name": format!("g{index}"), "kind": "diff", "compare": "exact", "expected": {"text": "x"}}))
        .collect();
    let mut plan = nowhere
        .load_inline(json!({"threshold": threshold, "graders": graders}))
        .unwrap();
    for (grader, part) in plan.graders.iter_mut().zip(parts) {
        (grader.stage, grader.gate, grader.weight) = (part.stage, part.gate, part.weight);
    }
    plan
}

fn submission(output: &str) -> Submission {
    let job = serde_json::from_value(json!({
        "id": "j", "status": "submitted", "prompt": "p", "title": "t", "sender": "s", "output_text": output,
        "created_at": "2026-11-24T09:00:00Z", "updated_at": "2026-11-24T09:00:00Z",
    }))
    .unwrap();
    Submission::of(&job)
}

fn context() -> (Context, LogReader) {
    let clock = Clock::system();
    let (log, reader) = Log::new(clock.clone(), submission("").secrets);
    let deadline = Instant::now() + Duration::from_secs(60);
    (
        Context {
            log,
            clock,
            cancel: CancellationToken::new(),
            deadline,
            judge_slots: assay::graders::JudgeSlots::Unlimited,
        },
        reader,
    )
}

async fn verify_in(
    context: Context,
    mut reader: LogReader,
    submission: &Submission,
    threshold: f64,
    parts: &[Part],
) -> (Verification, Vec<Entry>) {
    let graders: Vec<Arc<dyn Grader>> = parts
        .iter()
        .map(|part| Arc::new(Actor(part.act.clone())) as Arc<dyn Grader>)
        .collect();
    let plan = plan(threshold, parts);
    let verification = verify_with(submission, &plan, &graders, &context).await;
    drop(context);
    let mut entries = Vec::new();
    while let Some(entry) = reader.recv().await {
        entries.push(entry);
    }
    (verification, entries)
}

async fn verify(threshold: f64, parts: &[Part]) -> (Verification, Vec<Entry>) {
    let (context, reader) = context();
    verify_in(context, reader, &submission("text"), threshold, parts).await
}

fn ends(verification: &Verification) -> Vec<GraderEnd> {
    verification.graders.iter().map(|grader| grader.verdict).collect()
}

fn outcome(verification: &Verification) -> Outcome {
    verification.decision.as_ref().unwrap().outcome
}

fn kind(verification: &Verification) -> ErrorKind {
    verification.decision.as_ref().unwrap_err().kind
}
