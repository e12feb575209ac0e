//! `assay settle`: applies outcomes; shows and ends what it did not apply.

use std::sync::Arc;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::pause::ByArg;
use super::probes::Needs;
use super::{CliError, Exit, parts, probes};
use crate::clock::Clock;
use crate::config::{CommonArgs, Config};
use crate::health::{HealthServer, Heart};
use crate::journal::{Duty, JournalError, Market, Settled, Tried};
use crate::metrics::Metrics;
use crate::receipt::Trust;
use crate::settle::{self, SettleTrouble, Settler};
use crate::shutdown;

/// Flags of `assay settle`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay settle                              apply outcomes until SIGTERM
  assay settle held                         what waits: paused, price, rate
  assay settle approve job_9                pay what waits for job_9
  assay settle exceptions --json            what was not applied, and why
  assay settle again 17                     try it once more, e.g. after the account was topped up; as settlement's
                                            role (`assay_settlement`) and with its trust file
  assay settle close 17 --reason \"forged\"

Exit status: 0 good, 1 if an exception is one still, 2 wrong use or no such thing, 3 our own trouble.")]
pub(super) struct SettleArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Apply outcomes until SIGTERM; what `assay settle` does by itself
    Run,
    /// Show the outcomes that wait
    Held {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Pay what waits for a person or for room in the hour
    Approve {
        /// Ids of jobs or of verifications
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Why; kept with the act
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        by: ByArg,
    },
    /// Show the outcomes that were not applied
    Exceptions {
        /// The closed ones too
        #[arg(long)]
        all: bool,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Try exceptions once more; those that are applied, or wait, are closed
    Again {
        /// Numbers of exceptions
        #[arg(required = true, value_name = "ID")]
        ids: Vec<i64>,
        #[command(flatten)]
        by: ByArg,
    },
    /// Close an exception; it stays in the table, and moves nothing
    Close {
        /// Number of the exception
        id: i64,
        /// Why; kept with the exception
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        by: ByArg,
    },
}

pub(super) async fn run(args: SettleArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let config = parts::config(common)?;
    let market = parts::market(&config).await?;
    match args.action {
        None | Some(Action::Run) => consume(&config, market).await,
        Some(Action::Held { json }) => {
            let held = market.held().await.map_err(CliError::trouble)?;
            print(&held, json, |row| {
                let approved = row
                    .approved_by
                    .as_ref()
                    .map_or_else(String::new, |by| format!(", approved by {by}"));
                format!(
                    "{}  {}  {} cents  since {}  {}{approved}",
                    row.verification_id, row.job_id, row.amount_cents, row.held_at, row.reason
                )
            })
        }
        Some(Action::Approve { ids, reason, by }) => {
            let approved = market
                .approve(&ids, &by.name, &reason)
                .await
                .map_err(CliError::trouble)?;
            for id in &approved {
                say!("approved {id}");
            }
            if approved.is_empty() {
                return Err(CliError::usage(anyhow!(
                    "nothing waits under these ids: `assay settle held` shows what does"
                )));
            }
            Ok(Exit::Good)
        }
        Some(Action::Exceptions { all, json }) => {
            let exceptions = market.exceptions(all).await.map_err(CliError::trouble)?;
            print(&exceptions, json, |row| {
                let job = row.job_id.as_deref().unwrap_or("-");
                let closed = match (&row.closed_by, &row.closed_reason) {
                    (Some(by), Some(reason)) => format!("  [closed by {by}: {reason}]"),
                    _ => String::new(),
                };
                format!(
                    "{}  {}  {job}  {}: {}{closed}",
                    row.id, row.raised_at, row.reason, row.detail
                )
            })
        }
        Some(Action::Again { ids, by }) => again(&settler(&config, market)?, &ids, &by.name).await,
        Some(Action::Close { id, reason, by }) => {
            let closed = market
                .close_exception(id, &by.name, &reason)
                .await
                .map_err(CliError::trouble)?;
            if !closed {
                return Err(CliError::usage(JournalError::NoOpenException(id)));
            }
            say!("closed {id}");
            Ok(Exit::Good)
        }
    }
}

fn settler(config: &Config, market: Market) -> Result<Settler, CliError> {
    let trust = Trust::open(&config.pool.trust).map_err(CliError::usage)?;
    Ok(Settler::new(
        market,
        Arc::new(trust),
        config.settle.clone(),
        Clock::system(),
    ))
}

async fn consume(config: &Config, market: Market) -> Result<Exit, CliError> {
    let settler = settler(config, market)?;
    settler.check_platform_user().await.map_err(CliError::usage)?;
    let queue = parts::queue(config, "settle").await?;
    let stop = shutdown::token().map_err(CliError::trouble)?;
    let metrics = Metrics::new();
    let needs = Needs {
        journal: settler.market().journal().clone(),
        queue: Arc::clone(&queue),
        draining: stop.clone(),
    };
    let heart = Heart::default();
    let health = match config.pool.listen {
        Some(address) => {
            let address = probes::of_settlement(address);
            let serving = HealthServer::start(address, heart.clone(), Arc::new(needs), metrics.clone());
            Some(serving.await.map_err(CliError::usage)?)
        }
        None => None,
    };
    let address = health.as_ref().map(HealthServer::address);
    tracing::info!(deployment = config.pool.deployment, health = ?address, "settlement begins");
    settle::run(Arc::clone(&queue), settler, metrics, &heart, stop)
        .await
        .map_err(CliError::trouble)?;
    queue.close().await;
    Ok(Exit::Good)
}

async fn again(settler: &Settler, ids: &[i64], by: &str) -> Result<Exit, CliError> {
    let market = settler.market();
    let rights = market
        .journal()
        .privileges(Duty::Settlement, true)
        .await
        .map_err(CliError::trouble)?;
    if let Some(missing) = rights.missing.first() {
        return Err(CliError::usage(anyhow!(
            "{} may not settle, it lacks {missing}: connect as assay_settlement (deploy/roles.sql)",
            rights.role
        )));
    }
    let open = market.exceptions(false).await.map_err(CliError::trouble)?;
    if let Some(unknown) = ids.iter().find(|id| open.iter().all(|row| row.id != **id)) {
        return Err(CliError::usage(JournalError::NoOpenException(*unknown)));
    }
    let mut exit = Exit::Good;
    for id in ids {
        match settler.again(Tried { exception: *id, by }).await {
            Ok(Settled::Exception(reason)) => {
                say!("{id}: still an exception: {reason}");
                exit = Exit::No;
            }
            Ok(settled) => say!("{id}: {}", settled.as_str()),
            Err(SettleTrouble::Journal(JournalError::NoOpenException(_))) => {
                say!("{id}: somebody has closed it meanwhile");
                exit = Exit::No;
            }
            Err(trouble) => return Err(CliError::trouble(trouble)),
        }
    }
    Ok(exit)
}

fn print<T: Serialize>(rows: &[T], as_json: bool, line: impl Fn(&T) -> String) -> Result<Exit, CliError> {
    for row in rows {
        if as_json {
            let row = serde_json::to_string(row).map_err(|error| CliError::trouble(anyhow!(error)))?;
            say!("{row}");
        } else {
            say!("{}", line(row));
        }
    }
    Ok(Exit::Good)
}
