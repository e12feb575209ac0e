//! `assay check`: runs one check on one job.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use super::{CliError, Exit, parts};
use crate::clock::Clock;
use crate::config::CommonArgs;
use crate::desk::read_job;
use crate::entry::escape_control;
use crate::evidence::{self, Network, Sources};
use crate::graders::rubric::{Judge, nothing_kept};
use crate::graders::{Context, JudgeSlots, Tools, build};
use crate::log::Log;
use crate::sandbox::{ModuleSource, Sandbox};
use crate::shutdown;
use crate::submission::Submission;
use crate::verdict::{ErrorKind, GradeError, Recourse, Verdict};

/// Flags of `assay check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay check graders/checks/csv-shape.wat tests/fixtures/csv/cleaned/job.json
  assay check graders/checks/word-count.py tests/fixtures/summary/good/job.json --param min=10
  assay check my.wasm job.json --attachments '*.csv' --param columns=3
  assay check my.wasm --inspect

Exit status: 0 pass, 1 fail, 2 the check or the job cannot be used, 3 our own trouble.")]
pub(super) struct CheckArgs {
    /// The check: .py, .js, .wat or .wasm
    file: PathBuf,
    /// The job's JSON file; its attachments may lie beside it
    #[arg(required_unless_present = "inspect")]
    job: Option<PathBuf>,
    /// A parameter of the check; the value is JSON where it can be read as such
    #[arg(long, value_name = "KEY=VALUE")]
    param: Vec<String>,
    /// Attachments whose bytes the check is given; `*` stands for any text
    #[arg(long, value_name = "NAME", default_value = "*")]
    attachments: Vec<String>,
    /// Fuel limit
    #[arg(long, value_name = "UNITS")]
    fuel: Option<u64>,
    /// Memory limit
    #[arg(long, value_name = "MIB")]
    memory_mib: Option<u64>,
    /// Say what the check is instead of running it: imports, exports, size, compile time
    #[arg(long)]
    inspect: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Longest wait for a check's answer: compiling a large one takes most of it.
const LONGEST: Duration = Duration::from_secs(180);

pub(super) async fn run(args: CheckArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let config = parts::config(common)?;
    let sandbox = parts::sandbox(&config)?;
    parts::tell_confinement(&sandbox).await?;
    if args.inspect {
        return inspect(&args, &sandbox).await;
    }
    let Some(job_path) = &args.job else {
        return Err(CliError::usage(anyhow!("which job? name its JSON file")));
    };
    let job = read_job(job_path).map_err(CliError::usage)?;
    // The same way as in a run: a plan with this one grader.
    let mut folders = parts::folders(&config);
    folders.checks = args.file.parent().unwrap_or(Path::new("")).to_owned();
    let plan = folders
        .load_inline(plan(&args)?)
        .map_err(|error| CliError::usage(anyhow!("{error}")))?;
    let clock = Clock::system();
    let submission = Submission::of(&job);
    let (log, mut reader) = Log::new(clock.clone(), submission.secrets.clone());
    let fixture = job_path.parent().map(|folder| {
        if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        }
    });
    let sources = Sources {
        fixture: fixture.map(Path::to_owned),
        network: Some(Network::default()),
        ..Sources::default()
    };
    let context = Context {
        log: log.clone(),
        clock,
        cancel: shutdown::token().map_err(CliError::trouble)?,
        deadline: Instant::now() + LONGEST,
        judge_slots: JudgeSlots::Unlimited,
    };
    let (cancel, deadline) = (context.cancel.clone(), context.deadline);
    let started = std::time::Instant::now();
    let grading = async {
        let submission = evidence::collect(submission, sources).await?;
        if let Some(fault) = submission.faults.first() {
            return Ok(Verdict::fail(format!("no check is asked: {fault}")));
        }
        let tools = Tools {
            sandbox,
            judge: Judge::none(),
            calls: nothing_kept(),
            reveal: true,
        };
        build(&plan.graders[0], &tools)?
            .grade(&submission, &context)
            .await
    };
    let result = tokio::select! {
        () = cancel.cancelled() => Err(GradeError::new(ErrorKind::Cancelled, "interrupted")),
        ended = timeout_at(deadline, grading) => ended.unwrap_or_else(|_| {
            Err(GradeError::new(ErrorKind::DeadlineExceeded, format!("no answer within {LONGEST:?}")))
        }),
    };
    let millis = started.elapsed().as_secs_f64() * 1e3;
    drop(context);
    let mut said = Vec::new();
    reader.close();
    while let Some(entry) = reader.recv().await {
        said.push(entry.content);
    }
    print(&args, cleaned(result, &log), &said, millis)
}

/// The same without the job's secrets and without what a terminal obeys.
fn cleaned(result: Result<Verdict, GradeError>, log: &Log) -> Result<Verdict, GradeError> {
    match result {
        Ok(mut verdict) => {
            verdict.reason = log.clean(&verdict.reason);
            for evidence in &mut verdict.evidence {
                evidence.text = log.clean(&evidence.text);
            }
            Ok(verdict)
        }
        Err(error) => Err(GradeError::new(error.kind, log.clean(&error.message))),
    }
}

fn plan(args: &CheckArgs) -> Result<Value, CliError> {
    let mut params = Map::new();
    for param in &args.param {
        let (key, text) = param
            .split_once('=')
            .ok_or_else(|| CliError::usage(anyhow!("--param {param}: expected KEY=VALUE")))?;
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        params.insert(key.to_owned(), value);
    }
    let name = args.file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| CliError::usage(anyhow!("{} is no file name", args.file.display())))?;
    let mut grader = Map::new();
    grader.insert("name".into(), "check".into());
    grader.insert("kind".into(), "check".into());
    grader.insert("script".into(), name.into());
    grader.insert("params".into(), Value::Object(params));
    grader.insert("attachments".into(), args.attachments.clone().into());
    for (key, value) in [("fuel", args.fuel), ("memory_mib", args.memory_mib)] {
        if let Some(value) = value {
            grader.insert(key.into(), value.into());
        }
    }
    Ok(json!({"graders": [grader]}))
}

fn print(
    args: &CheckArgs,
    result: Result<Verdict, GradeError>,
    notes: &[String],
    millis: f64,
) -> Result<Exit, CliError> {
    let exit = match &result {
        Ok(verdict) if verdict.passed => Exit::Good,
        Ok(_) => Exit::No,
        Err(error) if error.recourse() == Recourse::Transient => Exit::Trouble,
        Err(_) => Exit::Usage,
    };
    if args.json {
        let report = match &result {
            Ok(verdict) => json!({"verdict": verdict, "millis": millis}),
            Err(error) => json!({
                "error": {"kind": error.kind, "recourse": error.recourse(), "message": error.message},
                "millis": millis,
            }),
        };
        say!("{report:#}");
        return Ok(exit);
    }
    match result {
        Ok(verdict) => {
            let word = if verdict.passed { "pass" } else { "fail" };
            say!("{word}  score {}  {}", verdict.score, verdict.reason);
            for evidence in &verdict.evidence {
                say!("  {}: {}", evidence.label, evidence.text);
            }
            let provenance = verdict.provenance;
            say!(
                "  fuel {}, peak memory {} bytes, {millis:.1} ms in all, {}",
                provenance.fuel.unwrap_or_default(),
                provenance.peak_memory_bytes.unwrap_or_default(),
                provenance.engine.unwrap_or_default(),
            );
        }
        Err(error) => {
            for note in notes {
                say!("  {note}");
            }
            say!("error  {}: {}", error.kind, error.message);
        }
    }
    Ok(exit)
}

async fn inspect(args: &CheckArgs, sandbox: &Sandbox) -> Result<Exit, CliError> {
    let bytes = std::fs::read(&args.file)
        .with_context(|| format!("the check {} cannot be read", args.file.display()))
        .map_err(CliError::usage)?;
    let inspection = sandbox
        .inspect(&ModuleSource::new(bytes))
        .await
        .map_err(CliError::trouble)?;
    let exit = if inspection.refused.is_some() {
        Exit::Usage
    } else {
        Exit::Good
    };
    if args.json {
        let text = serde_json::to_string_pretty(&inspection).map_err(CliError::trouble)?;
        say!("{text}");
        return Ok(exit);
    }
    let list = |names: &[String]| {
        if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        }
    };
    say!("sha256   {}", inspection.digest);
    say!(
        "size     {} bytes, {} bytes of native code",
        inspection.size,
        inspection.native_bytes
    );
    say!("imports  {}", list(&inspection.imports));
    say!("exports  {}", list(&inspection.exports));
    let cached = if inspection.cached {
        " (found in the cache)"
    } else {
        ""
    };
    say!("compiled in {} ms{cached}", inspection.compile_millis);
    if let Some(refusal) = inspection.refused {
        say!("refused: {}", escape_control(&refusal.to_string()));
    }
    Ok(exit)
}
