//! Runs a plan over a submission whose attachments are collected.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::entry::{Audience, is_invisible};
use crate::graders::{self, Context, Grader, Tools};
use crate::outcome::{Decision, GraderEnd, GraderReport, Outcome, Verification};
use crate::plan::{Plan, PlannedGrader, Stage};
use crate::submission::{Fault, FileRole, Submission};
use crate::verdict::{ErrorKind, GradeError, Provenance, Recourse, Score, Verdict};

/// Most bytes of a public reason: outcomes carry one for each grader, and messages are small.
const MAX_REASON_BYTES: usize = 2 * 1024;

/// What a grader came to, and how many milliseconds it took.
type Graded = (Result<Verdict, GradeError>, u64);

/// Runs the plan over the submission: the built-in gate on the hand-in, then the deterministic graders side by
/// side, then, only if no gate has failed, the judges side by side.
pub async fn verify(submission: &Submission, plan: &Plan, tools: &Tools, context: &Context) -> Verification {
    let built: Result<Vec<_>, _> = plan
        .graders
        .iter()
        .map(|planned| graders::build(planned, tools))
        .collect();
    match built {
        Ok(graders) => verify_with(submission, plan, &graders, context).await,
        Err(error) => {
            let nobody: Vec<Option<Graded>> = plan.graders.iter().map(|_| None).collect();
            conclude(submission, plan, nobody, Err(error), context).await
        }
    }
}

/// [`verify`] with graders made by the caller, one for each of the plan's, in the same order.
pub async fn verify_with(
    submission: &Submission,
    plan: &Plan,
    graders: &[Arc<dyn Grader>],
    context: &Context,
) -> Verification {
    context
        .log
        .info(Audience::Public, opening(submission, plan))
        .await;
    for file in &submission.files {
        context.log.info(Audience::Public, file.line()).await;
    }
    let mut results: Vec<Option<Graded>> = plan.graders.iter().map(|_| None).collect();
    if let Some(reason) = hand_in_fails(submission, plan) {
        return reject_hand_in(submission, plan, reason, context).await;
    }
    for stage in [Stage::Deterministic, Stage::Judge] {
        let slot = match stage {
            Stage::Judge if plan.graders.iter().any(|planned| planned.stage == stage) => {
                judge_slot(context).await
            }
            Stage::Deterministic | Stage::Judge => Ok(None),
        };
        let _held_while_judges_run = match slot {
            Ok(slot) => slot,
            Err(error) => return conclude(submission, plan, results, Err(error), context).await,
        };
        let wanted = plan.graders.iter().zip(graders).enumerate();
        let wanted = wanted.filter(|(_, (planned, _))| planned.stage == stage);
        let mut running: FuturesUnordered<_> = wanted
            .map(|(index, (planned, grader))| async move {
                (
                    index,
                    run(planned, grader.as_ref(), submission, plan, context).await,
                )
            })
            .collect();
        while let Some((index, graded)) = running.next().await {
            results[index] = Some(graded);
        }
        if let Some(error) = worst_error(&results) {
            return conclude(submission, plan, results, Err(error), context).await;
        }
        let failed: Vec<_> = failed_gates(plan, &results).collect();
        if !failed.is_empty() {
            if plan.graders.iter().any(|planned| planned.stage > stage) {
                let text = format!(
                    "the judges are not asked: failed at the gate {}",
                    failed.join(", ")
                );
                context.log.info(Audience::Public, text).await;
            }
            break;
        }
    }
    conclude(submission, plan, results, Ok(()), context).await
}

async fn judge_slot(context: &Context) -> Result<Option<OwnedSemaphorePermit>, GradeError> {
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => {
            Err(GradeError::new(ErrorKind::Cancelled, "called off while it waited for a judge"))
        }
        slot = context.judge_slots.take() => slot,
    }
}

fn opening(submission: &Submission, plan: &Plan) -> String {
    format!(
        "verification of attempt {} begins: plan `{}` ({}), submission {}, {} files",
        submission.attempt,
        plan.name,
        plan.digest.short(),
        submission.digest.short(),
        submission.output_files().count(),
    )
}

/// The built-in gate: what is wrong with the hand-in by the submitter's doing, in one public reason.
fn hand_in_fails(submission: &Submission, plan: &Plan) -> Option<String> {
    let mut faults = submission.faults.clone();
    let nothing = |c: char| c.is_whitespace() || c.is_control() || is_invisible(c);
    if submission.output_text.chars().all(nothing) && submission.output_attachments.is_empty() {
        faults.push(Fault::OutputEmpty);
    } else {
        for name in &plan.required_files {
            if submission.file(FileRole::Output, name).is_none() {
                faults.push(Fault::RequiredFileMissing { name: name.clone() });
            }
        }
    }
    let reasons: Vec<_> = faults.iter().map(ToString::to_string).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

async fn reject_hand_in(
    submission: &Submission,
    plan: &Plan,
    reason: String,
    context: &Context,
) -> Verification {
    let report = GraderReport {
        name: "hand-in".to_owned(),
        kind: "hand-in".to_owned(),
        verdict: GraderEnd::Fail,
        score: Some(Score::ZERO),
        reason: context.log.clean_within(&reason, MAX_REASON_BYTES),
        millis: 0,
    };
    tell_report(&report, context).await;
    let nobody: Vec<Option<Graded>> = plan.graders.iter().map(|_| None).collect();
    let mut verification = conclude(submission, plan, nobody, Ok(()), context).await;
    verification.graders.insert(0, report);
    verification
}

/// Runs one grader: its panic, the deadline and a cancellation become grade errors, and its verdict is told
/// while its neighbours still run.
async fn run(
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
        context.log.result(Audience::Operator, &content).await;
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

async fn tell_report(report: &GraderReport, context: &Context) {
    let content = json!({
        "grader": report.name,
        "kind": report.kind,
        "verdict": report.verdict,
        "score": report.score,
        "reason": report.reason,
    });
    context.log.result(Audience::Public, &content).await;
}

fn report(planned: &PlannedGrader, graded: Option<&Graded>, context: &Context) -> GraderReport {
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

/// The error that decides what becomes of the whole: one that stays before one that passes, for coming back
/// would not mend it.
fn worst_error(results: &[Option<Graded>]) -> Option<GradeError> {
    let errors = || {
        results
            .iter()
            .flatten()
            .filter_map(|(result, _)| result.as_ref().err())
    };
    let worst = errors()
        .find(|error| error.recourse() == Recourse::Permanent)
        .or_else(|| errors().next());
    worst.cloned()
}

fn failed_gates<'a>(plan: &'a Plan, results: &'a [Option<Graded>]) -> impl Iterator<Item = &'a str> {
    plan.graders.iter().zip(results).filter_map(|(planned, graded)| {
        let (result, _) = graded.as_ref()?;
        let failed = planned.gate && result.as_ref().is_ok_and(|verdict| !verdict.passed);
        failed.then_some(planned.name.as_str())
    })
}

/// Ends without a decision and tells so: also for whoever meets trouble before the graders do.
pub async fn undecided(error: GradeError, graders: Vec<GraderReport>, context: &Context) -> Verification {
    let message = context.log.clean(&error.message);
    let error = GradeError { message, ..error };
    let content = json!({"outcome": "error", "error": error.kind, "recourse": error.recourse()});
    context.log.result(Audience::Public, &content).await;
    let text = format!("no decision, {}: {}", error.kind, error.message);
    context.log.info(Audience::Operator, text).await;
    Verification {
        decision: Err(error),
        graders,
        runtimes: BTreeMap::new(),
    }
}

/// Adds up, and tells the decision. Verified needs every grader asked, every gate passed and the threshold
/// reached.
async fn conclude(
    submission: &Submission,
    plan: &Plan,
    results: Vec<Option<Graded>>,
    errors: Result<(), GradeError>,
    context: &Context,
) -> Verification {
    let graders = plan.graders.iter().zip(&results);
    let graders = graders
        .map(|(planned, graded)| report(planned, graded.as_ref(), context))
        .collect();
    if let Err(error) = errors {
        return undecided(error, graders, context).await;
    }
    let scores = plan.graders.iter().zip(&results).map(|(planned, graded)| {
        let verdict = graded.as_ref().and_then(|(result, _)| result.as_ref().ok());
        (
            verdict.map_or(Score::ZERO, |verdict| verdict.score),
            planned.weight,
        )
    });
    let score = Score::weighted_mean(scores);
    let everyone_asked = results.iter().all(Option::is_some);
    let gates_passed = failed_gates(plan, &results).next().is_none();
    let verified = everyone_asked && gates_passed && score.as_f64() >= plan.threshold;
    let decision = Decision {
        outcome: if verified {
            Outcome::Verified
        } else {
            Outcome::Retry
        },
        score,
        threshold: plan.threshold,
        plan: plan.reference(),
        submission: submission.digest,
        evidence: submission.evidence,
    };
    let content = json!({
        "outcome": decision.outcome,
        "score": decision.score,
        "threshold": decision.threshold,
        "plan": decision.plan,
        "submission": decision.submission,
        "evidence": decision.evidence,
    });
    context.log.result(Audience::Public, &content).await;
    let runtimes = plan.graders.iter().zip(&results).filter_map(|(planned, graded)| {
        let (verdict, _) = graded.as_ref()?;
        Some((planned.name.clone(), verdict.as_ref().ok()?.provenance.runtime?))
    });
    Verification {
        decision: Ok(decision),
        graders,
        runtimes: runtimes.collect(),
    }
}
