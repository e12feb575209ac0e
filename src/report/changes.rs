//! What a fixture came to now against what it came to before.

use super::FixtureReport;
use crate::outcome::GraderReport;

/// Says what is other than before, one line for each thing; nothing where all is the same.
pub(super) fn changes(before: &FixtureReport, now: &FixtureReport) -> Vec<String> {
    let mut lines = Vec::new();
    if before.outcome != now.outcome {
        lines.push(format!("outcome: {} → {}", before.outcome, now.outcome));
    }
    if before.score != now.score || before.threshold.to_bits() != now.threshold.to_bits() {
        lines.push(format!("score: {} → {}", score(before), score(now)));
    }
    if before.plan != now.plan {
        lines.push(format!("plan: {} → {}", before.plan, now.plan));
    }
    for grader in &now.graders {
        match before.graders.iter().find(|one| one.name == grader.name) {
            None => lines.push(format!(
                "{}: new, {}: {}",
                grader.name,
                end(grader),
                grader.reason
            )),
            Some(old) if end(old) != end(grader) => {
                let (old, new) = (end(old), end(grader));
                lines.push(format!("{}: {old} → {new}: {}", grader.name, grader.reason));
            }
            Some(old) if old.reason != grader.reason => {
                lines.push(format!(
                    "{}: still {}: {}",
                    grader.name,
                    end(grader),
                    grader.reason
                ));
            }
            Some(_) => {}
        }
    }
    let gone = before
        .graders
        .iter()
        .filter(|old| now.graders.iter().all(|one| one.name != old.name));
    lines.extend(gone.map(|old| format!("{}: gone, was {}", old.name, end(old))));
    let error = |report: &FixtureReport| report.error.as_ref().map(|error| error.message.clone());
    if let Some(message) = error(now).filter(|_| error(before) != error(now)) {
        lines.push(format!("error: {message}"));
    }
    lines
}

fn score(report: &FixtureReport) -> String {
    report.score.map_or_else(
        || "none".to_owned(),
        |score| format!("{score} of {}", report.threshold),
    )
}

fn end(grader: &GraderReport) -> String {
    let score = grader.score.map(|score| format!(" {score}")).unwrap_or_default();
    format!("{}{score}", grader.verdict.as_str())
}
