//! Which grader runs when, and what the plan makes of what they say.

use std::sync::Arc;

use assay::entry::EntryType;
use assay::graders::Grader;
use assay::outcome::{GraderEnd, Outcome};
use assay::verdict::{ErrorKind, Score, Verdict};
use assay::verify::verify_with;
use tokio::sync::Barrier;

use super::{
    Act, Actor, Part, context, ends, fail, gate, judge, kind, outcome, part, pass, plan, submission, verify,
};

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
