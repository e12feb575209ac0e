//! Then and now, side by side.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::case::Case;
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

/// Something that was not the same then and now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What judged: `plan`, `prompt`, `script`, `model`, `runtime`, `engine`, `fuel`, `memory` or `evidence`. What was said:
    /// `outcome`, `verdict`, `score`, `reason` or `criterion`.
    pub what: &'static str,
    /// The grader that it is about.
    pub grader: Option<String>,
    /// The criterion that it is about.
    pub criterion: Option<String>,
    /// Then.
    pub then: String,
    /// Now.
    pub now: String,
}

impl Difference {
    /// Whether it is about what was said, and not about what judged.
    pub fn is_said(&self) -> bool {
        matches!(
            self.what,
            "outcome" | "verdict" | "score" | "reason" | "criterion"
        )
    }
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
            &words_of_score(then.score),
            &words_of_score(side.score),
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
            differences: differences.0,
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

fn words_of_score(score: Option<Score>) -> String {
    score.map_or_else(|| "none".to_owned(), |score| score.to_string())
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

/// What a difference is about.
#[derive(Clone, Copy)]
enum About<'a> {
    All,
    Grader(&'a str),
    Criterion(&'a str, &'a str),
}

#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn note(&mut self, what: &'static str, about: About<'_>, then: &str, now: &str) {
        if then == now {
            return;
        }
        let (grader, criterion) = match about {
            About::All => (None, None),
            About::Grader(grader) => (Some(grader), None),
            About::Criterion(grader, criterion) => (Some(grader), Some(criterion)),
        };
        self.0.push(Difference {
            what,
            grader: grader.map(str::to_owned),
            criterion: criterion.map(str::to_owned),
            then: then.to_owned(),
            now: now.to_owned(),
        });
    }
}

/// Compares what ran; of a grader that is in one plan only, the plans tell.
fn what_ran(differences: &mut Differences, pair: &GraderPair) {
    let (Some(then), Some(now)) = (&pair.then, &pair.now) else {
        return;
    };
    // A log that tells nothing of what ran is told as such.
    let nothing = Provenance::default();
    let (old, new) = (
        then.ran.as_ref().unwrap_or(&nothing),
        now.ran.as_ref().unwrap_or(&nothing),
    );
    let (artifact, engine) = if now.kind == "rubric" {
        ("prompt", "model")
    } else {
        ("script", "engine")
    };
    let none = || "none".to_owned();
    let digest = |digest: Option<Digest>| digest.map_or_else(none, |digest| digest.to_string());
    let number = |number: Option<u64>| number.map_or_else(none, |number| number.to_string());
    let text = |text: &Option<String>| text.clone().unwrap_or_else(none);
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
        differences.note(what, About::Grader(&pair.name), &then, &now);
    }
}

fn what_was_said(differences: &mut Differences, pair: &GraderPair) {
    let (Some(then), Some(now)) = (&pair.then, &pair.now) else {
        return;
    };
    let about = About::Grader(&pair.name);
    differences.note("verdict", about, then.verdict.as_str(), now.verdict.as_str());
    differences.note(
        "score",
        about,
        &words_of_score(then.score),
        &words_of_score(now.score),
    );
    differences.note("reason", about, &then.reason, &now.reason);
    let met = |said: &Option<Criterion>| match said {
        None => "not told",
        Some(Criterion { met: true, .. }) => "met",
        Some(Criterion { met: false, .. }) => "not met",
    };
    for criterion in &pair.criteria {
        let about = About::Criterion(&pair.name, &criterion.id);
        differences.note("criterion", about, met(&criterion.then), met(&criterion.now));
    }
}
