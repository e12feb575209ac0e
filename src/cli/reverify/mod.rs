//! `assay reverify`: judges again what was decided, and moves nothing until somebody says so.

mod apply;
mod one;
mod ready;
mod select;
mod set;
mod show;
mod table;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::network::NetworkArgs;
use super::pause::ByArg;
use super::{CliError, Exit};
use crate::causes::in_full;
use crate::config::CommonArgs;
use ready::Ready;

/// Flags of `assay reverify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay reverify job_9                                   the plan that judged then; nothing moves
  assay reverify job_9 --plan stricter.toml --reason \"ticket 812\"
  assay reverify job_9 --judge replay                    the judge's answers as they were kept
  assay reverify job_9 --plan stricter.toml --publish    and overturn the decision, after a question

  assay reverify --since 2026-11-20 --plan csv-cleanup --where outcome=retry --set csv-fix --reason \"the check was wrong\"
  assay reverify --set csv-fix                           go on after a crash; the table again
  assay reverify --apply csv-fix                         publish all that changed (--without-errors: what could be judged), or
  assay reverify --cancel csv-fix                        none of it
  assay reverify --list

In a set, --plan NAME takes the decisions of the plan of that name, unless --where plan=OTHER says which, and judges
them by the plan as it is now; without it, each is judged by the plan that judged it then.

The receipt of the decision in dispute is checked against the trust file (ASSAY_TRUST); without one, nothing is published.

Exit status: 0 the same outcome, 1 another one or not published, 2 wrong use or nothing to judge, 3 could not be judged,
does not replay, or was stored and its message not published yet.")]
pub(super) struct ReverifyArgs {
    /// The job's id
    #[arg(required_unless_present_any = ["set", "apply", "cancel", "list"], conflicts_with_all = ["set", "apply", "cancel", "list"])]
    job: Option<String>,
    /// The attempt [default: the last that was decided]
    #[arg(long, value_name = "N", requires = "job")]
    attempt: Option<u32>,
    /// Judge by this plan: a name, or a .toml file [default: the plan that judged then, as it was]
    #[arg(long, value_name = "NAME|FILE")]
    plan: Option<String>,
    /// Ask the judge anew, or take what he answered then [default: live]
    #[arg(long, value_enum)]
    judge: Option<JudgeFlag>,
    /// Ask each judge so many times
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=99))]
    samples: Option<u32>,
    /// Why; kept with the verification
    #[arg(long)]
    reason: Option<String>,
    /// Publish the new decision, which overturns the effective one
    #[arg(long, requires = "job")]
    publish: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    by: ByArg,
    #[command(flatten)]
    sets: SetArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Many at once.
#[derive(Debug, Args)]
#[command(next_help_heading = "Many at once")]
struct SetArgs {
    /// Make the set of that name, or go on with it
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
    /// Publish what changed in a set
    #[arg(long, value_name = "NAME", conflicts_with_all = ["set", "cancel", "list"])]
    apply: Option<String>,
    /// Apply a set of which some could not be judged again: they stay as they are, and the set is closed
    #[arg(long, requires = "apply")]
    without_errors: bool,
    /// Cancel a set
    #[arg(long, value_name = "NAME", conflicts_with_all = ["set", "list"])]
    cancel: Option<String>,
    /// List the sets
    #[arg(long, conflicts_with = "set")]
    list: bool,
    /// Decided then or later: a day (UTC), or a time
    #[arg(long, value_name = "TIME", requires = "set", value_parser = time)]
    since: Option<Timestamp>,
    /// Decided before: a day (UTC), or a time
    #[arg(long, value_name = "TIME", requires = "set", value_parser = time)]
    until: Option<Timestamp>,
    /// In which this grader gave a verdict
    #[arg(long, value_name = "NAME", requires = "set")]
    grader: Option<String>,
    /// In which this model was asked, as its server named it
    #[arg(long, value_name = "NAME", requires = "set")]
    model: Option<String>,
    /// `outcome=verified`, `outcome=retry` or `plan=NAME`; may be given several times
    #[arg(long = "where", value_name = "KEY=VALUE", requires = "set", value_parser = select::condition)]
    conditions: Vec<select::Condition>,
    /// How many are verified at a time [default: twice the number of sandbox children]
    #[arg(long, short, value_name = "N", requires = "set")]
    jobs: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum JudgeFlag {
    /// Ask the model
    Live,
    /// The answers that were kept at the verification in dispute
    Replay,
}

fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let day: Result<Date, _> = text.parse();
    day.and_then(|day| TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)))
        .map_err(|_| "expected a day such as 2026-11-20, or a time such as 2026-11-20T09:00:00Z".to_owned())
}

pub(super) async fn run(args: ReverifyArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let mut told = json!({});
    let ended = carry_out(&args, common, &mut told).await;
    if args.json {
        if let Err(error) = &ended {
            told["error"] = in_full(error.error.as_ref()).into();
        }
        say!("{told}");
    }
    ended
}

/// `told`: what there is to say so far, also where it ends with an error.
async fn carry_out(args: &ReverifyArgs, common: &CommonArgs, told: &mut Value) -> Result<Exit, CliError> {
    let ready = Ready::new(common, args.network.network()).await?;
    let sets = &args.sets;
    if sets.list {
        return set::list(&ready, args.json, told).await;
    }
    match (&args.job, &sets.set, &sets.apply, &sets.cancel) {
        (Some(job), ..) => one::run(&ready, job, args, told).await,
        (None, Some(name), ..) => set::preview(&ready, name, args, told).await,
        (None, None, Some(name), _) => apply::apply(&ready, name, args, told).await,
        (None, None, None, Some(name)) => set::cancel(&ready, name, args, told).await,
        (None, None, None, None) => Ok(Exit::Usage),
    }
}

/// A line for people; a program reads the one object at the end.
fn note(as_json: bool, text: &str) -> Result<(), CliError> {
    if !as_json {
        say!("{text}");
    }
    Ok(())
}

/// Asks on the terminal. Without one, `--yes` must have been said.
fn agreed(question: &str, yes: bool) -> Result<bool, CliError> {
    use std::io::{BufRead as _, IsTerminal as _, Write as _};
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(CliError::usage(anyhow::anyhow!(
            "{question} Nobody is there to answer: say --yes"
        )));
    }
    let mut err = anstream::stderr();
    let asked = write!(err, "{question} [y/N] ").and_then(|()| err.flush());
    let mut answer = String::new();
    asked
        .and_then(|()| std::io::stdin().lock().read_line(&mut answer))
        .map_err(|error| CliError::trouble(anyhow::Error::from(error).context("no answer can be read")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_utc() {
        assert_eq!(
            time("2026-11-20").unwrap(),
            "2026-11-20T00:00:00Z".parse().unwrap()
        );
        assert_eq!(
            time("2026-11-20T10:00:00+02:00").unwrap(),
            "2026-11-20T08:00:00Z".parse().unwrap()
        );
        assert!(time("yesterday").unwrap_err().contains("2026-11-20"));
    }
}
