//! `assay run`: verifies fixtures side by side and compares with what they expect.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use clap::{Args, ValueEnum};

use super::rounds::{Output, Rounds};
use super::{CliError, Exit, parts};
use crate::clock::Clock;
use crate::config::{CommonArgs, Config};
use crate::desk::{Desk, JudgeChoice, Search, Suite, Watch};
use crate::report::ReportFile;
use crate::shutdown;

/// Flags of `assay run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay run                                   every fixture below tests/fixtures
  assay run tests/fixtures/csv --filter lost  those whose name holds `lost`
  assay run --plan my-plan -v                 by another plan, with the log of each
  assay run --filter csv --watch              again at every save, with what has changed
  assay run --report html=report.html --report junit=junit.xml
  OPENAI_API_KEY=… assay run --judge record   ask the model and keep its answers beside the fixtures

Exit status: 0 all as expected, 1 some not, 2 a fixture, plan or setting is wrong, 3 our own trouble.")]
pub(super) struct RunArgs {
    /// Folders or files to search for fixtures
    #[arg(value_name = "PATH", default_value = "tests/fixtures")]
    paths: Vec<PathBuf>,
    /// Only fixtures whose name holds this text; may be given several times
    #[arg(long, short, value_name = "TEXT")]
    filter: Vec<String>,
    /// Judge by this plan (a name, or a .toml file) instead of the fixtures' own
    #[arg(long, value_name = "PLAN")]
    plan: Option<String>,
    /// Where the judge's answers come from
    #[arg(long, value_enum, default_value_t = JudgeFlag::Fixture)]
    judge: JudgeFlag,
    /// Write a report; may be given several times
    #[arg(
        long,
        value_name = "KIND=FILE",
        long_help = "\
Write a report: html=FILE (one page for people), json=FILE, junit=FILE (for CI servers); may be given several times"
    )]
    report: Vec<ReportFile>,
    /// Print the report as JSON to standard output instead of lines
    #[arg(long)]
    json: bool,
    /// Stay, and run again what a saved plan, check, prompt or fixture touches
    #[arg(long, short, conflicts_with = "json")]
    watch: bool,
    /// Show each fixture's log
    #[arg(long, short)]
    verbose: bool,
    /// Fixtures at a time [default: twice the number of processors]
    #[arg(long, short, value_name = "N")]
    jobs: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum JudgeFlag {
    /// The answers beside the fixture: hand-written, else recorded
    Fixture,
    /// Ask the model
    Live,
    /// Ask the model and keep its answers beside the fixture
    Record,
    /// Recorded answers only
    Replay,
    /// Hand-written answers only
    Scripted,
}

pub(super) async fn run(args: RunArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let config = parts::config(common)?;
    if args.watch && args.judge == JudgeFlag::Record {
        return Err(CliError::usage(anyhow!(
            "--watch would ask the model at every save: record first, then watch without --judge record"
        )));
    }
    let search = Search {
        paths: args.paths.clone(),
        filters: args.filter.clone(),
        plan: args.plan.clone(),
        folders: parts::folders(&config),
        judge: judge(args.judge, &config)?,
    };
    // Before anything is loaded, so that no edit is missed.
    let watch = args.watch.then(|| Watch::begin(Suite::roots(&search)));
    let suite = Suite::load(search).map_err(CliError::usage)?;
    if suite.found().is_empty() {
        return Err(nothing_found(&args));
    }
    if watch.is_none() {
        all_usable(&suite)?;
    }
    for report in &args.report {
        report.prepare().map_err(CliError::usage)?;
    }
    let desk = Desk {
        journal: Arc::new(parts::journal(&config).await?),
        sandbox: parts::sandbox(&config)?,
        clock: Clock::system(),
        cancel: shutdown::token().map_err(CliError::trouble)?,
    };
    let output = Output {
        json: args.json,
        verbose: args.verbose,
        reports: args.report,
        side_by_side: args.jobs.unwrap_or_else(|| 2 * config.sandbox_children).max(1),
    };
    parts::tell_confinement(&desk.sandbox).await?;
    let (cancel, all) = (desk.cancel.clone(), suite.found().len());
    let mut rounds = Rounds::new(desk, suite, output);
    let report = rounds.first().await?;
    if cancel.is_cancelled() {
        return Err(CliError::trouble(anyhow!(
            "interrupted: {} of {all} fixtures were begun",
            report.summary.total
        )));
    }
    if let Some(watch) = watch {
        rounds.watch(watch).await?;
        return Ok(Exit::Good);
    }
    Ok(match report.summary.unexpected {
        0 => Exit::Good,
        _ if report.our_own_trouble() => Exit::Trouble,
        _ => Exit::No,
    })
}

/// Every fixture is usable before the first is run: a wrong one costs nothing.
fn all_usable(suite: &Suite) -> Result<(), CliError> {
    let errors = suite.found().iter().filter_map(|one| one.fixture.as_ref().err());
    let mut wrong: Vec<_> = errors.map(ToString::to_string).collect();
    // A wrong plan named by many fixtures is one mistake.
    wrong.dedup();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(CliError::usage(anyhow!("{}", wrong.join("\nassay: "))))
}

fn nothing_found(args: &RunArgs) -> CliError {
    let paths: Vec<_> = args.paths.iter().map(|path| path.display().to_string()).collect();
    let filter = if args.filter.is_empty() {
        ""
    } else {
        " that the filter lets through"
    };
    CliError::usage(anyhow!(
        "no fixture{filter} below {}: a fixture is a folder with job.json and fixture.toml, as `assay new fixture NAME` \
         writes it",
        paths.join(", ")
    ))
}

fn judge(flag: JudgeFlag, config: &Config) -> Result<JudgeChoice, CliError> {
    Ok(match flag {
        JudgeFlag::Fixture => JudgeChoice::Fixture,
        JudgeFlag::Live => JudgeChoice::Live(parts::endpoint(config)?),
        JudgeFlag::Record => JudgeChoice::Record(parts::endpoint(config)?),
        JudgeFlag::Replay => JudgeChoice::Replay,
        JudgeFlag::Scripted => JudgeChoice::Scripted,
    })
}
