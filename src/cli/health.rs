//! `assay health`: asks the process on this machine how it is, for containers without another client of HTTP.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;

use super::{CliError, Exit, parts, probes};
use crate::config::CommonArgs;

/// A probe that takes longer counts as failed anyway.
const ASKING: Duration = Duration::from_secs(4);

/// Flags of `assay health`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay health                 whether `assay work` on this machine lives
  assay health --ready         whether it can do its work, and what it lacks
  assay health --settlement    the same of `assay settle`

Asks the address of pool.listen (ASSAY_LISTEN), settlement one port above. Exit status: 0 yes, 1 no, 2 it is not served.")]
pub(super) struct HealthArgs {
    /// Ask whether it is ready instead of alive
    #[arg(long)]
    ready: bool,
    /// Ask settlement instead of the worker
    #[arg(long)]
    settlement: bool,
}

pub(super) async fn run(args: HealthArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let config = parts::config(common)?;
    let Some(mut address) = config.pool.listen else {
        return Err(CliError::usage(anyhow!(
            "health is not served: pool.listen is `off`"
        )));
    };
    if args.settlement {
        address = probes::of_settlement(address);
    }
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let path = if args.ready { "readyz" } else { "healthz" };
    crate::tls::install_provider();
    let client = reqwest::Client::builder()
        .timeout(ASKING)
        .no_proxy()
        .build()
        .map_err(CliError::trouble)?;
    let asked = client.get(format!("http://{address}/{path}")).send().await;
    let Ok(response) = asked else {
        say!("nothing answers at {address}");
        return Ok(Exit::No);
    };
    let good = response.status().is_success();
    say!("{}", response.text().await.unwrap_or_default().trim_end());
    Ok(if good { Exit::Good } else { Exit::No })
}
