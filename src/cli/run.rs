//! `assay run`: verifies fixtures side by side and compares with what they expect.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use futures_util::stream::{self, StreamExt as _};
use terminal_size::terminal_size_of;

use super::{CliError, Exit, setup};
use crate::clock::Clock;
use crate::config::{CommonArgs, Config};
use crate::desk::{Desk, Fixture, JudgeChoice, discover};
use crate::report::{Lines, Progress, ReportFile, RunReport};
use crate::shutdown;

/// Flags of `assay run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay run                                   every fixture below tests/fixtures
  assay run tests/fixtures/csv --filter bad   those whose name holds `bad`
  assay run --plan my-plan -v                 by another plan, with the log of each
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
    let config = setup::config(common)?;
    let fixtures = fixtures(&args, &config)?;
    let desk = Desk {
        journal: Arc::new(setup::journal(&config).await?),
        sandbox: setup::sandbox(&config)?,
        clock: Clock::system(),
        cancel: shutdown::token().map_err(CliError::trouble)?,
    };
    let side_by_side = args.jobs.unwrap_or_else(|| 2 * config.sandbox_children).max(1);
    let report = verify_all(&desk, &fixtures, side_by_side, &args).await?;
    for file in &args.report {
        file.write(&report).map_err(CliError::trouble)?;
    }
    if args.json {
        let text = serde_json::to_string_pretty(&report).map_err(CliError::trouble)?;
        anstream::println!("{text}");
    }
    Ok(match report.summary.unexpected {
        0 => Exit::Good,
        _ if report.our_own_trouble() => Exit::Trouble,
        _ => Exit::No,
    })
}

/// Runs the fixtures side by side, with a line for each as it ends and the sums at the end.
async fn verify_all(
    desk: &Desk,
    fixtures: &[Fixture],
    side_by_side: usize,
    args: &RunArgs,
) -> Result<RunReport, CliError> {
    let (started_at, started) = (desk.clock.now(), Instant::now());
    let mut lines = Lines::new(
        anstream::stdout(),
        fixtures.iter().map(|fixture| fixture.name.as_str()),
        terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0)),
        args.verbose,
    );
    let progress = if args.json {
        Progress::hidden()
    } else {
        Progress::of(fixtures.len())
    };
    let mut ended = Vec::with_capacity(fixtures.len());
    let mut running = stream::iter(fixtures)
        .map(async |fixture| {
            progress.begins(&fixture.name);
            let report = desk.run(fixture).await;
            progress.ends(&fixture.name);
            report
        })
        .buffer_unordered(side_by_side);
    while let Some(report) = running.next().await {
        let report = report
            .context("the run cannot be kept")
            .map_err(CliError::trouble)?;
        if !args.json {
            progress
                .aside(|| lines.fixture(&report))
                .map_err(CliError::trouble)?;
        }
        ended.push(report);
    }
    progress.close();
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let report = RunReport::new(ended, started_at, millis);
    if !args.json {
        lines.summary(&report).map_err(CliError::trouble)?;
    }
    Ok(report)
}

/// Loads every fixture before the first is run: a wrong one costs nothing.
fn fixtures(args: &RunArgs, config: &Config) -> Result<Vec<Fixture>, CliError> {
    let folders = setup::folders(config);
    let judge = judge(args.judge, config)?;
    let wanted = |name: &str| args.filter.is_empty() || args.filter.iter().any(|text| name.contains(text));
    let found = discover(&args.paths).map_err(CliError::usage)?;
    let (mut fixtures, mut wrong) = (Vec::new(), Vec::new());
    for (name, folder) in found {
        if !wanted(&name) {
            continue;
        }
        match Fixture::load(name, &folder, args.plan.as_deref(), &folders, &judge) {
            Ok(fixture) => fixtures.push(fixture),
            Err(error) => wrong.push(error.to_string()),
        }
    }
    // A wrong plan named by many fixtures is one mistake.
    wrong.dedup();
    if !wrong.is_empty() {
        return Err(CliError::usage(anyhow!("{}", wrong.join("\nassay: "))));
    }
    if fixtures.is_empty() {
        let paths: Vec<_> = args.paths.iter().map(|path| path.display().to_string()).collect();
        let filter = if args.filter.is_empty() {
            ""
        } else {
            " that the filter lets through"
        };
        return Err(CliError::usage(anyhow!(
            "no fixture{filter} below {}: a fixture is a folder with job.json and fixture.toml",
            paths.join(", ")
        )));
    }
    Ok(fixtures)
}

fn judge(flag: JudgeFlag, config: &Config) -> Result<JudgeChoice, CliError> {
    let endpoint = || {
        let endpoint = config.judge.as_ref().ok_or_else(|| {
            CliError::usage(anyhow!(
                "no model is configured: set OPENAI_API_KEY, and OPENAI_BASE_URL for another server"
            ))
        })?;
        setup::judge_settings(endpoint)
    };
    Ok(match flag {
        JudgeFlag::Fixture => JudgeChoice::Fixture,
        JudgeFlag::Live => JudgeChoice::Live(endpoint()?),
        JudgeFlag::Record => JudgeChoice::Record(endpoint()?),
        JudgeFlag::Replay => JudgeChoice::Replay,
        JudgeFlag::Scripted => JudgeChoice::Scripted,
    })
}
