//! `assay erase`: removes the content of a job for good.

use std::io::{IsTerminal as _, Write as _};

use anyhow::anyhow;
use clap::Args;
use serde::Serialize;

use super::pause::ByArg;
use super::{CliError, Exit, parts};
use crate::config::CommonArgs;
use crate::job::JobId;
use crate::journal::{Erasable, EraseError, Erased, PgJournal, SharedPlan};
use crate::keeping::delete_doomed;

/// Flags of `assay erase`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay erase job_9 --reason \"request of 2026-11-20, ticket 4711\"
  assay erase job_9 --attempt 0 --reason \"request of the submitter\" --yes
  assay erase job_9 --reason \"ticket 4711\" --yes --json | jq .not_reached

Removes texts: of the log's entries, of the kept message and of what was parked, of graders' reasons, of errors, of judges'
prompts and answers, a plan that the sender wrote himself, and the kept files. Digests, hashes, scores, outcomes and
receipts stay, with names of graders, so that chains still hold: `assay audit` passes, and says what was erased, by whom and
why. What was parked is closed. Refused while a worker or `assay reverify` is at it. Needs the URL of the tables' owner. The last lines say what is
not reached. There is no way back.

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
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    by: ByArg,
}

/// Where content of the job may still be, whatever the database says.
const NOT_REACHED: [&str; 4] = [
    "backups and replicas of the database, versions and backups of the evidence store",
    "the broker's queues: a copy that was published before may be delivered once more",
    "what the marketplace keeps, and whoever received outcomes from the exchange",
    "exported bundles; the anchor holds digests only, and keeps them",
];

/// What an erasure came to.
#[derive(Debug, Serialize)]
struct Report {
    job_id: JobId,
    attempt: Option<u32>,
    #[serde(flatten)]
    erased: Erased,
    /// Blobs deleted from the evidence store; none where no store is configured here.
    deleted: Option<u64>,
    /// Senders' own plans that stay, since they judged others.
    shared_plans: Vec<SharedPlan>,
    not_reached: Vec<String>,
}

pub(super) async fn run(args: EraseArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let config = parts::config(common)?;
    let store = parts::evidence_store(&config)?;
    let journal = parts::pool_journal(&config, 2).await?;
    journal.check_set_up().await.map_err(CliError::usage)?;
    let job_id = JobId::new(args.job);
    let found = journal.erasable(&job_id, args.attempt).await;
    let found = found.map_err(CliError::trouble)?;
    if found.is_empty() {
        let which = args
            .attempt
            .map_or_else(String::new, |attempt| format!("attempt {attempt} of "));
        return Err(CliError::usage(anyhow!(
            "{} holds nothing of {which}the job `{job_id}`",
            journal.place()
        )));
    }
    if !args.yes && !confirmed(&job_id, found)? {
        return Ok(Exit::No);
    }
    let erasing = journal.erase(&job_id, args.attempt, (&args.by.name, &args.reason));
    let erased = erasing.await.map_err(|error| match error {
        EraseError::UnderWay(_) | EraseError::InDispute { .. } | EraseError::NotAllowed => {
            CliError::usage(error)
        }
        EraseError::Journal(error) => CliError::trouble(error),
    })?;
    let deleted = match &store {
        Some(store) => Some(
            delete_doomed(&journal, store)
                .await
                .map_err(|error| CliError::trouble(anyhow::Error::from(error).context(STORED)))?,
        ),
        None => None,
    };
    let shared = journal.shared_plans(&job_id, args.attempt).await;
    let shared_plans = shared.map_err(CliError::trouble)?;
    let report = Report {
        not_reached: not_reached(&journal, &erased, &shared_plans, store.is_some()).await?,
        job_id,
        attempt: args.attempt,
        erased,
        deleted,
        shared_plans,
    };
    if args.json {
        say!("{}", serde_json::to_string(&report).map_err(CliError::trouble)?);
    } else {
        print(&report, store.as_ref().map(|store| store.place()))?;
    }
    Ok(Exit::Good)
}

const STORED: &str =
    "the database's rows are erased, but not every file is: run the same again, or leave it to a worker";

async fn not_reached(
    journal: &PgJournal,
    erased: &Erased,
    shared: &[SharedPlan],
    has_store: bool,
) -> Result<Vec<String>, CliError> {
    let mut left: Vec<_> = shared
        .iter()
        .map(|shared| {
            format!(
                "the sender's own plan {}: it judged {} verifications that were not erased, the first of attempt {} of {}",
                shared.plan, shared.verifications, shared.attempt, shared.job_id
            )
        })
        .collect();
    if !has_store && erased.files > 0 {
        left.push(
            "the files: no evidence store is configured here; a worker that has one deletes them within the hour"
                .to_owned(),
        );
    }
    let unread = journal.parked_of_nobody().await.map_err(CliError::trouble)?;
    if let (Some(first), count) = (unread.first(), unread.len()) {
        left.push(format!(
            "{count} parked messages that nobody could read, so whose they are is not known: `assay parked show {first}`"
        ));
    }
    left.extend(NOT_REACHED.map(String::from));
    Ok(left)
}

fn print(report: &Report, store: Option<&str>) -> Result<(), CliError> {
    let Erased {
        verifications,
        entries,
        files,
        plans,
    } = &report.erased;
    say!("erased: {entries} entries of {verifications} verifications; {files} files are to go");
    for plan in plans {
        say!("erased: the sender's own plan {plan}, which judged nobody else");
    }
    if let (Some(deleted), Some(place)) = (report.deleted, store) {
        say!("deleted {deleted} blobs from {place}; bytes that other verifications need stay");
    }
    for left in &report.not_reached {
        say!("not reached: {left}");
    }
    Ok(())
}

fn confirmed(job_id: &JobId, found: Erasable) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::usage(anyhow!(
            "nothing is erased without a confirmation: add --yes"
        )));
    }
    let Erasable {
        verifications,
        hand_ins,
        parked,
        exceptions,
    } = found;
    // Not to standard output, which may be read by a program.
    let mut err = anstream::stderr();
    let mut answer = String::new();
    writeln!(
        err,
        "This removes the content of {verifications} verifications, {hand_ins} hand-ins, {parked} parked messages and \
         {exceptions} exceptions of {job_id} for good. Type the job's id to go on:"
    )
    .and_then(|()| std::io::stdin().read_line(&mut answer))
    .map_err(CliError::trouble)?;
    Ok(answer.trim() == job_id.as_str())
}
