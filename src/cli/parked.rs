//! `assay parked`: what was set aside for a person.

use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::pause::ByArg;
use super::{CliError, Exit, parts};
use crate::config::{CommonArgs, Config};
use crate::journal::{ParkedRow, PgJournal};
use crate::message::{SubmittedJob, Work};
use crate::queue::{Destination, Lane, Outgoing};

/// Most rows that are listed.
const LISTED: u32 = 1_000;

/// Flags of `assay parked`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay parked list                      the oldest first
  assay parked show 17                   why, in full, and the message without the values of variables
  assay parked retry 17 --reason \"the plan is mended\"
  assay parked close 17 --reason \"a test message\"

Nothing parked is ever deleted. Exit status: 0, 1 if it was ended already or cannot come back, 2 no such row, 3 trouble.")]
pub(super) struct ParkedArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// What waits for a person
    List {
        /// What was ended too
        #[arg(long)]
        all: bool,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// One, in full
    Show {
        /// Its number
        id: i64,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Grade it again, its tries counted anew
    Retry {
        /// Its number
        id: i64,
        /// Why; kept with the act
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        by: ByArg,
    },
    /// End it without a verdict
    Close {
        /// Its number
        id: i64,
        /// Why; kept with the act
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        by: ByArg,
    },
}

pub(super) async fn run(args: ParkedArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let config = parts::config(common)?;
    let journal = parts::pool_journal(&config, 1).await?;
    journal.check_set_up().await.map_err(CliError::usage)?;
    match args.action {
        Action::List { all, json } => list(&journal, all, json).await,
        Action::Show { id, json } => {
            let row = row(&journal, id).await?;
            show(&row, json)?;
            Ok(Exit::Good)
        }
        Action::Retry { id, reason, by } => {
            let row = row(&journal, id).await?;
            retry(&config, &journal, &row, (&by.name, &reason)).await
        }
        Action::Close { id, reason, by } => {
            row(&journal, id).await?;
            let ended = journal.close_parked(id, false, (&by.name, &reason)).await;
            told(id, "closed", ended.map_err(CliError::trouble)?)
        }
    }
}

async fn row(journal: &PgJournal, id: i64) -> Result<ParkedRow, CliError> {
    let row = journal.parked_row(id).await.map_err(CliError::trouble)?;
    row.ok_or_else(|| {
        CliError::usage(anyhow!(
            "nothing is parked under the number {id}: `assay parked list`"
        ))
    })
}

async fn list(journal: &PgJournal, all: bool, as_json: bool) -> Result<Exit, CliError> {
    let rows = journal.parked(all, LISTED).await.map_err(CliError::trouble)?;
    for row in &rows {
        if as_json {
            say!("{}", as_value(row));
            continue;
        }
        let job = match (&row.job_id, row.attempt) {
            (Some(job), Some(attempt)) => format!("{job} attempt {attempt}"),
            (job, _) => job
                .as_ref()
                .map_or_else(|| "unreadable message".to_owned(), ToString::to_string),
        };
        let ended = row
            .closed
            .as_ref()
            .map_or_else(String::new, |(at, how, by, why)| {
                format!("  {how} {at:.0} by {by}: {why}")
            });
        let detail = row.detail.lines().next().unwrap_or_default();
        say!(
            "{:>5}  {:.0}  {}  {job}: {detail}{ended}",
            row.id,
            row.parked_at,
            row.reason
        );
    }
    if rows.is_empty() && !as_json {
        say!("nothing is parked");
    }
    Ok(Exit::Good)
}

fn show(row: &ParkedRow, as_json: bool) -> Result<(), CliError> {
    let value = as_value(row);
    if as_json {
        say!("{value}");
    } else {
        say!("{}", serde_json::to_string_pretty(&value).unwrap_or_default());
    }
    Ok(())
}

fn as_value(row: &ParkedRow) -> Value {
    let message = row.message.as_deref().map(|message| {
        serde_json::from_slice(message)
            .unwrap_or_else(|_| json!(crate::entry::escape_control(&String::from_utf8_lossy(message))))
    });
    json!({
        "id": row.id, "job_id": row.job_id, "attempt": row.attempt, "reason": row.reason, "detail": row.detail,
        "parked_at": row.parked_at, "message": message,
        "ended": row.closed.as_ref().map(|(at, how, by, why)| json!({"at": at, "as": how, "by": by, "reason": why})),
    })
}

/// Whether the message can be published again: it names the job, which is read anew. One that holds the job would say the
/// same as before (its status, too), and the values of its variables were not kept.
fn names_the_job(message: &[u8]) -> bool {
    SubmittedJob::parse(message).is_ok_and(|message| matches!(message.work, Work::Thin { .. }))
}

async fn retry(
    config: &Config,
    journal: &PgJournal,
    row: &ParkedRow,
    act: (&str, &str),
) -> Result<Exit, CliError> {
    if let Some(message) = &row.message {
        if !names_the_job(message) {
            say!(
                "{} cannot be graded again as it is ({}): have it submitted anew, then close this",
                row.id,
                row.reason
            );
            return Ok(Exit::No);
        }
        if row.closed.is_none() {
            let queue = parts::queue(config, "parked").await?;
            let outgoing = Outgoing {
                to: Destination::Lane(Lane::Submitted),
                message_id: format!("parked-{}-again", row.id),
                body: message.clone(),
                traceparent: None,
            };
            queue.publish(outgoing).await.map_err(CliError::trouble)?;
            queue.close().await;
        }
    }
    let ended = journal
        .close_parked(row.id, true, act)
        .await
        .map_err(CliError::trouble)?;
    told(row.id, "comes back", ended)
}

fn told(id: i64, what: &str, ended: bool) -> Result<Exit, CliError> {
    if ended {
        say!("{id} {what}");
        Ok(Exit::Good)
    } else {
        say!("{id} was ended before: `assay parked show {id}`");
        Ok(Exit::No)
    }
}
