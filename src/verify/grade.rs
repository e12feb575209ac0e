//! Runs one grader of a plan, and tells what it came to.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::entry::Audience;
use crate::graders::{Context, Grader};
use crate::outcome::{GraderEnd, GraderReport};
use crate::plan::{Plan, PlannedGrader};
use crate::submission::Submission;
use crate::verdict::{ErrorKind, GradeError, Provenance, Recourse, Verdict};

/// Most bytes of a public reason: outcomes carry one for each grader, and messages are small.
pub(super) const MAX_REASON_BYTES: usize = 2 * 1024;

/// What a grader came to, and how many milliseconds it took.
pub(super) type Graded = (Result<Verdict, GradeError>, u64);

/// Runs one grader: its panic, the deadline and a cancellation become grade errors, and its verdict is told
/// while its neighbours still run.
pub(super) async fn grade(
    planned: &PlannedGrader,
    grader: &dyn Grader,
    submission: &Submission,
    plan: &Plan,
    context: &Context,
) -> Graded {
    let started = Instant::now();
    let context = Context {
        log: context.log.speaking(&planned.name),
        ..context.clone()
    };
    let grading = AssertUnwindSafe(grader.grade(submission, &context)).catch_unwind();
    let result = tokio::select! {
        biased;
        () = context.cancel.cancelled() => {
            Err(GradeError::new(ErrorKind::Cancelled, "called off while it ran"))
        }
        ended = timeout_at(context.deadline, grading) => match ended {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(GradeError::new(ErrorKind::GraderPanicked, panic_text(panic.as_ref()))),
            Err(_) => Err(GradeError::new(
                ErrorKind::DeadlineExceeded,
                "the verification's deadline passed while it ran",
            )),
        },
    };
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    if let Ok(verdict) = &result {
        for evidence in &verdict.evidence {
            let audience = if plan.reveal {
                Audience::Public
            } else {
                evidence.audience
            };
            context
                .log
                .info(audience, format!("{}:\n{}", evidence.label, evidence.text))
                .await;
        }
    }
    let graded = (result, millis);
    tell_report(&report(planned, Some(&graded), &context), &context).await;
    if let (Ok(verdict), _) = &graded
        && verdict.provenance != Provenance::default()
    {
        // What ran, for whoever wants the same again: a dispute compares fuel, interpreter and model.
        let content = json!({"grader": planned.name, "ran": verdict.provenance});
        context.log.result(Audience::Operator, content).await;
    }
    if let (Err(error), _) = &graded {
        let text = format!("could not judge, {}: {}", error.kind, error.message);
        context.log.info(Audience::Operator, text).await;
    }
    graded
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    format!("panicked, a defect of ours: {text}")
}

pub(super) async fn tell_report(report: &GraderReport, context: &Context) {
    let content = json!({
        "grader": report.name,
        "kind": report.kind,
        "verdict": report.verdict,
        "score": report.score,
        "reason": report.reason,
    });
    context.log.result(Audience::Public, content).await;
}

pub(super) fn report(planned: &PlannedGrader, graded: Option<&Graded>, context: &Context) -> GraderReport {
    let (verdict, score, reason, millis) = match graded {
        None => (GraderEnd::Skipped, None, "not asked".to_owned(), 0),
        Some((Ok(verdict), millis)) => {
            let end = if verdict.passed {
                GraderEnd::Pass
            } else {
                GraderEnd::Fail
            };
            (end, Some(verdict.score), verdict.reason.clone(), *millis)
        }
        Some((Err(error), millis)) => {
            let reason = match error.recourse() {
                Recourse::Transient => format!("could not judge ({}): tried again later", error.kind),
                Recourse::Permanent => format!("could not judge ({}): a person will look at it", error.kind),
            };
            (GraderEnd::Error, None, reason, *millis)
        }
    };
    GraderReport {
        name: planned.name.clone(),
        kind: planned.kind.to_owned(),
        verdict,
        score,
        reason: context.log.clean_within(&reason, MAX_REASON_BYTES),
        millis,
    }
}
