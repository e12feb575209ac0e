//! Rounds of `assay run`: the first over all fixtures, further ones over what a change of files touches.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::anyhow;
use futures_util::stream::{self, StreamExt as _};
use terminal_size::terminal_size_of;

use super::{CliError, heard};
use crate::desk::{Desk, Fixture, Suite, Touched, Watch};
use crate::report::{FixtureReport, Lines, Progress, ReportFile, RunReport};

/// Changed files that are named at most.
const NAMED: usize = 3;

/// What is written, and how many fixtures run at a time.
pub(super) struct Output {
    pub(super) json: bool,
    pub(super) verbose: bool,
    pub(super) reports: Vec<ReportFile>,
    pub(super) side_by_side: usize,
}

pub(super) struct Rounds {
    desk: Desk,
    suite: Suite,
    output: Output,
    lines: Lines<anstream::AutoStream<std::io::Stdout>>,
    /// What each fixture last came to, by its folder.
    last: BTreeMap<PathBuf, FixtureReport>,
}

impl Rounds {
    pub(super) fn new(desk: Desk, suite: Suite, output: Output) -> Self {
        let lines = Lines::new(
            anstream::stdout(),
            suite.found().iter().map(|one| one.name.as_str()),
            terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0)),
            output.verbose,
        );
        Self {
            desk,
            suite,
            output,
            lines,
            last: BTreeMap::new(),
        }
    }

    /// Runs every fixture.
    pub(super) async fn first(&mut self) -> Result<RunReport, CliError> {
        let all = self.suite.found().iter().map(|one| one.folder.clone()).collect();
        self.round(&all).await
    }

    /// Runs again what each change touches, until it is called off.
    pub(super) async fn watch(&mut self, mut watch: Watch) -> Result<(), CliError> {
        let count = self.suite.found().len();
        self.note(&format!(
            "\nwatching {count} fixtures with their plans, checks and prompts; Ctrl-C ends"
        ))?;
        let cancel = self.desk.cancel.clone();
        while let Some(changed) = watch.changed(&cancel).await {
            let touched = match self.suite.reload(&changed) {
                Ok(touched) => touched,
                Err(error) => {
                    self.note(&format!("\n{error}"))?;
                    continue;
                }
            };
            let Touched { loaded, gone } = touched;
            if loaded.is_empty() && gone.is_empty() {
                continue;
            }
            self.note(&format!("\nchanged: {}", names(&changed)))?;
            for one in gone {
                self.last.remove(&one.folder);
                self.note(&format!("gone: {}", one.name))?;
            }
            self.round(&loaded).await?;
            if cancel.is_cancelled() {
                break;
            }
        }
        Ok(())
    }

    /// Runs the fixtures of these folders side by side, with a line for each as it ends, then the sums over all, and
    /// writes the reports.
    async fn round(&mut self, folders: &BTreeSet<PathBuf>) -> Result<RunReport, CliError> {
        let (started_at, started) = (self.desk.clock.now(), Instant::now());
        let mut fixtures: Vec<&Fixture> = Vec::new();
        for one in self
            .suite
            .found()
            .iter()
            .filter(|one| folders.contains(&one.folder))
        {
            match &one.fixture {
                Ok(fixture) => fixtures.push(fixture),
                Err(error) => {
                    let written = self.lines.unusable(&one.name, &error.to_string());
                    heard(written)?;
                }
            }
        }
        let progress = if self.output.json {
            Progress::hidden()
        } else {
            Progress::of(fixtures.len())
        };
        let (desk, progress) = (&self.desk, &progress);
        let cancel = &self.desk.cancel;
        // Called off: what runs ends as such, and nothing more is begun.
        let to_run = stream::iter(fixtures).take_while(|_| std::future::ready(!cancel.is_cancelled()));
        let mut running = to_run
            .map(async |fixture| {
                progress.begins(&fixture.name);
                let report = desk.run(fixture).await;
                progress.ends(&fixture.name);
                (fixture.folder.as_path(), report)
            })
            .buffer_unordered(self.output.side_by_side);
        while let Some((folder, report)) = running.next().await {
            let before = self.last.get(folder);
            if !self.output.json {
                let written = progress.aside(|| self.lines.again(before, &report));
                heard(written)?;
            }
            self.last.insert(folder.to_owned(), report);
        }
        drop(running);
        progress.close();
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let report = RunReport::new(self.usable(), started_at, millis);
        self.write(&report)?;
        Ok(report)
    }

    /// What the fixtures that can be used came to; one that is broken just now keeps its last report for later.
    fn usable(&self) -> Vec<FixtureReport> {
        let usable = self.suite.found().iter().filter(|one| one.fixture.is_ok());
        usable
            .filter_map(|one| self.last.get(&one.folder))
            .cloned()
            .collect()
    }

    /// Prints the sums (or the JSON) first: a report that cannot be written must not cost what is at hand.
    fn write(&mut self, report: &RunReport) -> Result<(), CliError> {
        if self.output.json {
            let text = serde_json::to_string_pretty(report).map_err(CliError::trouble)?;
            heard(writeln!(anstream::stdout(), "{text}"))?;
        } else {
            let written = self.lines.summary(report);
            heard(written)?;
        }
        let failed: Vec<_> = self
            .output
            .reports
            .iter()
            .filter_map(|file| file.write(report).err())
            .collect();
        match failed.is_empty() {
            true => Ok(()),
            false => {
                let failed: Vec<_> = failed.iter().map(ToString::to_string).collect();
                Err(CliError::trouble(anyhow!("{}", failed.join("\nassay: "))))
            }
        }
    }

    fn note(&mut self, text: &str) -> Result<(), CliError> {
        let written = self.lines.note(text);
        heard(written)
    }
}

fn names(changed: &BTreeSet<PathBuf>) -> String {
    let names: Vec<_> = changed
        .iter()
        .take(NAMED)
        .map(|path: &PathBuf| shown(path))
        .collect();
    match changed.len().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// A file's name is a stranger's text as well.
fn shown(path: &Path) -> String {
    crate::entry::escape_control(&path.display().to_string())
}
