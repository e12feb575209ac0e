//! `assay calibrate`: a plan against labelled cases.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};

use super::{CliError, Exit, heard, parts};
use crate::calibrate::{Calibration, CalibrationReport, Cases, Demands, page, write_lines};
use crate::clock::Clock;
use crate::config::CommonArgs;
use crate::desk::{JudgeChoice, RunningCost, Trial};
use crate::report::Progress;
use crate::shutdown;

/// Flags of `assay calibrate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  OPENAI_API_KEY=… assay calibrate summary cases.jsonl --html calibration.html
  assay calibrate my-plan labelled/ --samples 3 --min-kappa 0.7 --max-false-accepts 2
  assay calibrate my-plan labelled/ --judge replay      the answers recorded beside the cases

A case is a fixture folder (its `expect` is the label, `[labels]` in fixture.toml those of criteria), or a line of a
.jsonl file: {\"prompt\": …, \"output\": …, \"label\": \"verified\" or \"retry\", \"labels\": {\"criterion\": true}}

Exit status: 0 blessed, 1 refused, 2 a plan, case or setting is wrong, 3 our own trouble, e.g. a model that is down.")]
pub(super) struct CalibrateArgs {
    /// The plan: a name, or a .toml file
    plan: String,
    /// Folders with fixtures, or .jsonl files
    #[arg(value_name = "CASES", required = true)]
    cases: Vec<PathBuf>,
    /// Where the judge's answers come from
    #[arg(long, value_enum, default_value_t = CalibrateJudge::Live)]
    judge: CalibrateJudge,
    /// How often each case is verified, by a live judge; the first time counts, the others show how steady it is
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    samples: u16,
    /// Least kappa
    #[arg(
        long,
        value_name = "KAPPA",
        default_value_t = 0.6,
        allow_negative_numbers = true
    )]
    min_kappa: f64,
    /// Most cases that are accepted falsely, in any sample
    #[arg(long, value_name = "N")]
    max_false_accepts: Option<u64>,
    /// Write a page with the disagreements side by side
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Verifications at a time [default: twice the number of processors]
    #[arg(long, short, value_name = "N")]
    jobs: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CalibrateJudge {
    /// Ask the model
    Live,
    /// Ask the model and keep its answers beside the cases
    Record,
    /// Recorded answers only
    Replay,
    /// The answers beside the fixtures; hand-written ones are never blessed
    Fixture,
}

pub(super) async fn run(args: CalibrateArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let config = parts::config(common)?;
    if !(-1.0..=1.0).contains(&args.min_kappa) {
        return Err(CliError::usage(anyhow!("--min-kappa must be from -1 to 1")));
    }
    if args.samples > 1 && args.judge != CalibrateJudge::Live {
        let message = "--samples needs --judge live: an answer that is kept is the same each time";
        return Err(CliError::usage(anyhow!(message)));
    }
    let choice = match args.judge {
        CalibrateJudge::Live => JudgeChoice::Live(parts::endpoint(&config)?),
        CalibrateJudge::Record => JudgeChoice::Record(parts::endpoint(&config)?),
        CalibrateJudge::Replay => JudgeChoice::Replay,
        CalibrateJudge::Fixture => JudgeChoice::Fixture,
    };
    let cases =
        Cases::load(&args.plan, &args.cases, &parts::folders(&config), &choice).map_err(CliError::usage)?;
    if let Some(path) = &args.html {
        prepare(path)?;
    }
    let calibration = Calibration {
        trial: Trial {
            sandbox: parts::sandbox(&config)?,
            clock: Clock::system(),
            cancel: shutdown::token().map_err(CliError::trouble)?,
            cost_so_far: RunningCost::default(),
        },
        samples: usize::from(args.samples),
        side_by_side: args.jobs.unwrap_or_else(|| 2 * config.sandbox_children).max(1),
        demands: Demands {
            min_kappa: args.min_kappa,
            max_false_accepts: args.max_false_accepts,
        },
    };
    let progress = match args.json {
        true => Progress::hidden(),
        false => Progress::of(cases.cases.len() * usize::from(args.samples)),
    };
    let ended = calibration.run(&cases, &progress).await;
    progress.close();
    let report = ended.ok_or_else(|| CliError::trouble(anyhow!("interrupted: nothing is reported")))?;
    tell(&args, &report)?;
    Ok(match report.blessed {
        true => Exit::Good,
        false if report.nobody_judged() => Exit::Trouble,
        false => Exit::No,
    })
}

fn tell(args: &CalibrateArgs, report: &CalibrationReport) -> Result<(), CliError> {
    if args.json {
        say!(
            "{}",
            serde_json::to_string_pretty(report).map_err(CliError::trouble)?
        );
    } else {
        heard(write_lines(report, &mut anstream::stdout()))?;
    }
    if let Some(path) = &args.html {
        write(path, &page(report).map_err(CliError::trouble)?)?;
    }
    Ok(())
}

/// Makes sure that the page can be written before a call is paid; an older one stays until there is a new one.
fn prepare(path: &Path) -> Result<(), CliError> {
    let mut options = std::fs::OpenOptions::new();
    let opened = options.append(true).create(true).open(path).map(drop);
    opened
        .with_context(|| format!("{} cannot be written", path.display()))
        .map_err(CliError::usage)
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    std::fs::write(path, text)
        .with_context(|| format!("{} cannot be written", path.display()))
        .map_err(CliError::usage)
}
