//! Runs a plan over a submission whose attachments are collected.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::OwnedSemaphorePermit;

use super::conclude::{conclude, failed_gates};
use super::grade::{Graded, MAX_REASON_BYTES, grade, tell_report};
use crate::entry::{Audience, is_invisible};
use crate::graders::{self, Context, Grader, Tools};
use crate::outcome::{GraderEnd, GraderReport, Verification};
use crate::plan::{Plan, Stage};
use crate::submission::{Fault, FileRole, Submission};
use crate::verdict::{ErrorKind, GradeError, Recourse, Score};

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
            .map(|(index, (planned, grader))| {
                let grading = grade(planned, grader.as_ref(), submission, plan, context);
                // On the heap: a kilobyte that is moved a dozen times otherwise.
                grading.map(move |graded| (index, graded)).boxed()
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
