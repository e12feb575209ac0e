//! Then and now, side by side.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::case::Case;
use super::run::Reverified;
use super::told::{Criterion, Told};
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::job::JobId;
use crate::message::GraderWords;
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

/// Something that was not the same then and now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `plan`, `prompt`, `script`, `model`, `runtime`, `engine`, `fuel`, `memory` or `evidence`.
    pub what: &'static str,
    /// The grader that it is about.
    pub grader: Option<String>,
    /// Then.
    pub then: String,
    /// Now.
    pub now: String,
}

impl Comparison {
    /// Compares a case with its verification again.
    pub fn of(case: &Case, plan: &PlanRef, now: &Reverified) -> Self {
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
        let mut differences = Vec::new();
        differ(
            &mut differences,
            "plan",
            None,
            &words_of(&then.plan),
            &words_of(&side.plan),
        );
        if let Ok(decision) = decision {
            let (then, now) = (message.receipt.evidence, decision.evidence);
            differ(
                &mut differences,
                "evidence",
                None,
                &then.to_string(),
                &now.to_string(),
            );
        }
        for pair in &graders {
            what_ran(&mut differences, pair);
        }
        Self {
            job_id: case.job.id.clone(),
            attempt: case.decision.attempt,
            same_outcome: then.outcome == side.outcome,
            then,
            now: side,
            graders,
            differences,
        }
    }

    /// Whether there is a decision to compare with.
    pub fn is_judged(&self) -> bool {
        self.now.error.is_none()
    }
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

fn what_ran(differences: &mut Vec<Difference>, pair: &GraderPair) {
    let (Some(then), Some(now)) = (&pair.then, &pair.now) else {
        return;
    };
    let (Some(old), Some(new)) = (&then.ran, &now.ran) else {
        return;
    };
    let (artifact, engine) = if now.kind == "rubric" {
        ("prompt", "model")
    } else {
        ("script", "engine")
    };
    let digest = |digest: Option<Digest>| digest.map_or_else(String::new, |digest| digest.to_string());
    let number = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let fields = [
        (artifact, digest(old.artifact), digest(new.artifact)),
        ("runtime", digest(old.runtime), digest(new.runtime)),
        (engine, text(&old.engine), text(&new.engine)),
        ("fuel", number(old.fuel), number(new.fuel)),
        (
            "memory",
            number(old.peak_memory_bytes),
            number(new.peak_memory_bytes),
        ),
    ];
    for (what, then, now) in fields {
        differ(differences, what, Some(&pair.name), &then, &now);
    }
}

fn differ(
    differences: &mut Vec<Difference>,
    what: &'static str,
    grader: Option<&str>,
    then: &str,
    now: &str,
) {
    if then != now {
        differences.push(Difference {
            what,
            grader: grader.map(str::to_owned),
            then: then.to_owned(),
            now: now.to_owned(),
        });
    }
}
