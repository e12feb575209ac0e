//! The heart: stages, gates, blame, panics, deadline and cancellation, with graders made for the test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use assay::clock::Clock;
use assay::entry::{Audience, Entry, EntryType};
use assay::graders::{Context, Grader, rules};
use assay::log::{Log, LogReader};
use assay::outcome::{GraderEnd, Outcome, Verification};
use assay::plan::{Plan, PlanFolders, Stage};
use assay::submission::{Fault, Submission};
use assay::verdict::{ErrorKind, GradeError, Score, Verdict};
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

#[tokio::test]
async fn the_score_is_the_weighted_mean_and_the_threshold_decides() {
    let parts = || {
        [
            Part {
                weight: 3.0,
                ..part(pass())
            },
            part(fail()),
        ]
    };
    let (at, _) = verify(0.75, &parts()).await;
    assert_eq!(outcome(&at), Outcome::Verified);
    let (above, _) = verify(0.76, &parts()).await;
    assert_eq!(outcome(&above), Outcome::Retry);
    assert_eq!(above.decision.unwrap().score, Score::new(0.75).unwrap());
}

#[tokio::test]
async fn a_failed_gate_decides_whatever_the_score() {
    let high = Act::Give(Verdict::new(false, Score::new(0.99).unwrap(), "almost"));
    let (verification, _) = verify(0.5, &[gate(high), part(pass())]).await;
    assert_eq!(outcome(&verification), Outcome::Retry);
    assert_eq!(ends(&verification), [GraderEnd::Fail, GraderEnd::Pass]);
}

#[tokio::test]
async fn a_judge_is_not_asked_when_a_gate_has_failed_and_the_log_says_so() {
    let (verification, entries) = verify(0.5, &[gate(fail()), judge(Act::Panic)]).await;
    assert_eq!(outcome(&verification), Outcome::Retry);
    assert_eq!(ends(&verification), [GraderEnd::Fail, GraderEnd::Skipped]);
    assert!(entries.iter().any(|entry| {
        entry
            .content
            .contains("the judges are not asked: failed at the gate g0")
    }));
}

#[tokio::test]
async fn a_judge_is_asked_after_the_gates_have_passed() {
    let (verification, _) = verify(0.5, &[judge(pass()), gate(pass())]).await;
    assert_eq!(outcome(&verification), Outcome::Verified);
    let (verification, _) = verify(0.5, &[judge(fail()), gate(pass())]).await;
    assert_eq!(ends(&verification), [GraderEnd::Fail, GraderEnd::Pass]);
}

#[tokio::test]
async fn graders_of_one_stage_run_side_by_side() {
    let barrier = Arc::new(Barrier::new(3));
    let meeting = || part(Act::Meet(Arc::clone(&barrier)));
    let (verification, _) = verify(1.0, &[meeting(), meeting(), meeting()]).await;
    assert_eq!(outcome(&verification), Outcome::Verified);
}

/// Promise 3: a grade error never becomes `retry`, whatever its kind and whatever the others say.
#[tokio::test]
async fn an_error_of_any_kind_makes_the_whole_an_error() {
    for error in ErrorKind::ALL {
        for others in [pass(), fail()] {
            let (verification, entries) = verify(0.1, &[gate(others), part(Act::Err(*error))]).await;
            assert_eq!(kind(&verification), *error);
            let told = entries
                .iter()
                .any(|entry| entry.kind == EntryType::Result && entry.content.contains("\"retry\""));
            assert!(!told, "{error}");
        }
    }
}

#[tokio::test]
async fn an_error_before_the_judges_spares_their_price() {
    let (verification, _) = verify(0.5, &[part(Act::Err(ErrorKind::SandboxDied)), judge(Act::Panic)]).await;
    assert_eq!(kind(&verification), ErrorKind::SandboxDied);
    assert_eq!(ends(&verification), [GraderEnd::Error, GraderEnd::Skipped]);
}

#[tokio::test]
async fn of_two_errors_the_one_that_stays_decides() {
    let transient = || part(Act::Err(ErrorKind::ModelUnavailable));
    let permanent = || part(Act::Err(ErrorKind::ScriptTrapped));
    let (verification, _) = verify(0.5, &[transient(), permanent()]).await;
    assert_eq!(kind(&verification), ErrorKind::ScriptTrapped);
    let (verification, _) = verify(0.5, &[permanent(), transient()]).await;
    assert_eq!(kind(&verification), ErrorKind::ScriptTrapped);
}

#[tokio::test]
async fn a_panic_in_a_grader_is_a_grade_error_and_its_neighbours_go_on() {
    let (verification, entries) = verify(0.5, &[part(Act::Panic), part(pass())]).await;
    assert_eq!(kind(&verification), ErrorKind::GraderPanicked);
    assert_eq!(ends(&verification), [GraderEnd::Error, GraderEnd::Pass]);
    assert!(
        entries.iter().all(|entry| !entry.content.contains('\u{1b}')),
        "control characters are escaped"
    );
}

#[tokio::test]
async fn a_grader_past_the_deadline_is_a_transient_error() {
    let (mut context, reader) = context();
    context.deadline = Instant::now();
    let (verification, _) = verify_in(
        context,
        reader,
        &submission("text"),
        0.5,
        &[part(Act::Never), part(pass())],
    )
    .await;
    assert_eq!(kind(&verification), ErrorKind::DeadlineExceeded);
}

#[tokio::test]
async fn a_verification_that_is_called_off_is_a_transient_error() {
    let (context, reader) = context();
    context.cancel.cancel();
    let (verification, _) = verify_in(context, reader, &submission("text"), 0.5, &[part(Act::Never)]).await;
    assert_eq!(kind(&verification), ErrorKind::Cancelled);
}

/// Promise 4, the part that needs no database: an entry leaves while its grader still runs.
#[tokio::test]
async fn an_entry_reaches_the_log_while_its_grader_still_runs() {
    let (context, mut reader) = context();
    let cancel = context.cancel.clone();
    let parts = [part(Act::SayThenNever)];
    let graders: Vec<Arc<dyn Grader>> = vec![Arc::new(Actor(parts[0].act.clone()))];
    let (plan, submission) = (plan(0.5, &parts), submission("text"));
    let listening = async {
        while let Some(entry) = reader.recv().await {
            if entry.kind == EntryType::Reasoning {
                assert_eq!(entry.content, "g0: thinking aloud");
                cancel.cancel();
            }
        }
    };
    let verifying = async {
        let verification = verify_with(&submission, &plan, &graders, &context).await;
        drop(context);
        verification
    };
    let (verification, ()) = tokio::join!(verifying, listening);
    assert_eq!(kind(&verification), ErrorKind::Cancelled);
}

/// The submitter's rows of the blame table: each is a fail with its reason, and nobody is asked.
#[tokio::test]
async fn a_fault_of_the_submitter_fails_with_its_reason_and_asks_nobody() {
    let digest = submission("x").digest;
    let faults = [
        Fault::TooManyAttachments { count: 40, limit: 32 },
        Fault::AttachmentTooLarge {
            name: "a".into(),
            limit: 5,
        },
        Fault::AttachmentsTooLarge { limit: 5 },
        Fault::TextTooLarge { size: 9, limit: 5 },
        Fault::Sha256Mismatch {
            name: "a".into(),
            stated: "b".into(),
            actual: digest,
        },
        Fault::AttachmentUndecodable {
            name: "a".into(),
            reason: "r".into(),
        },
        Fault::AttachmentRefused {
            name: "a".into(),
            reason: "r".into(),
        },
        Fault::AttachmentGone {
            name: "a".into(),
            status: 404,
        },
    ];
    for fault in faults {
        let (context, reader) = context();
        let mut submission = submission("text");
        submission.faults.push(fault.clone());
        let (verification, _) = verify_in(context, reader, &submission, 0.5, &[part(Act::Panic)]).await;
        assert_eq!(outcome(&verification), Outcome::Retry, "{fault}");
        assert_eq!(verification.graders[0].reason, fault.to_string());
        assert_eq!(ends(&verification), [GraderEnd::Fail, GraderEnd::Skipped]);
    }
}

#[tokio::test]
async fn an_empty_hand_in_fails_and_asks_nobody() {
    for empty in [
        "",
        " \n\t",
        "\u{a0}",
        "\u{200b}",
        "\u{feff}\n\u{2060}",
        "\0\u{3164}",
    ] {
        let (context, reader) = context();
        let (verification, _) =
            verify_in(context, reader, &submission(empty), 0.5, &[part(Act::Panic)]).await;
        assert_eq!(outcome(&verification), Outcome::Retry);
        assert_eq!(verification.graders[0].reason, Fault::OutputEmpty.to_string());
    }
}

#[tokio::test]
async fn a_plan_whose_only_grader_is_skipped_never_verifies() {
    let (verification, _) = verify(1e-9, &[gate(fail()), judge(pass())]).await;
    assert_eq!(outcome(&verification), Outcome::Retry);
}

#[tokio::test]
async fn a_reason_is_cleared_of_control_characters_and_cut() {
    let long = format!("a\u{1b}]0;x\u{7}{}", "y".repeat(100_000));
    let (verification, _) = verify(0.5, &[part(Act::Give(Verdict::fail(long)))]).await;
    let reason = &verification.graders[0].reason;
    assert!(
        reason.starts_with("a\\u{1b}]0;x\\u{7}yy") && reason.len() < 3_000,
        "{}",
        reason.len()
    );
}
