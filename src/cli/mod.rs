//! The command line: one file for each command, each thin.

/// Prints a line to standard output, as [`heard`] has it. Only where a `Result<_, CliError>` is returned.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::cli::heard(std::io::Write::write_fmt(
            &mut anstream::stdout(),
            format_args!("{}\n", format_args!($($text)*)),
        ))?
    };
}

mod attack;
mod audit;
mod calibrate;
mod check;
mod diff;
mod doctor;
mod erase;
mod follow;
mod health;
mod keys;
mod log;
mod network;
mod new;
mod parked;
mod parts;
mod pause;
mod plan;
mod probes;
mod reverify;
mod rounds;
mod run;
mod schema;
mod settle;
mod setup;
mod submit;
mod work;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::causes::in_full;
use crate::config::CommonArgs;
use crate::telemetry::{self, TraceSettings};

/// How a command ended; the exit codes of DESIGN.md section 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: good.
    Good,
    /// 1: the answer is no.
    No,
    /// 2: wrong use or configuration.
    Usage,
    /// 3: our own trouble.
    Trouble,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Good => 0,
            Exit::No => 1,
            Exit::Usage => 2,
            Exit::Trouble => 3,
        })
    }
}

/// An error with the exit code that it deserves.
#[derive(Debug)]
pub struct CliError {
    exit: Exit,
    error: anyhow::Error,
}

impl CliError {
    /// Wrong use or configuration.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Usage,
            error: error.into(),
        }
    }

    /// Our own trouble.
    pub fn trouble(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Trouble,
            error: error.into(),
        }
    }
}

/// Verifies the work that agents hand in: diff, sandboxed checks and an LLM rubric, with a log of every step.
#[derive(Debug, Parser)]
#[command(name = "assay", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: CommonArgs,
    /// What to trace to standard error, e.g. `info` or `assay=debug`
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        default_value = telemetry::DEFAULT_LEVEL,
        env = "ASSAY_LOG"
    )]
    trace: String,
    /// How it is traced: text, or json lines for collectors
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        env = "ASSAY_LOG_FORMAT"
    )]
    trace_format: telemetry::Format,
    /// The collector that spans are sent to, e.g. `http://127.0.0.1:4318`
    #[cfg(feature = "otel")]
    #[arg(long, global = true, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
}

impl Cli {
    fn traces(&self) -> TraceSettings {
        TraceSettings {
            level: self.trace.clone(),
            format: self.trace_format,
            #[cfg(feature = "otel")]
            otlp_endpoint: self.otlp_endpoint.clone(),
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  assay run                                verify every fixture below tests/fixtures
  assay run tests/fixtures/csv -v          one folder, with graders and log
  assay check graders/checks/csv-shape.wat tests/fixtures/csv/cleaned/job.json
  assay diff --compare tokens expected.txt actual.txt
  assay plan check                         lint every plan
  assay new check my-check                 a check, a plan and two fixtures to start from
  assay log job_csv_cleaned                what was said of a job

Exit status: 0 good, 1 the answer is no, 2 wrong use or configuration, 3 our own trouble.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Verify fixture jobs and compare with what they expect
    Run(run::RunArgs),
    /// Compare two files as the diff grader does
    Diff(diff::DiffArgs),
    /// Run one check on one job
    Check(check::CheckArgs),
    /// Lint plans, or show one resolved
    Plan(plan::PlanArgs),
    /// Measure a plan's judge against labelled cases, and bless it or refuse
    Calibrate(calibrate::CalibrateArgs),
    /// Measure how often a plan's judge can be talked round
    Attack(attack::AttackArgs),
    /// Write a working start: a check, a plan or a fixture
    New(new::NewArgs),
    /// Print the JSON Schema of a job, a message, a plan or a report
    Schema(schema::SchemaArgs),
    /// Print the verification log of a job
    Log(log::LogArgs),
    /// Make what the pool needs in broker and database
    Setup(setup::SetupArgs),
    /// Check everything that the pool needs, and say what to do about what is wrong
    Doctor(doctor::DoctorArgs),
    /// Take submitted jobs, grade them, publish what was decided
    Work(work::WorkArgs),
    /// Ask the worker on this machine how it is
    Health(health::HealthArgs),
    /// Submit jobs
    Submit(submit::SubmitArgs),
    /// Show and end what was set aside for a person
    Parked(parked::ParkedArgs),
    /// Make, list and revoke the keys that sign receipts
    Keys(keys::KeysArgs),
    /// Apply outcomes: pay, count attempts; show and end what was not applied
    Settle(settle::SettleArgs),
    /// Judge again what was decided: one job in dispute, or many
    Reverify(reverify::ReverifyArgs),
    /// Let verified outcomes wait
    Pause(pause::PauseArgs),
    /// End a pause
    Resume(pause::PauseArgs),
    /// Find out whether verifications, decisions and checkpoints are what was written; export and verify one
    Audit(audit::AuditArgs),
    /// Remove the content of a job for good, on a lawful request
    Erase(erase::EraseArgs),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors: clap prints them to standard output and says 0.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Good.into()
            };
        }
    };
    let traces = cli.traces();
    let ended = match telemetry::start(&traces) {
        Ok(_until_the_command_has_ended) => dispatch(cli),
        Err(error) => Err(CliError::usage(error)),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(CliError { exit, error }) => {
            let told = in_full(error.as_ref());
            match traces.format {
                telemetry::Format::Text => {
                    let _ = writeln!(anstream::stderr(), "assay: {told}");
                }
                telemetry::Format::Json => tracing::error!("{told}"),
            }
            exit.into()
        }
    }
}

fn dispatch(cli: Cli) -> Result<Exit, CliError> {
    if let Command::Diff(args) = &cli.command {
        // As diff(1): any trouble is 2.
        let same = diff::run(args).map_err(CliError::usage)?;
        return Ok(if same { Exit::Good } else { Exit::No });
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::trouble(anyhow::Error::from(error).context("no runtime")))?;
    let common = cli.common;
    runtime.block_on(async move {
        match cli.command {
            Command::Run(args) => run::run(args, &common).await,
            Command::Check(args) => check::run(args, &common).await,
            Command::Plan(args) => plan::run(&args, &common),
            Command::Calibrate(args) => calibrate::run(args, &common).await,
            Command::Attack(args) => attack::run(args, &common).await,
            Command::Schema(args) => schema::run(&args),
            Command::New(args) => new::run(args, &common),
            Command::Log(args) => log::run(args, &common).await,
            Command::Setup(args) => setup::run(args, &common).await,
            Command::Doctor(args) => doctor::run(args, &common).await,
            Command::Health(args) => health::run(args, &common).await,
            Command::Work(args) => work::run(args, &common).await,
            Command::Submit(args) => submit::run(args, &common).await,
            Command::Parked(args) => parked::run(args, &common).await,
            Command::Keys(args) => keys::run(args, &common),
            Command::Settle(args) => settle::run(args, &common).await,
            Command::Reverify(args) => reverify::run(args, &common).await,
            Command::Pause(args) => pause::run(args, true, &common).await,
            Command::Resume(args) => pause::run(args, false, &common).await,
            Command::Audit(args) => audit::run(args, &common).await,
            Command::Erase(args) => erase::run(args, &common).await,
            Command::Diff(_) => Ok(Exit::Good),
        }
    })
}

/// What became of a write to standard output. Whoever reads it may stop (`assay run | head`): that changes neither the work
/// nor the exit status.
fn heard(written: std::io::Result<()>) -> Result<(), CliError> {
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CliError::trouble(
            anyhow::Error::from(error).context("standard output cannot be written"),
        )),
        Err(_) | Ok(()) => Ok(()),
    }
}
