//! What was not the same then and now: what judged, and what was said.

use serde::Serialize;

use super::compare::GraderPair;
use super::told::Criterion;
use crate::digest::Digest;
use crate::verdict::{Provenance, Score};

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

/// What a difference is about.
#[derive(Clone, Copy)]
pub(super) enum About<'a> {
    /// The verification as a whole.
    All,
    /// A grader.
    Grader(&'a str),
    /// A grader's criterion.
    Criterion(&'a str, &'a str),
}

/// Differences as they are found.
#[derive(Default)]
pub(super) struct Differences(Vec<Difference>);

impl From<Differences> for Vec<Difference> {
    fn from(differences: Differences) -> Self {
        differences.0
    }
}

impl Differences {
    pub(super) fn note(&mut self, what: &'static str, about: About<'_>, then: &str, now: &str) {
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
pub(super) fn what_ran(differences: &mut Differences, pair: &GraderPair) {
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

pub(super) fn what_was_said(differences: &mut Differences, pair: &GraderPair) {
    let (Some(then), Some(now)) = (&pair.then, &pair.now) else {
        return;
    };
    let about = About::Grader(&pair.name);
    differences.note("verdict", about, then.verdict.as_str(), now.verdict.as_str());
    differences.note("score", about, &score_words(then.score), &score_words(now.score));
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

pub(super) fn score_words(score: Option<Score>) -> String {
    score.map_or_else(|| "none".to_owned(), |score| score.to_string())
}
