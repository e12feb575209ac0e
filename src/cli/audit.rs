//! `assay audit`: whether verifications, decisions and checkpoints are what was written.

use std::sync::Arc;

use anyhow::anyhow;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use super::{CliError, Exit, parts};
use crate::audit::{Anchored, AuditReport, audit};
use crate::config::CommonArgs;
use crate::job::JobId;
use crate::journal::Scope;
use crate::receipt::TrustFile;

/// Flags of `assay audit`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay audit job_9                          every verification of job_9, and the checkpoints that sealed them
  assay audit --all                          the whole database
  assay audit --since 2026-11-01T00:00:00Z   what began since then
  assay audit --all --json | jq .findings

Every hash chain is computed again, every receipt checked against the trust file (ASSAY_TRUST) and against the rows, every
checkpoint against its signature, its predecessor, what it covers and, with ASSAY_ANCHOR, against the copy outside the
database. docs/audit.md says what that proves.

Exit status: 0 nothing found, 1 something found, 2 wrong use or configuration, 3 our own trouble.")]
pub(super) struct AuditArgs {
    /// The job's id
    #[arg(required_unless_present_any = ["all", "since"], conflicts_with_all = ["all", "since"])]
    job: Option<String>,
    /// Every verification there is
    #[arg(long, conflicts_with = "since")]
    all: bool,
    /// Those that began since this time
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Connections: two batches for each core are read side by side.
fn connections() -> u32 {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    u32::try_from(2 * cores + 2).unwrap_or(16).min(32)
}

pub(super) async fn run(args: AuditArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let config = parts::config(common)?;
    let trust = Arc::new(TrustFile::read(&config.pool.trust).map_err(CliError::usage)?);
    let anchor = parts::anchor(&config)?;
    let journal = parts::pool_journal(&config, connections()).await?;
    journal.check_set_up().await.map_err(CliError::usage)?;
    let scope = match (args.job, args.since) {
        (Some(job), _) => Scope::Job(JobId::new(job)),
        (None, Some(since)) => Scope::Since(since),
        (None, None) => Scope::All,
    };
    let bar = progress_bar();
    let audited = audit(&journal, &trust, anchor.as_ref(), &scope, |progress| {
        bar.set_length(progress.all);
        bar.set_position(progress.done);
    })
    .await;
    bar.finish_and_clear();
    let report = audited.map_err(CliError::trouble)?;
    if let Scope::Job(job) = &scope
        && report.verifications == 0
        && report.found == 0
    {
        return Err(CliError::usage(anyhow!(
            "the log in {} knows no job `{job}`",
            journal.place()
        )));
    }
    if args.json {
        let text = serde_json::to_string(&report).map_err(CliError::trouble)?;
        say!("{text}");
    } else {
        print(&report)?;
    }
    journal.close().await;
    Ok(if report.found == 0 { Exit::Good } else { Exit::No })
}

/// A bar on a terminal, nothing in a pipe.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} verifications, {eta} left");
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    style.map_or_else(|_| ProgressBar::hidden(), |style| bar.with_style(style))
}

fn print(report: &AuditReport) -> Result<(), CliError> {
    let AuditReport {
        verifications,
        running,
        entries,
        receipts,
        checkpoints,
        unsealed,
        anchored,
        erasures,
        findings,
        found,
    } = report;
    if !findings.is_empty() {
        let shown = findings.iter().map(|finding| {
            [
                finding.job_id.clone().unwrap_or_else(|| "-".to_owned()),
                finding
                    .verification_id
                    .map_or_else(|| "-".to_owned(), |id| id.to_string()),
                finding.what.to_string(),
                finding.place.clone(),
                finding.detail.clone(),
            ]
        });
        let heading = ["JOB", "VERIFICATION", "WHAT", "WHERE", "DETAIL"].map(str::to_owned);
        for line in table(std::iter::once(heading).chain(shown).collect()) {
            say!("{line}");
        }
        say!("");
        let mut told = Vec::new();
        for what in findings.iter().map(|finding| finding.what) {
            if !told.contains(&what) {
                say!("{what}: {}", what.next());
                told.push(what);
            }
        }
        say!("");
    }
    for erasure in erasures {
        let attempt = erasure
            .attempt
            .map_or_else(String::new, |attempt| format!(", attempt {attempt}"));
        say!(
            "erased: {}{attempt} by {} (role {}) at {}, because: {}",
            erasure.job_id,
            erasure.by,
            erasure.role,
            erasure.at,
            erasure.reason
        );
    }
    say!(
        "{verifications} verifications ({running} running), {entries} entries, {receipts} receipts, {checkpoints} checkpoints"
    );
    if *unsealed > 0 {
        say!("{unsealed} verifications stand in no checkpoint: does `assay work` run?");
    }
    match anchored {
        Anchored::Unanchored => say!(
            "unanchored: whoever owns the database could have removed the latest checkpoints with all they covered; set ASSAY_ANCHOR"
        ),
        Anchored::At {
            place,
            through,
            not_yet,
        } => say!("anchored at {place} through checkpoint {through}, {not_yet} not yet"),
    }
    match found {
        0 => say!("nothing found: all of it is what was written"),
        1 => say!("1 FINDING"),
        found => say!("{found} FINDINGS"),
    }
    Ok(())
}

/// Columns as wide as their widest cell, but for the last.
fn table(rows: Vec<[String; 5]>) -> Vec<String> {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2), width(3)];
    let line = |row: &[String; 5]| {
        let [job, verification, what, place, detail] = row;
        format!(
            "{job:0$}  {verification:1$}  {what:2$}  {place:3$}  {detail}",
            widths[0], widths[1], widths[2], widths[3]
        )
    };
    rows.iter().map(line).collect()
}
