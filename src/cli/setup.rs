//! `assay setup`: makes what the pool needs in broker and database.

use clap::Args;

use super::{CliError, Exit, parts};
use crate::config::{CommonArgs, Settlement};
use crate::queue::{RabbitSettings, Topology};

/// Flags of `assay setup`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay setup                        tables in schema assay, queues, exchange; a first key where there is none
  assay setup --demo-marketplace     and the marketplace's tables, where there is no marketplace

Runs again without harm: what is there stays. Needs the rights of the tables' owner; workers need fewer
(docs/deploying.md).
Exit status: 0, 2 wrong configuration, 3 broker or database refuse.")]
pub(super) struct SetupArgs {
    /// Make the marketplace's tables too, for a demonstration
    #[arg(long)]
    demo_marketplace: bool,
    /// Make no key
    #[arg(long)]
    no_key: bool,
}

pub(super) async fn run(args: SetupArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let config = parts::config(common)?;
    let url = config.pool.amqp_url().map_err(CliError::usage)?.clone();
    let journal = parts::pool_journal(&config, 2).await?;
    journal.set_up().await.map_err(CliError::trouble)?;
    say!("tables: schema assay in {}", journal.place());
    if args.demo_marketplace {
        journal
            .set_up_demo_marketplace()
            .await
            .map_err(CliError::trouble)?;
        say!("tables: the demonstration's marketplace");
    }
    let topology = Topology::new(config.pool.settlement == Settlement::Assay);
    topology
        .declare(RabbitSettings::new(url, "setup"))
        .await
        .map_err(CliError::trouble)?;
    say!(
        "broker: {} queues and the exchange of outcomes",
        topology.queues.len()
    );
    if !args.no_key && !config.pool.signing_key.exists() {
        super::keys::first(&config)?;
    }
    Ok(Exit::Good)
}
