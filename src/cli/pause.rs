//! `assay pause` and `assay resume`: verified outcomes wait, nothing is lost.

use clap::Args;

use super::{CliError, Exit, parts};
use crate::config::CommonArgs;

/// Flags of `assay pause` and `assay resume`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay pause --reason \"payouts look wrong since noon\"
  assay resume --reason \"was a display error\"

While settlement is paused, verified outcomes wait in the database (`assay settle held`) and retries are still applied.
`assay settle` pays what waited within seconds of the end of the pause.")]
pub(super) struct PauseArgs {
    /// Why; kept with the act
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    by: ByArg,
}

/// Who acts.
#[derive(Debug, Args)]
pub(super) struct ByArg {
    /// Who does this; kept with the act
    #[arg(
        long = "by",
        value_name = "NAME",
        env = "USER",
        default_value = "operator",
        hide_env = true
    )]
    pub(super) name: String,
}

pub(super) async fn run(args: PauseArgs, pause: bool, common: &CommonArgs) -> Result<Exit, CliError> {
    let market = parts::market(&parts::config(common)?).await?;
    market
        .set_pause(pause, &args.by.name, &args.reason)
        .await
        .map_err(CliError::trouble)?;
    let waiting = market.held().await.map_err(CliError::trouble)?.len();
    if pause {
        say!("paused: verified outcomes wait from now on; {waiting} wait already");
    } else {
        say!("resumed: {waiting} waiting outcomes are looked at by `assay settle` again");
    }
    Ok(Exit::Good)
}
