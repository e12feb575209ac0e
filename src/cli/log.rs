//! `assay log`: prints what was said of a job.

use std::io::Write as _;

use anyhow::anyhow;
use clap::Args;
use serde_json::json;

use super::{CliError, Exit, heard, parts};
use crate::config::CommonArgs;
use crate::entry::Audience;
use crate::job::JobId;
use crate::journal::{Journal as _, verify_chain};
use crate::report::print_log;

/// Flags of `assay log`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay log job_csv_cleaned            the latest verification of the job
  assay log job_csv_cleaned --all      every one
  assay log job_csv_cleaned --public   only what the submitter may read
  assay log job_csv_cleaned --json     one JSON object for each entry

Exit status: 0, 1 if a hash chain does not hold, 2 if the journal knows no such job.")]
pub(super) struct LogArgs {
    /// The job's id
    job: String,
    /// Every verification of the job, not only the latest
    #[arg(long)]
    all: bool,
    /// Only what the submitter may read
    #[arg(long)]
    public: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Job ids that are offered where the one asked for is unknown.
const OFFERED: u32 = 5;

pub(super) async fn run(args: LogArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let config = parts::config(common)?;
    let place = config.journal.display().to_string();
    if !config.journal.exists() {
        return Err(CliError::usage(anyhow!(
            "there is no journal {place} yet: `assay run` writes one"
        )));
    }
    let journal = parts::journal(&config).await?;
    let job_id = JobId::new(args.job);
    let verifications = journal.verifications(&job_id).await.map_err(CliError::trouble)?;
    if verifications.is_empty() {
        let known = journal.jobs(OFFERED).await.map_err(CliError::trouble)?;
        let known: Vec<_> = known.iter().map(JobId::as_str).collect();
        return Err(CliError::usage(anyhow!(
            "the journal {place} knows no job `{job_id}`; the latest it knows: {}",
            known.join(", ")
        )));
    }
    let skip = if args.all { 0 } else { verifications.len() - 1 };
    let mut exit = Exit::Good;
    let mut out = anstream::stdout();
    for verification in &verifications[skip..] {
        let entries = journal
            .entries(verification.id)
            .await
            .map_err(CliError::trouble)?;
        let chain = verify_chain(verification, &entries);
        if chain.is_err() {
            exit = Exit::No;
        }
        let shown: Vec<_> = entries
            .into_iter()
            .filter(|entry| !args.public || entry.entry.audience == Audience::Public)
            .collect();
        let written = if args.json {
            shown.iter().try_for_each(|entry| {
                let line = json!({
                    "id": entry.id, "job_id": entry.job_id, "type": entry.entry.kind,
                    "content": entry.entry.content, "created_at": entry.entry.created_at,
                    "verification_id": entry.verification_id, "seq": entry.seq,
                    "audience": entry.entry.audience, "hash": entry.hash,
                });
                writeln!(out, "{line}")
            })
        } else {
            let chain = match &chain {
                Ok(()) => "hash chain holds".to_owned(),
                Err(error) => format!("HASH CHAIN BROKEN: {error}"),
            };
            writeln!(
                out,
                "verification {} of {job_id}, attempt {}, plan `{}`, {}: {}; {chain}",
                verification.id,
                verification.attempt,
                verification.plan.name,
                verification.started_at,
                verification
                    .outcome
                    .as_deref()
                    .unwrap_or("under way, or its process died"),
            )
            .and_then(|()| print_log(&mut out, &shown))
        };
        heard(written)?;
    }
    Ok(exit)
}
