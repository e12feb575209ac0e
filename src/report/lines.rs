//! A run and a log as lines for people. Colour is the writer's business: `anstream` leaves it out in a pipe and under
//! `NO_COLOR`.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::{FixtureReport, LogLine, RunReport};
use crate::desk::Expect;
use crate::entry::{Audience, EntryType, LogEntry};
use crate::outcome::GraderEnd;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const ODD: Style = AnsiColor::Yellow.on_default();
const DIM: Style = Style::new().dimmed();

/// Width of the column of names where none is longer.
const NAMES: usize = 28;

/// Writes a run: a line for each fixture as it ends, a line of sums at the end.
pub struct Lines<W> {
    out: W,
    width: usize,
    verbose: bool,
}

impl<W: Write> Lines<W> {
    /// `names` are those of all fixtures, for the width of their column; `verbose` adds the graders and the log.
    pub fn new<'a>(out: W, names: impl Iterator<Item = &'a str>, verbose: bool) -> Self {
        let width = names
            .map(|name| name.chars().count())
            .max()
            .unwrap_or(0)
            .max(NAMES);
        Self { out, width, verbose }
    }

    /// Writes one fixture.
    ///
    /// # Errors
    /// Where the writer fails.
    pub fn fixture(&mut self, report: &FixtureReport) -> io::Result<()> {
        let (mark, style) = if report.as_expected {
            ("ok  ", GOOD)
        } else {
            ("FAIL", BAD)
        };
        let millis: u64 = report
            .graders
            .iter()
            .map(|grader| grader.millis)
            .max()
            .unwrap_or(0);
        let outcome = outcome_style(report.outcome);
        write!(
            self.out,
            "{style}{mark}{style:#} {name:width$}  {outcome}{what:<8}{outcome:#}  {score}  {millis:>5} ms  {DIM}{graders}{DIM:#}",
            name = report.name,
            width = self.width,
            what = report.outcome,
            score = score(report),
            graders = graders(report),
        )?;
        if let Some(judge) = &report.judge {
            write!(self.out, "  {DIM}judge: {judge}{DIM:#}")?;
        }
        writeln!(self.out)?;
        if let Some(why) = &report.why {
            writeln!(self.out, "     {BAD}{why}{BAD:#}")?;
        }
        if self.verbose {
            for line in &report.log {
                write_log_line(&mut self.out, line)?;
            }
        }
        self.out.flush()
    }

    /// Writes the sums.
    ///
    /// # Errors
    /// Where the writer fails.
    pub fn summary(&mut self, report: &RunReport, seconds: f64) -> io::Result<()> {
        let sums = report.summary;
        let style = if sums.unexpected == 0 { GOOD } else { BAD };
        let count = |wanted: Expect| report.fixtures.iter().filter(|one| one.outcome == wanted).count();
        writeln!(
            self.out,
            "\n{style}{} of {} fixtures as expected{style:#}: {} verified, {} retry, {} error; {seconds:.1} s",
            sums.as_expected,
            sums.total,
            count(Expect::Verified),
            count(Expect::Retry),
            count(Expect::Error),
        )?;
        self.out.flush()
    }
}

fn outcome_style(outcome: Expect) -> Style {
    match outcome {
        Expect::Verified => GOOD,
        Expect::Retry => Style::new(),
        Expect::Error => ODD,
    }
}

fn score(report: &FixtureReport) -> String {
    match report.score {
        Some(score) => format!("{score} of {:<5}", report.threshold),
        None => " ".repeat(14),
    }
}

/// The graders with a mark each: `shape+ same- quality?`.
fn graders(report: &FixtureReport) -> String {
    let marked = report.graders.iter().map(|grader| {
        let mark = match grader.verdict {
            GraderEnd::Pass => "+",
            GraderEnd::Fail => "-",
            GraderEnd::Error => "!",
            GraderEnd::Skipped => "·",
        };
        format!("{}{mark}", grader.name)
    });
    marked.collect::<Vec<_>>().join(" ")
}

fn write_log_line(out: &mut impl Write, line: &LogLine) -> io::Result<()> {
    let LogLine {
        kind,
        content,
        audience,
        created_at,
    } = line;
    let style = match kind {
        EntryType::Info => Style::new(),
        EntryType::Reasoning => DIM,
        EntryType::Result => ODD,
    };
    let only = match audience {
        Audience::Public => "",
        Audience::Operator => " (operator)",
    };
    let time = created_at.strftime("%H:%M:%S%.3f");
    let mut rows = content.lines();
    let first = rows.next().unwrap_or_default();
    writeln!(
        out,
        "     {DIM}{time}{DIM:#} {:<9}{only} {style}{first}{style:#}",
        kind.as_str()
    )?;
    for row in rows {
        let style = match row.as_bytes().first() {
            Some(b'-') => BAD,
            Some(b'+') => GOOD,
            _ => style,
        };
        writeln!(out, "                  {style}{row}{style:#}")?;
    }
    Ok(())
}

/// Writes a verification's log.
///
/// # Errors
/// Where the writer fails.
pub fn print_log(out: &mut impl Write, entries: &[LogEntry]) -> io::Result<()> {
    for LogEntry { entry, .. } in entries {
        let line = LogLine {
            kind: entry.kind,
            content: entry.content.clone(),
            audience: entry.audience,
            created_at: entry.created_at,
        };
        write_log_line(out, &line)?;
    }
    Ok(())
}
