//! A calibration as one HTML page that loads nothing and runs nothing: the disagreements, label and judge side by side.
//! Every text in it is a stranger's; the template escapes all of them.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use super::agreement::Interval;
use super::report::{CalibrationReport, CaseReport};
use crate::graders::rubric::{criterion_label, met_word};
use crate::report::Room;

const TEMPLATE: &str = include_str!("page.html");

/// Bytes of escaped text on the page, shared by all disagreements.
const ALL_TEXT_BYTES: usize = 800_000;

/// Most and least bytes of one disagreement.
const MOST_BYTES: usize = 24 * 1024;
const LEAST_BYTES: usize = 1024;

#[derive(Serialize)]
struct Page<'a> {
    report: &'a CalibrationReport,
    version: &'static str,
    plan: String,
    judges: String,
    models: String,
    cases: usize,
    count: usize,
    figures: Vec<Figure>,
    criteria: Vec<Criterion>,
    disagreements: Vec<Disagreement>,
}

#[derive(Serialize)]
struct Figure {
    name: &'static str,
    value: String,
    note: String,
}

#[derive(Serialize)]
struct Criterion {
    id: String,
    cases: u64,
    wrongly_met: u64,
    wrongly_not_met: u64,
    kappa: String,
}

#[derive(Serialize)]
struct Disagreement {
    name: String,
    kind: &'static str,
    style: &'static str,
    label: &'static str,
    said: &'static str,
    flips: bool,
    prompt: String,
    output: String,
    reasons: Vec<String>,
    criteria: Vec<CriterionSaid>,
}

#[derive(Serialize)]
struct CriterionSaid {
    id: String,
    label: &'static str,
    said: &'static str,
    differs: bool,
    text: String,
}

/// Renders the page.
///
/// # Errors
/// Where the template fails, a defect of ours.
pub fn page(report: &CalibrationReport) -> Result<String, minijinja::Error> {
    let mut environment = Environment::empty();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("page.html", TEMPLATE)?;
    environment.get_template("page.html")?.render(Serde(view(report)))
}

fn view(report: &CalibrationReport) -> Page<'_> {
    let differ =
        |case: &&CaseReport| case.first() != Some(case.label) || case.flips() || case.accepted_falsely();
    let mut wrong: Vec<_> = report.cases.iter().filter(differ).collect();
    wrong.sort_by_key(|case| (!case.accepted_falsely(), case.first().is_none()));
    let bytes = (ALL_TEXT_BYTES / wrong.len().max(1)).clamp(LEAST_BYTES, MOST_BYTES);
    let confusion = &report.confusion;
    let rate = |name, count: u64, of: u64| Figure {
        name,
        value: count.to_string(),
        note: format!("of {of}"),
    };
    let figures = vec![
        rate("false accepts", confusion.false_accepts, confusion.labelled_no()),
        rate("false rejects", confusion.false_rejects, confusion.labelled_yes()),
        rate("no decision", report.errors, report.cases.len() as u64),
        figure("accuracy", report.accuracy, report.accuracy_interval),
        figure("kappa", report.kappa, report.kappa_interval),
        rate("flips", report.flips, report.cases.len() as u64),
    ];
    let criteria = report.criteria.iter().map(|one| Criterion {
        id: one.id.clone(),
        cases: one.confusion.total(),
        wrongly_met: one.confusion.false_accepts,
        wrongly_not_met: one.confusion.false_rejects,
        kappa: {
            let Figure { value, note, .. } = figure("", one.kappa, one.kappa_interval);
            format!("{value} {note}")
        },
    });
    Page {
        version: env!("CARGO_PKG_VERSION"),
        plan: Room::of(bytes).cut(&report.subject.plan.name),
        judges: report.subject.judges.join(", "),
        cases: report.cases.len(),
        count: wrong.len(),
        models: Room::of(bytes).cut(&report.subject.models.join(", ")),
        figures,
        criteria: criteria.collect(),
        disagreements: wrong.into_iter().map(|case| disagreement(case, bytes)).collect(),
        report,
    }
}

fn figure(name: &'static str, value: Option<f64>, interval: Option<Interval>) -> Figure {
    Figure {
        name,
        value: value.map_or_else(|| "not known".to_owned(), |value| format!("{value:.3}")),
        note: interval.map_or_else(String::new, |Interval { low, high }| {
            format!("{low:.3} to {high:.3}")
        }),
    }
}

fn disagreement(case: &CaseReport, bytes: usize) -> Disagreement {
    let mut room = Room::of(bytes);
    let (kind, style) = match (case.accepted_falsely(), case.first()) {
        (true, _) => ("accepted falsely", "bad"),
        (false, Some(false)) if case.label => ("rejected falsely", "odd"),
        (false, Some(_)) => ("flips", "plain"),
        (false, None) => ("no decision", "plain"),
    };
    let name = room.cut_to(&case.name, bytes / 8);
    let said = case.said.first();
    let mut reasons = Vec::new();
    for grader in said.map_or(&[][..], |said| &said.graders) {
        let text = format!("{}: {}", grader.name, grader.reason);
        reasons.push(room.cut_to(&text, bytes / 8));
    }
    if let Some(error) = said.and_then(|said| said.error.as_ref()) {
        let text = format!("{}: {}", error.kind, error.message);
        reasons.push(room.cut_to(&text, bytes / 8));
    }
    let criteria = said.map_or_else(Vec::new, |said| {
        let criteria = said.criteria.iter().map(|(id, met)| {
            let label = case.labels.get(id);
            let wanted = criterion_label(id);
            let text = said.evidence.iter().find(|(label, _)| *label == wanted);
            CriterionSaid {
                id: id.clone(),
                label: label.map_or("", |met| met_word(*met)),
                said: met_word(*met),
                differs: label.is_some_and(|label| label != met),
                text: text.map_or_else(String::new, |(_, text)| room.cut_to(text, bytes / 8)),
            }
        });
        criteria.collect()
    });
    Disagreement {
        name,
        kind,
        style,
        label: outcome_word(Some(case.label)),
        said: outcome_word(case.first()),
        flips: case.flips(),
        output: room.cut_to(&case.output, bytes / 2),
        prompt: room.cut_to(&case.prompt, bytes / 4),
        reasons,
        criteria,
    }
}

fn outcome_word(accept: Option<bool>) -> &'static str {
    match accept {
        Some(true) => "verified",
        Some(false) => "retry",
        None => "no decision",
    }
}
