//! Then and now, side by side.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::case::Case;
use super::difference::{About, Difference, Differences, score_words, what_ran, what_was_said};
use super::run::Reverified;
use super::told::{Criterion, Told};
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::graders::rubric::JudgeMode;
use crate::job::JobId;
use crate::message::{GraderWords, OutcomeMessage};
use crate::outcome::GraderEnd;
use crate::plan::PlanRef;
use crate::verdict::{Provenance, Score};

/// A decision beside a verification made again.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The job.
    pub job_id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// The effective decision.
    pub then: Side,
    /// The verification made again.
    pub now: Side,
    /// Whether both have the same outcome.
    pub same_outcome: bool,
    /// The graders of both plans.
    pub graders: Vec<GraderPair>,
    /// What was not the same.
    pub differences: Vec<Difference>,
    /// Interpreters that judged then and were not kept: those of today have taken their place.
    pub missing_runtimes: Vec<Digest>,
    /// Whether the plan of then came to the same from the answers of then; none where something else was asked for.
    pub replays: Option<bool>,
}

/// One of the two.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// The verification.
    pub verification_id: VerificationId,
    /// `verified`, `retry` or `error`.
    pub outcome: &'static str,
    /// The plan's score; none after an error.
    pub score: Option<Score>,
    /// The score that the plan asks for; none after an error.
    pub threshold: Option<f64>,
    /// The plan that judged.
    pub plan: PlanRef,
    /// When it was decided; none after an error.
    pub decided_at: Option<Timestamp>,
    /// Why it could not be judged.
    pub error: Option<String>,
}

/// A grader then and now.
#[derive(Debug, Clone, Serialize)]
pub struct GraderPair {
    /// Its name.
    pub name: String,
    /// What it said then; none where the plan had no such grader.
    pub then: Option<GraderView>,
    /// What it says now.
    pub now: Option<GraderView>,
    /// Its criteria, where it has some.
    pub criteria: Vec<CriterionPair>,
}

/// What a grader said, and what ran.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GraderView {
    /// Its kind.
    pub kind: String,
    /// How it ended.
    pub verdict: GraderEnd,
    /// Its score.
    pub score: Option<Score>,
    /// Why.
    pub reason: String,
    /// What ran, where the log tells.
    pub ran: Option<Provenance>,
}

/// A criterion then and now.
#[derive(Debug, Clone, Serialize)]
pub struct CriterionPair {
    /// Its id.
    pub id: String,
    /// What was said of it then.
    pub then: Option<Criterion>,
    /// What is said of it now.
    pub now: Option<Criterion>,
}

impl Comparison {
    /// Compares a case with its verification again.
    pub fn of(case: &Case, plan: &PlanRef, now: &Reverified, missing_runtimes: Vec<Digest>) -> Self {
        let message = &case.message;
        let then = Side {
            verification_id: message.verification_id,
            outcome: message.outcome.as_str(),
            score: Some(message.score),
            threshold: Some(message.threshold),
            plan: message.plan.clone(),
            decided_at: Some(message.decided_at),
            error: None,
        };
        let decision = now.verification.decision.as_ref();
        let side = Side {
            verification_id: now.id,
            outcome: decision.map_or("error", |decision| decision.outcome.as_str()),
            score: decision.ok().map(|decision| decision.score),
            threshold: decision.ok().map(|decision| decision.threshold),
            plan: plan.clone(),
            decided_at: now.preview.as_ref().map(|preview| preview.decided_at),
            error: decision
                .err()
                .map(|error| format!("{}: {}", error.kind, error.message)),
        };
        let words = now.verification.graders.iter().cloned().map(GraderWords::from);
        let words: Vec<_> = words.collect();
        let graders = pairs((&message.graders, &case.told), (&words, &now.told));
        let mut differences = Differences::default();
        differences.note("plan", About::All, &words_of(&then.plan), &words_of(&side.plan));
        if let Ok(decision) = decision {
            let (then, now) = (message.receipt.evidence, decision.evidence);
            differences.note("evidence", About::All, &then.to_string(), &now.to_string());
        }
        for pair in &graders {
            what_ran(&mut differences, pair);
        }
        differences.note("outcome", About::All, then.outcome, side.outcome);
        differences.note(
            "score",
            About::All,
            &score_words(then.score),
            &score_words(side.score),
        );
        for pair in &graders {
            what_was_said(&mut differences, pair);
        }
        let replayed = now.preview.as_ref().filter(|_| now.judge == JudgeMode::Kept);
        Self {
            job_id: case.job.id.clone(),
            attempt: case.decision.attempt,
            same_outcome: then.outcome == side.outcome,
            then,
            now: side,
            graders,
            differences: differences.into(),
            missing_runtimes,
            replays: replayed.and_then(|now| replays(message, now)),
        }
    }

    /// Whether kept answers have led to something else than they did then: the fault is ours, and says nothing of the work.
    pub fn does_not_replay(&self) -> bool {
        self.replays == Some(false)
    }

    /// Whether there is a decision to compare with.
    pub fn is_judged(&self) -> bool {
        self.now.error.is_none()
    }
}

/// Whether a verification from the answers of then came to the same: outcome, and every verdict and score. None where another
/// plan judged.
pub fn replays(then: &OutcomeMessage, now: &OutcomeMessage) -> Option<bool> {
    let said = |message: &OutcomeMessage| {
        let graders = message.graders.iter();
        let graders = graders.map(|words| (words.name.clone(), words.verdict, words.score));
        (message.outcome, message.score, graders.collect::<Vec<_>>())
    };
    (then.plan.digest == now.plan.digest).then(|| said(then) == said(now))
}

fn words_of(plan: &PlanRef) -> String {
    format!("{} {}", plan.name, plan.digest)
}

fn pairs(then: (&[GraderWords], &Told), now: (&[GraderWords], &Told)) -> Vec<GraderPair> {
    let mut names: Vec<&str> = Vec::new();
    for words in then.0.iter().chain(now.0) {
        if !names.contains(&words.name.as_str()) {
            names.push(&words.name);
        }
    }
    let view = |(graders, told): (&[GraderWords], &Told), name: &str| {
        let words = graders.iter().find(|words| words.name == name)?;
        Some(GraderView {
            kind: words.kind.clone(),
            verdict: words.verdict,
            score: words.score,
            reason: words.reason.clone(),
            ran: told.ran.get(name).cloned(),
        })
    };
    let criteria = |name: &str| {
        let of = |told: &Told| told.criteria.get(name).cloned().unwrap_or_default();
        let (then, now) = (of(then.1), of(now.1));
        let ids: BTreeSet<_> = then.keys().chain(now.keys()).cloned().collect();
        ids.into_iter()
            .map(|id| CriterionPair {
                then: then.get(&id).cloned(),
                now: now.get(&id).cloned(),
                id,
            })
            .collect()
    };
    names
        .into_iter()
        .map(|name| GraderPair {
            name: name.to_owned(),
            then: view(then, name),
            now: view(now, name),
            criteria: criteria(name),
        })
        .collect()
}
