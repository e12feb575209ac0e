//! A run and a log as lines for people. Colour is the writer's business: `anstream` leaves it out in a pipe and under
//! `NO_COLOR`.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::changes::changes;
use super::{FixtureReport, LogLine, RunReport};
use crate::entry::{Audience, EntryType, LogEntry};
use crate::outcome::Expect;
use crate::outcome::GraderEnd;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const ODD: Style = AnsiColor::Yellow.on_default();
const DIM: Style = Style::new().dimmed();

/// Head of the graders' column, with what their marks mean.
const LEGEND: &str = "GRADERS (+ pass, - fail, ! error, · not asked)";

/// Width of the column of names: where none is longer, and where the terminal is narrow.
const NAMES: usize = 28;
const NAMES_NARROW: usize = 16;

/// Width of the columns beside the names: mark, outcome, score, time and what is between them.
const FIGURES: usize = 44;

/// Least width in which the graders are worth a column.
const GRADERS: usize = 10;

/// Writes a run as a table: a line for each fixture as it ends, a line of sums at the end.
pub struct Lines<W> {
    out: W,
    names: usize,
    /// Width left for the graders; none where lines may be of any length.
    graders: Option<usize>,
    headed: bool,
    verbose: bool,
}

impl<W: Write> Lines<W> {
    /// `names` are those of all fixtures, for the width of their column; `width` is the terminal's, none in a pipe;
    /// `verbose` adds the log.
    pub fn new<'a>(
        out: W,
        names: impl Iterator<Item = &'a str>,
        width: Option<usize>,
        verbose: bool,
    ) -> Self {
        let longest = names.map(|name| name.chars().count()).max().unwrap_or(0);
        let room = width.map_or(usize::MAX, |width| width.saturating_sub(FIGURES));
        let names = longest.max(NAMES).min(room).max(NAMES_NARROW);
        Self {
            out,
            names,
            graders: width.map(|width| width.saturating_sub(FIGURES + names)),
            headed: false,
            verbose,
        }
    }

    /// Writes one fixture.
    ///
    /// # Errors
    /// Where the writer fails.
    pub fn fixture(&mut self, report: &FixtureReport) -> io::Result<()> {
        self.head()?;
        let (mark, style) = if report.as_expected {
            ("ok  ", GOOD)
        } else {
            ("FAIL", BAD)
        };
        let outcome = outcome_style(report.outcome);
        let mut last = graders(report);
        if let Some(judge) = &report.judge {
            last.push_str("  judge: ");
            last.push_str(judge);
        }
        let last = match self.graders {
            Some(room) if room < GRADERS => String::new(),
            Some(room) => fit(&last, room),
            None => last,
        };
        let row = format!(
            "{style}{mark}{style:#} {name:names$}  {outcome}{what:<8}{outcome:#}  {score}  {millis:>6} ms  {DIM}{last}{DIM:#}",
            name = fit(&report.name, self.names),
            names = self.names,
            what = report.outcome,
            score = score(report),
            millis = report.millis,
        );
        writeln!(self.out, "{}", row.trim_end())?;
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

    /// Writes one fixture that was run again, and what is other than before.
    ///
    /// # Errors
    /// Where the writer fails.
    pub fn again(&mut self, before: Option<&FixtureReport>, report: &FixtureReport) -> io::Result<()> {
        self.fixture(report)?;
        let Some(before) = before else {
            return Ok(());
        };
        let changes = changes(before, report);
        if changes.is_empty() {
            writeln!(self.out, "     {DIM}as before{DIM:#}")?;
        }
        for change in changes {
            writeln!(self.out, "     {ODD}{change}{ODD:#}")?;
        }
        self.out.flush()
    }

    /// Writes a fixture that cannot be used as it is.
    ///
    /// # Errors
    /// Where the writer fails.
    pub fn unusable(&mut self, name: &str, error: &str) -> io::Result<()> {
        self.head()?;
        writeln!(self.out, "{BAD}FAIL{BAD:#} {}", fit(name, self.names))?;
        writeln!(self.out, "     {BAD}{error}{BAD:#}")?;
        self.out.flush()
    }

    /// Writes a line of its own.
    ///
    /// # Errors
    /// Where the writer fails.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{DIM}{text}{DIM:#}")?;
        self.out.flush()
    }

    fn head(&mut self) -> io::Result<()> {
        if self.headed {
            return Ok(());
        }
        self.headed = true;
        let last = match self.graders {
            Some(room) if room < GRADERS => String::new(),
            Some(room) if room < LEGEND.chars().count() => "GRADERS".to_owned(),
            Some(_) | None => LEGEND.to_owned(),
        };
        let head = format!(
            "     {:names$}  {:<8}  {:<14}  {:>9}  {last}",
            "FIXTURE",
            "OUTCOME",
            "SCORE",
            "TIME",
            names = self.names,
        );
        writeln!(self.out, "{DIM}{}{DIM:#}", head.trim_end())
    }

    /// Writes the sums.
    ///
    /// # Errors
    /// Where the writer fails.
    pub fn summary(&mut self, report: &RunReport) -> io::Result<()> {
        let sums = report.summary;
        let style = if sums.unexpected == 0 { GOOD } else { BAD };
        let seconds = std::time::Duration::from_millis(report.millis).as_secs_f64();
        writeln!(
            self.out,
            "\n{style}{} of {} fixtures as expected{style:#}: {} verified, {} retry, {} error; {seconds:.1} s",
            sums.as_expected,
            sums.total,
            report.count(Expect::Verified),
            report.count(Expect::Retry),
            report.count(Expect::Error),
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

/// The text, cut to so many characters.
fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
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
