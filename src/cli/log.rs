//! `assay log`: prints what was said of a job.

use std::io::{self, Write};

use anyhow::anyhow;
use clap::Args;
use serde_json::json;

use super::follow::{Followed, follow};
use super::{CliError, Exit, heard, parts};
use crate::config::{CommonArgs, Config, Settlement};
use crate::entry::{Audience, LogEntry};
use crate::job::JobId;
use crate::journal::{Journal, PgJournal, SqliteJournal, VerificationRow, verify_chain};
use crate::report::print_log;
use crate::shutdown;

/// Flags of `assay log`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay log job_csv_cleaned            the latest verification of the job
  assay log job_csv_cleaned --all      every one
  assay log job_csv_cleaned --public   only what the submitter may read
  assay log job_csv_cleaned --json     one JSON object for each entry
  assay log job_9 --follow             as it happens, until the job is decided, parked or closed

Which log: that of the desk's runs where --journal or ASSAY_JOURNAL names its file; else the pool's where
ASSAY_DATABASE_URL (pool.database_url) is set; else the desk's.
--follow waits for a job that is not there yet. It goes on over takeovers and later runs, and ends with what the job came
to; with --json that is one more object, with the key `ended`.

Exit status: 0, also after Ctrl-C; 1 if a hash chain does not hold; 2 if the log knows no such job; 3 our own trouble.")]
pub(super) struct LogArgs {
    /// The job's id
    job: String,
    /// Every verification of the job, not only the latest
    #[arg(long)]
    all: bool,
    /// Print entries as they are committed, until the job has ended
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    view: View,
}

/// How entries are shown.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct View {
    /// Only what the submitter may read
    #[arg(long)]
    public: bool,
    /// One JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

/// Where the log is read.
pub(super) enum Source {
    Desk(SqliteJournal),
    Pool(PgJournal),
}

impl Source {
    pub(super) fn journal(&self) -> &dyn Journal {
        match self {
            Self::Desk(journal) => journal,
            Self::Pool(journal) => journal,
        }
    }
}

/// Job ids that are offered where the one asked for is unknown.
const OFFERED: u32 = 5;

pub(super) async fn run(args: LogArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let config = parts::config(common)?;
    let (source, place) = open(&config, common).await?;
    let job_id = JobId::new(args.job);
    if args.follow {
        let followed = Followed {
            source,
            job_id,
            all: args.all,
            view: args.view,
            settles: config.pool.settlement == Settlement::Assay,
        };
        let stop = shutdown::token().map_err(CliError::trouble)?;
        return follow(followed, &place, &stop).await;
    }
    let journal = source.journal();
    let verifications = journal.verifications(&job_id).await.map_err(CliError::trouble)?;
    if verifications.is_empty() {
        return Err(unknown(&source, &place, &job_id).await?);
    }
    let skip = if args.all { 0 } else { verifications.len() - 1 };
    let mut exit = Exit::Good;
    let mut out = anstream::stdout();
    for verification in &verifications[skip..] {
        let entries = journal
            .entries(verification.id)
            .await
            .map_err(CliError::trouble)?;
        let (chain, words) = chain_words(verification, &entries);
        if !chain {
            exit = Exit::No;
        }
        let head = format!(
            "{}: {}; {words}",
            title(verification),
            verification
                .outcome
                .as_deref()
                .unwrap_or("under way, or its process died"),
        );
        let written = args.view.head(&mut out, &head);
        heard(written.and_then(|()| args.view.entries(&mut out, entries)))?;
    }
    Ok(exit)
}

/// The log that is meant, and where it is.
async fn open(config: &Config, common: &CommonArgs) -> Result<(Source, String), CliError> {
    let named = common.journal.is_some();
    if !named && config.pool.database_url.is_some() {
        let journal = parts::pool_journal(config, 2).await?;
        journal.check_set_up().await.map_err(CliError::usage)?;
        let place = journal.place().to_owned();
        return Ok((Source::Pool(journal), place));
    }
    let place = config.journal.display().to_string();
    if !config.journal.exists() {
        let pool = if named {
            ""
        } else {
            ", and ASSAY_DATABASE_URL, with which the pool's is read, is not set"
        };
        return Err(CliError::usage(anyhow!(
            "there is no journal {place} yet: `assay run` writes one{pool}"
        )));
    }
    Ok((Source::Desk(parts::journal(config).await?), place))
}

/// What to say of a job without a verification: in the pool it may be parked all the same.
async fn unknown(source: &Source, place: &str, job_id: &JobId) -> Result<CliError, CliError> {
    if let Source::Pool(journal) = source
        && let Some(progress) = journal.progress(job_id).await.map_err(CliError::trouble)?
    {
        return Ok(CliError::usage(anyhow!(
            "nothing was graded of the job `{job_id}`: {}",
            super::follow::stage_words(&progress.stage)
        )));
    }
    let known = source.journal().jobs(OFFERED).await.map_err(CliError::trouble)?;
    let known: Vec<_> = known.iter().map(JobId::as_str).collect();
    Ok(CliError::usage(anyhow!(
        "the journal {place} knows no job `{job_id}`; the latest it knows: {}",
        if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        }
    )))
}

/// What a verification is about.
pub(super) fn title(verification: &VerificationRow) -> String {
    format!(
        "verification {} of {}, attempt {}, plan `{}`, {}",
        verification.id,
        verification.job_id,
        verification.attempt,
        verification.plan.name,
        verification.started_at,
    )
}

/// Whether the chain holds, and in words.
pub(super) fn chain_words(verification: &VerificationRow, entries: &[LogEntry]) -> (bool, String) {
    match verify_chain(verification, entries) {
        Ok(()) => (true, "hash chain holds".to_owned()),
        Err(error) => (false, format!("HASH CHAIN BROKEN: {error}")),
    }
}

impl View {
    /// A line that is no entry: for people only.
    pub(super) fn head(self, out: &mut impl Write, line: &str) -> io::Result<()> {
        if self.json {
            Ok(())
        } else {
            writeln!(out, "{line}")
        }
    }

    /// Entries, as far as they are to be seen.
    pub(super) fn entries(self, out: &mut impl Write, mut entries: Vec<LogEntry>) -> io::Result<()> {
        entries.retain(|entry| !self.public || entry.entry.audience == Audience::Public);
        if !self.json {
            return print_log(out, &entries);
        }
        entries.iter().try_for_each(|entry| {
            let line = json!({
                "id": entry.id, "job_id": entry.job_id, "type": entry.entry.kind,
                "content": entry.entry.content, "created_at": entry.entry.created_at,
                "verification_id": entry.verification_id, "seq": entry.seq,
                "audience": entry.entry.audience, "hash": entry.hash,
            });
            writeln!(out, "{line}")
        })
    }
}
