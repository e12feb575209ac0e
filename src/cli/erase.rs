//! `assay erase`: removes the content of a job for good.

use std::io::IsTerminal as _;

use anyhow::anyhow;
use clap::Args;

use super::pause::ByArg;
use super::{CliError, Exit, parts};
use crate::config::CommonArgs;
use crate::job::JobId;
use crate::journal::{EraseError, Journal as _};
use crate::keeping::delete_doomed;

/// Flags of `assay erase`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay erase job_9 --reason \"request of 2026-11-20, ticket 4711\"
  assay erase job_9 --attempt 0 --reason \"request of the submitter\" --yes

Removes texts: of the log's entries, of the kept message, of graders' reasons, of errors, of judges' prompts and answers, and
the kept files. Digests, hashes, scores, outcomes and receipts stay, so that chains still hold: `assay audit` passes, and
says what was erased, by whom and why. Needs the URL of the tables' owner. What the marketplace, the broker, backups
and an exported bundle hold is not touched. There is no way back.

Exit status: 0 erased, 1 not confirmed, 2 wrong use or no such job, 3 our own trouble.")]
pub(super) struct EraseArgs {
    /// The job's id
    job: String,
    /// Only this attempt
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Why; kept for good, so name no person
    #[arg(long)]
    reason: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    by: ByArg,
}

pub(super) async fn run(args: EraseArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let config = parts::config(common)?;
    let store = parts::evidence_store(&config)?;
    let journal = parts::pool_journal(&config, 2).await?;
    journal.check_set_up().await.map_err(CliError::usage)?;
    let job_id = JobId::new(args.job);
    let verifications = journal.verifications(&job_id).await.map_err(CliError::trouble)?;
    let concerned = verifications
        .iter()
        .filter(|row| args.attempt.is_none_or(|attempt| row.attempt == attempt));
    let count = concerned.count();
    if count == 0 {
        let which = args
            .attempt
            .map_or_else(String::new, |attempt| format!(" of attempt {attempt}"));
        return Err(CliError::usage(anyhow!(
            "the log in {} has no verification{which} of the job `{job_id}`",
            journal.place()
        )));
    }
    if !args.yes && !confirmed(&job_id, count)? {
        return Ok(Exit::No);
    }
    let erased = journal
        .erase(&job_id, args.attempt, (&args.by.name, &args.reason))
        .await
        .map_err(|error| match error {
            EraseError::UnderWay(_) | EraseError::NotAllowed => CliError::usage(error),
            EraseError::Journal(error) => CliError::trouble(error),
        })?;
    say!(
        "erased: {} entries of {} verifications; {} files are to go",
        erased.entries,
        erased.verifications,
        erased.files
    );
    match store {
        Some(store) => {
            let deleted = delete_doomed(&journal, &store).await.map_err(CliError::trouble)?;
            say!("deleted {deleted} blobs from {}", store.place());
        }
        None if erased.files > 0 => {
            say!(
                "no evidence store is configured here: the worker that has one deletes them within the hour"
            );
        }
        None => {}
    }
    Ok(Exit::Good)
}

fn confirmed(job_id: &JobId, verifications: usize) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::usage(anyhow!(
            "nothing is erased without a confirmation: add --yes"
        )));
    }
    say!(
        "This removes the content of {verifications} verifications of {job_id} for good. Type the job's id to go on:"
    );
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(CliError::trouble)?;
    Ok(answer.trim() == job_id.as_str())
}
