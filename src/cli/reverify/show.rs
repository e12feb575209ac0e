//! Then and now, for people.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::ready::Foreseen;
use crate::journal::{Change, Transition};
use crate::reverify::{Comparison, Criterion, GraderPair, GraderView, Side};
use crate::verdict::Score;

/// Digests are shown by as much as tells them apart.
const SHORT: usize = 12;

/// Prints a comparison: both sides, each grader, and what was not the same.
pub(super) fn show(out: &mut impl Write, comparison: &Comparison) -> io::Result<()> {
    writeln!(out)?;
    writeln!(out, "job {}, attempt {}", comparison.job_id, comparison.attempt)?;
    writeln!(out, "  then  {}", side(&comparison.then))?;
    writeln!(out, "  now   {}", side(&comparison.now))?;
    for pair in &comparison.graders {
        grader(out, pair)?;
    }
    // What was said stands above, side by side.
    let judges = || {
        comparison
            .differences
            .iter()
            .filter(|difference| !difference.is_said())
    };
    if judges().next().is_none() {
        writeln!(
            out,
            "nothing that judges has changed: plan, evidence and all that ran are the same"
        )?;
    } else {
        writeln!(out, "what has changed:")?;
    }
    for difference in judges() {
        let grader = difference
            .grader
            .as_ref()
            .map_or_else(String::new, |name| format!(" of {name}"));
        writeln!(
            out,
            "  {}{grader}: {} -> {}",
            difference.what,
            shortened(&difference.then),
            shortened(&difference.now)
        )?;
    }
    for digest in &comparison.missing_runtimes {
        writeln!(
            out,
            "  not kept: the interpreter {} that judged then; that of today has taken its place",
            digest.short()
        )?;
    }
    let verdict = match (
        comparison.is_judged(),
        comparison.does_not_replay(),
        comparison.same_outcome,
    ) {
        (false, ..) => "could not be judged again",
        (true, true, _) => {
            "DOES NOT REPLAY: the plan and the answers of then do not come to the verdicts of then"
        }
        (true, false, true) => "the same outcome",
        (true, false, false) => "ANOTHER OUTCOME",
    };
    writeln!(
        out,
        "{verdict}: {} then, {} now",
        comparison.then.outcome, comparison.now.outcome
    )
}

fn side(side: &Side) -> String {
    let score = match (side.score, side.threshold) {
        (Some(score), Some(threshold)) => format!(", score {score} (verified from {threshold})"),
        _ => side
            .error
            .as_ref()
            .map_or_else(String::new, |error| format!(", {error}")),
    };
    let decided = side
        .decided_at
        .map_or_else(String::new, |at| format!(", {at:.0}"));
    format!(
        "{}{score}, plan `{}` {}{decided}, verification {}",
        side.outcome,
        side.plan.name,
        side.plan.digest.short(),
        side.verification_id
    )
}

fn grader(out: &mut impl Write, pair: &GraderPair) -> io::Result<()> {
    let kind = pair.now.as_ref().or(pair.then.as_ref());
    let kind = kind.map_or("", |view| view.kind.as_str());
    writeln!(out, "{} ({kind})", pair.name)?;
    writeln!(out, "  then  {}", view(pair.then.as_ref()))?;
    writeln!(out, "  now   {}", view(pair.now.as_ref()))?;
    for criterion in &pair.criteria {
        let (then, now) = (said(criterion.then.as_ref()), said(criterion.now.as_ref()));
        if then == now {
            writeln!(out, "  {}: {then}", criterion.id)?;
        } else {
            writeln!(out, "  {}: {then} -> {now}", criterion.id)?;
        }
        for (when, what) in [("then", &criterion.then), ("now", &criterion.now)] {
            if let Some(what) = what {
                let reason = what.reason.replace('\n', " ");
                writeln!(out, "    {when:<4}  {reason}")?;
            }
        }
    }
    Ok(())
}

fn view(view: Option<&GraderView>) -> String {
    let Some(view) = view else {
        return "no such grader".to_owned();
    };
    let score = view
        .score
        .map_or_else(String::new, |score: Score| format!(" {score}"));
    let fuel = view.ran.as_ref().and_then(|ran| ran.fuel);
    let fuel = fuel.map_or_else(String::new, |fuel| format!(", fuel {fuel}"));
    let reason = view.reason.replace('\n', " ");
    format!("{}{score}{fuel}: {reason}", view.verdict.as_str())
}

fn said(criterion: Option<&Criterion>) -> &'static str {
    match criterion {
        None => "not told",
        Some(Criterion { met: true, .. }) => "met",
        Some(Criterion { met: false, .. }) => "not met",
    }
}

/// Digests in a text, cut.
fn shortened(text: &str) -> String {
    let is_digest = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = text
        .split(' ')
        .map(|word| if is_digest(&word) { &word[..SHORT] } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// What settlement would do, in words.
pub(super) fn foreseen_words(foreseen: Option<&Foreseen>) -> String {
    match foreseen {
        None => "what settlement would do is the marketplace's to say".to_owned(),
        Some(Ok(Transition::Apply(change))) => {
            format!("settlement would: {}", change_words(change))
        }
        Some(Ok(Transition::AlreadyApplied)) => "settlement has applied it already".to_owned(),
        Some(Ok(Transition::Hold { reason, .. })) => {
            format!(
                "settlement would hold it ({}), until it may go on",
                reason.as_str()
            )
        }
        Some(Ok(Transition::Except(exception))) => {
            format!(
                "settlement would move nothing, and make it an exception ({}): {}",
                exception.reason, exception.detail
            )
        }
        Some(Err(exception)) => format!(
            "settlement would move nothing, and make it an exception ({}): {exception}",
            exception.as_str()
        ),
    }
}

fn change_words(change: &Change) -> String {
    use crate::journal::Effect;
    let job = match change.effect {
        Effect::Paid => "the job is verified",
        Effect::Requeued | Effect::ReversedRequeued => "the job is open again",
        Effect::Failed | Effect::ReversedFailed => "the job has failed",
    };
    let mut words: Vec<String> = change
        .movements
        .iter()
        .map(|movement| {
            format!(
                "{} {:+} cents ({})",
                movement.user, movement.delta, movement.reason
            )
        })
        .collect();
    words.push(job.to_owned());
    format!("{}: {}", change.effect.as_str(), words.join("; "))
}

/// The same as JSON.
pub(super) fn foreseen_value(foreseen: &Foreseen) -> Value {
    match foreseen {
        Ok(Transition::Apply(change)) => {
            let movements = change.movements.iter();
            let movements: Vec<_> = movements
                .map(|movement| {
                    json!({"user": movement.user, "delta_cents": movement.delta, "reason": movement.reason})
                })
                .collect();
            json!({"effect": change.effect.as_str(), "movements": movements})
        }
        Ok(Transition::AlreadyApplied) => json!({"effect": "already-applied"}),
        Ok(Transition::Hold { reason, .. }) => json!({"held": reason.as_str()}),
        Ok(Transition::Except(exception)) => {
            json!({"exception": exception.reason, "detail": exception.detail})
        }
        Err(exception) => json!({"exception": exception.as_str(), "detail": exception.to_string()}),
    }
}
