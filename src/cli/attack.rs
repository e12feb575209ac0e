//! `assay attack`: a plan against hand-ins that try to talk its judge round.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, ValueEnum};

use super::{CliError, Exit, heard, parts};
use crate::attack::{Attack, AttackJudge, Configuration, load, markdown, write_lines};
use crate::clock::Clock;
use crate::config::CommonArgs;
use crate::desk::{RunningCost, Trial};
use crate::report::Progress;
use crate::shutdown;

/// Flags of `assay attack`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay attack tests/judging/guest-reply.toml tests/judging/attacked --judge credulous
  OPENAI_API_KEY=… assay attack summary tests/fixtures/summary        the model, with no defence and with all
  OPENAI_API_KEY=… assay attack summary tests/fixtures/summary --each each defence alone, and all but each

Fixtures that expect `retry` are attacked by the submitter's side, those that expect `verified` by the sender's. The judge
`credulous` is no model: it obeys the last order that it sees and repeats every verdict, and tests what stands around it.

In a cell, `p` counts what the judge left to a person, `t` what nobody judged.

Exit status: 0 no attack succeeds with all defences on, 1 some do, or fixtures do not come out as they must without any attack,
2 a plan, fixture or setting is wrong, 3 our own trouble: not all was judged.")]
pub(super) struct AttackArgs {
    /// The plan: a name, or a .toml file
    plan: String,
    /// Folders with fixtures
    #[arg(value_name = "FIXTURES", required = true)]
    fixtures: Vec<PathBuf>,
    /// Who judges
    #[arg(long, value_enum, default_value_t = AttackJudgeFlag::Live)]
    judge: AttackJudgeFlag,
    /// Also each defence alone, and all but each; always with the judge `credulous`, which costs nothing
    #[arg(long)]
    each: bool,
    /// Print the report as JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print only the tables, for a page
    #[arg(long)]
    markdown: bool,
    /// Verifications at a time [default: twice the number of processors]
    #[arg(long, short, value_name = "N")]
    jobs: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AttackJudgeFlag {
    /// Ask the model
    Live,
    /// A structural test: fixed rules that believe what they are told, no model
    Credulous,
}

pub(super) async fn run(args: AttackArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let config = parts::config(common)?;
    let judge = match args.judge {
        AttackJudgeFlag::Live => AttackJudge::Live(Box::new(parts::endpoint(&config)?)),
        AttackJudgeFlag::Credulous => AttackJudge::Credulous,
    };
    let (plan, targets) =
        load(&args.plan, &args.fixtures, &parts::folders(&config), &judge).map_err(CliError::usage)?;
    let each = args.each || args.judge == AttackJudgeFlag::Credulous;
    let attack = Attack {
        trial: Trial {
            sandbox: parts::sandbox(&config)?,
            clock: Clock::system(),
            cancel: shutdown::token().map_err(CliError::trouble)?,
            cost_so_far: RunningCost::default(),
        },
        side_by_side: args.jobs.unwrap_or_else(|| 2 * config.sandbox_children).max(1),
        configurations: match each {
            true => Configuration::each(&plan),
            false => Configuration::ends(),
        },
        judge,
    };
    let progress = match args.json {
        true => Progress::hidden(),
        false => Progress::of(attack.shots_in_all(&plan, &targets)),
    };
    let ended = attack.run(&plan, &targets, &progress).await;
    progress.close();
    let report = ended.ok_or_else(|| CliError::trouble(anyhow!("interrupted: nothing is reported")))?;
    if args.json {
        say!(
            "{}",
            serde_json::to_string_pretty(&report).map_err(CliError::trouble)?
        );
    } else if args.markdown {
        say!("{}", markdown(&report).trim_end());
    } else {
        heard(write_lines(&report, &mut anstream::stdout()))?;
    }
    Ok(if report.succeeded_against_all() > 0 {
        Exit::No
    } else if report.troubled() > 0 {
        Exit::Trouble
    } else if report.unfit_with_all() > 0 {
        Exit::No
    } else {
        Exit::Good
    })
}
