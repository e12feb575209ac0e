//! `assay doctor`: checks everything that the pool needs, and says what to do about what is wrong.

mod finding;
mod places;
mod servers;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{CliError, Exit, parts};
use crate::config::{CommonArgs, Config, Settlement};
use finding::{Finding, State};

/// Flags of `assay doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay doctor                       everything, for a deployment of two URLs
  assay doctor --duty work           what a worker needs, with the rights of this very role
  assay doctor --duty settle --json

Changes nothing. Exit status: 0 nothing is wrong, 1 something is, 2 wrong configuration.")]
pub(super) struct DoctorArgs {
    /// What this machine is for; work and settle where not given
    #[arg(long, value_enum)]
    duty: Option<DutyFlag>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DutyFlag {
    /// `assay work`
    Work,
    /// `assay settle`
    Settle,
    /// `assay reverify`
    Reverify,
}

pub(super) async fn run(args: DoctorArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let config = parts::config(common)?;
    let findings = examine(args.duty, &config).await;
    let bad = findings
        .iter()
        .filter(|finding| finding.state == State::Problem)
        .count();
    if args.json {
        let report = json!({"good": bad == 0, "findings": findings});
        say!("{report:#}");
    } else {
        for finding in &findings {
            say!("{finding}");
        }
        match bad {
            0 => say!("\nnothing is wrong"),
            1 => say!("\n1 problem"),
            _ => say!("\n{bad} problems"),
        }
    }
    Ok(if bad == 0 { Exit::Good } else { Exit::No })
}

/// Every check; a failed one keeps only those from running that need what it looked for.
async fn examine(duty: Option<DutyFlag>, config: &Config) -> Vec<Finding> {
    let works = matches!(duty, None | Some(DutyFlag::Work));
    let settles =
        matches!(duty, None | Some(DutyFlag::Settle)) && config.pool.settlement == Settlement::Assay;
    let reverifies = duty == Some(DutyFlag::Reverify);
    let mut findings = Vec::new();
    findings.extend(servers::database(config, (works, settles, reverifies)).await);
    findings.extend(servers::broker(config).await);
    if works || reverifies {
        let (plans, told) = places::plans(config);
        findings.extend(told);
        findings.push(places::judge(config, &plans));
        findings.extend(places::sandbox(config, &plans).await);
    }
    findings.extend(places::keys(config, works || reverifies, settles || reverifies));
    findings
}
