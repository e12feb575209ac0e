//! The report as one HTML page that loads nothing and runs nothing. Every text in it is a stranger's: the template
//! escapes all of them, and a content security policy forbids what an escape might have missed.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use super::room::Room;
use super::{FixtureReport, LogLine, RunReport, Summary};
use crate::entry::{Audience, EntryType, escape_control};
use crate::outcome::Expect;
use crate::outcome::{GraderEnd, GraderReport};

const TEMPLATE: &str = include_str!("report.html");

/// Bytes of escaped text that all fixtures share: with the page's own bytes, a report of 100 fixtures stays below 1 MB.
const ALL_TEXT_BYTES: usize = 500_000;

/// Most and least bytes of escaped text of one fixture.
const MOST_BYTES: usize = 128 * 1024;
const LEAST_BYTES: usize = 1024;

/// Share of a fixture's text that each of its reasons may take, and the page's own bytes around an entry.
const REASON_SHARE: usize = 8;
const ENTRY_BYTES: usize = 220;
const ROW_BYTES: usize = 30;

#[derive(Serialize)]
struct Page {
    summary: Summary,
    started: String,
    seconds: String,
    version: &'static str,
    verified: usize,
    retry: usize,
    scripted: usize,
    unexpected: Vec<Jump>,
    fixtures: Vec<Fixture>,
}

#[derive(Serialize)]
struct Jump {
    number: usize,
    name: String,
    why: String,
}

#[derive(Serialize)]
struct Fixture {
    number: usize,
    name: String,
    job_id: String,
    plan: String,
    description: Option<String>,
    expected: String,
    outcome: Expect,
    style: &'static str,
    as_expected: bool,
    score: String,
    millis: u64,
    why: Option<String>,
    error: Option<Trouble>,
    judge: Option<String>,
    graders: Vec<Grader>,
    differences: Vec<Difference>,
    log: Vec<Line>,
    log_total: usize,
    log_left_out: usize,
}

#[derive(Serialize)]
struct Trouble {
    kind: &'static str,
    message: String,
}

#[derive(Serialize)]
struct Grader {
    name: String,
    kind: String,
    verdict: &'static str,
    style: &'static str,
    score: String,
    reason: String,
    millis: u64,
}

#[derive(Serialize)]
struct Difference {
    title: String,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    style: &'static str,
    text: String,
}

#[derive(Serialize)]
struct Line {
    time: String,
    kind: &'static str,
    style: &'static str,
    audience: &'static str,
    text: String,
}

/// Renders the report.
///
/// # Errors
/// Where the template fails, a defect of ours.
pub(super) fn render(report: &RunReport) -> Result<String, minijinja::Error> {
    let mut environment = Environment::empty();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("report.html", TEMPLATE)?;
    environment
        .get_template("report.html")?
        .render(Serde(page(report)))
}

fn page(report: &RunReport) -> Page {
    let bytes = (ALL_TEXT_BYTES / report.fixtures.len().max(1)).clamp(LEAST_BYTES, MOST_BYTES);
    let fixtures: Vec<_> = report
        .fixtures
        .iter()
        .enumerate()
        .map(|(index, fixture)| view(index + 1, fixture, bytes))
        .collect();
    let jump = |one: &Fixture| {
        Some(Jump {
            number: one.number,
            name: one.name.clone(),
            why: Room::of(bytes / REASON_SHARE).cut(one.why.as_deref()?),
        })
    };
    Page {
        summary: report.summary,
        started: report.started_at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        seconds: seconds(report.millis),
        version: env!("CARGO_PKG_VERSION"),
        verified: report.count(Expect::Verified),
        retry: report.count(Expect::Retry),
        scripted: report
            .fixtures
            .iter()
            .filter(|one| one.judge.as_deref() == Some("scripted"))
            .count(),
        unexpected: fixtures.iter().filter_map(jump).collect(),
        fixtures,
    }
}

fn view(number: usize, report: &FixtureReport, bytes: usize) -> Fixture {
    let mut room = Room::of(bytes);
    let reason_bytes = bytes / REASON_SHARE;
    let shorter = |room: &mut Room, text: &str| room.cut_to(text, reason_bytes);
    let why = report.why.as_ref().map(|why| shorter(&mut room, why));
    let error = report.error.as_ref().map(|error| Trouble {
        kind: error.kind.as_str(),
        message: shorter(&mut room, &error.message),
    });
    let description = report.description.as_ref().map(|text| shorter(&mut room, text));
    let graders = report.graders.iter();
    let graders = graders
        .map(|grader| grader_view(grader, shorter(&mut room, &grader.reason)))
        .collect();
    let (differences, log) = entries(report, &mut room);
    Fixture {
        number,
        name: escape_control(&report.name),
        job_id: escape_control(&report.job_id),
        plan: escape_control(&report.plan),
        description,
        expected: report.expectation(),
        outcome: report.outcome,
        style: outcome_style(report.outcome),
        as_expected: report.as_expected,
        score: report
            .score
            .map_or_else(String::new, |score| format!("{score} of {}", report.threshold)),
        millis: report.millis,
        why,
        error,
        judge: report.judge.as_deref().map(judge_words),
        graders,
        differences,
        log_total: report.log.len(),
        log_left_out: report.log.len() - log.len(),
        log,
    }
}

fn grader_view(grader: &GraderReport, reason: String) -> Grader {
    Grader {
        name: escape_control(&grader.name),
        kind: escape_control(&grader.kind),
        verdict: grader.verdict.as_str(),
        style: match grader.verdict {
            GraderEnd::Pass => "good",
            GraderEnd::Fail => "bad",
            GraderEnd::Error => "odd",
            GraderEnd::Skipped => "plain",
        },
        score: grader.score.map_or_else(String::new, |score| score.to_string()),
        reason,
        millis: grader.millis,
    }
}

/// The log as far as there is room, and the differences in it, each taken out to stand with the graders.
fn entries(report: &FixtureReport, room: &mut Room) -> (Vec<Difference>, Vec<Line>) {
    let (mut differences, mut log) = (Vec::new(), Vec::new());
    for line in &report.log {
        if !room.take(ENTRY_BYTES) {
            break;
        }
        let text = match line.content.split_once('\n') {
            Some((title, rows)) if title.contains("difference (") => {
                let rows = difference_rows(rows, room);
                let title = room.cut(title.trim_end_matches(':'));
                let text = format!("{title}: shown above");
                differences.push(Difference { title, rows });
                text
            }
            _ => room.cut(&line.content),
        };
        log.push(log_line(line, text));
    }
    (differences, log)
}

fn difference_rows(rows: &str, room: &mut Room) -> Vec<Row> {
    // Half of what is left: the log after it is to be seen as well.
    let mut share = room.half();
    let mut shown = Vec::new();
    for row in rows.lines() {
        if !share.take(ROW_BYTES) {
            shown.push(Row {
                style: "place",
                text: "[cut: the report is kept small]".to_owned(),
            });
            break;
        }
        let style = match row.as_bytes() {
            [b'-', b'-', b'-', b' ', ..] | [b'+', b'+', b'+', b' ', ..] | [b'@', ..] => "place",
            [b'-', ..] => "del",
            [b'+', ..] => "add",
            _ => "",
        };
        let text = share.cut(row);
        shown.push(Row { style, text });
    }
    room.give_back(share);
    shown
}

fn log_line(line: &LogLine, text: String) -> Line {
    Line {
        time: line.created_at.strftime("%H:%M:%S%.3f").to_string(),
        kind: line.kind.as_str(),
        style: match line.kind {
            EntryType::Info | EntryType::Reasoning => "plain",
            EntryType::Result => "odd",
        },
        audience: match line.audience {
            Audience::Public => "public",
            Audience::Operator => "operator",
        },
        text,
    }
}

fn judge_words(mode: &str) -> String {
    match mode {
        "scripted" => "scripted: answers written by hand, no model was asked".to_owned(),
        "replay" => "replay: answers recorded from a model".to_owned(),
        "live" => "live: a model answered".to_owned(),
        "record" => "record: a model answered, its answers were kept".to_owned(),
        other => other.to_owned(),
    }
}

fn outcome_style(outcome: Expect) -> &'static str {
    match outcome {
        Expect::Verified => "good",
        Expect::Retry => "plain",
        Expect::Error => "odd",
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{}", millis / 1000, millis % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rows_colour_follows_its_first_character() {
        let rows = difference_rows(
            "--- expected\n+++ actual\n@@ /a\n-x\n+y\n z",
            &mut Room::of(10_000),
        );
        let styles: Vec<_> = rows.iter().map(|row| row.style).collect();
        assert_eq!(styles, ["place", "place", "place", "del", "add", ""]);
    }
}
