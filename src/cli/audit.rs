//! `assay audit`: whether verifications, decisions and checkpoints are what was written.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use serde::Serialize;

use super::{CliError, Exit, parts};
use crate::audit::{Anchored, AuditReport, BundleError, audit, export, prove};
use crate::config::{CommonArgs, Config};
use crate::entry::VerificationId;
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
  assay audit export VERIFICATION -o bundle.json
  assay audit verify bundle.json --trust trust.toml

Every hash chain is computed again, every receipt checked against the trust file (ASSAY_TRUST) and against the rows, every
checkpoint against its signature, its predecessor, what it covers and, with ASSAY_ANCHOR, against the copy outside the
database. docs/audit.md says what that proves.

Exit status: 0 nothing found, 1 something found, 2 wrong use or configuration, 3 our own trouble.")]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    action: Option<Action>,
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

#[derive(Debug, Subcommand)]
enum Action {
    /// Write one verification as a file that proves itself
    Export {
        /// The verification's id
        verification: VerificationId,
        /// The file; it must not exist yet
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// One JSON object that says what was written
        #[arg(long)]
        json: bool,
    },
    /// Verify an exported file, with nothing but public keys
    Verify {
        /// The file
        file: PathBuf,
        /// The trust file with the public keys [default: that of settlement]
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Longest bundle that is read, in bytes.
const LONGEST_BUNDLE: u64 = 256 << 20;

/// Connections: two batches for each core are read side by side.
fn connections() -> u32 {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    u32::try_from(2 * cores + 2).unwrap_or(16).min(32)
}

pub(super) async fn run(args: AuditArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let config = parts::config(common)?;
    match args.action {
        Some(Action::Export {
            verification,
            output,
            json,
        }) => return export_to(&config, verification, &output, json).await,
        Some(Action::Verify { file, trust, json }) => {
            return verify(&file, &trust.unwrap_or(config.pool.trust), json);
        }
        None => {}
    }
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

/// What was exported, as JSON.
#[derive(Debug, Serialize)]
struct Exported<'a> {
    verification_id: VerificationId,
    file: &'a Path,
    outcome: &'a str,
    /// Whether the file holds a decision; a dispute that nobody published has none.
    decided: bool,
    /// The checkpoint that sealed it.
    checkpoint: Option<u64>,
    kids: &'a [String],
}

async fn export_to(config: &Config, id: VerificationId, output: &Path, json: bool) -> Result<Exit, CliError> {
    let journal = parts::pool_journal(config, 2).await?;
    journal.check_set_up().await.map_err(CliError::usage)?;
    let bundle = export(&journal, id).await.map_err(|error| match error {
        BundleError::Journal(error) => CliError::trouble(error),
        error => CliError::usage(error),
    })?;
    let text = serde_json::to_vec_pretty(&bundle).map_err(CliError::trouble)?;
    let written = File::create_new(output).and_then(|mut file| {
        file.write_all(&text)?;
        file.sync_all()
    });
    written.map_err(|error| {
        CliError::usage(anyhow::Error::from(error).context(format!("{} cannot be written", output.display())))
    })?;
    if json {
        let exported = Exported {
            verification_id: id,
            file: output,
            outcome: &bundle.outcome,
            decided: bundle.message.is_some(),
            checkpoint: bundle
                .inclusion
                .as_ref()
                .map(|inclusion| inclusion.checkpoint.number),
            kids: &bundle.kids,
        };
        say!("{}", serde_json::to_string(&exported).map_err(CliError::trouble)?);
    } else {
        say!(
            "wrote {}: verify it with `assay audit verify {0} --trust TRUST`",
            output.display()
        );
    }
    Ok(Exit::Good)
}

fn verify(path: &Path, trust: &Path, json: bool) -> Result<Exit, CliError> {
    let trust = TrustFile::read(trust).map_err(CliError::usage)?;
    let unreadable = |error: std::io::Error| {
        CliError::usage(anyhow::Error::from(error).context(format!("{} cannot be read", path.display())))
    };
    let mut text = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(LONGEST_BUNDLE)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    let proof = prove(&text, &trust);
    if json {
        let text = serde_json::to_string(&proof).map_err(CliError::trouble)?;
        say!("{text}");
    } else {
        // Where something is wrong, nothing else counts.
        let proven = if proof.holds() {
            proof.proven.as_slice()
        } else {
            &[]
        };
        for (word, lines) in [
            ("WRONG", proof.wrong.as_slice()),
            ("proven", proven),
            ("not proven", &proof.not_proven),
        ] {
            for line in lines {
                say!("{word}: {line}");
            }
        }
    }
    Ok(if proof.holds() { Exit::Good } else { Exit::No })
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
        plans,
        checkpoints,
        unsealed,
        unproven,
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
        "{verifications} verifications ({running} running), {entries} entries, {receipts} receipts, {plans} plans, \
         {checkpoints} checkpoints"
    );
    if *unsealed > 0 {
        say!("{unsealed} verifications stand in no checkpoint: does `assay work` run?");
    }
    if *unproven > 0 {
        say!(
            "not proven: verdicts, scores and thresholds of {unproven} decisions, erased from their logs before a checkpoint \
             had sealed them; their receipts are"
        );
    }
    match anchored {
        Anchored::At {
            place,
            through: 0,
            not_yet,
        } => say!("the anchor {place} holds nothing yet: {not_yet} checkpoints wait for `assay work`"),
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
