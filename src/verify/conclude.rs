//! What the graders came to, added up: the decision, or that there is none.

use std::collections::BTreeMap;

use serde_json::json;

use super::grade::{Graded, report};
use crate::entry::Audience;
use crate::graders::Context;
use crate::outcome::{Decision, GraderReport, Outcome, Verification};
use crate::plan::Plan;
use crate::submission::Submission;
use crate::verdict::{GradeError, Score};

pub(super) fn failed_gates<'a>(
    plan: &'a Plan,
    results: &'a [Option<Graded>],
) -> impl Iterator<Item = &'a str> {
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
    context.log.result(Audience::Public, content).await;
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
pub(super) async fn conclude(
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
    context.log.result(Audience::Public, content).await;
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
