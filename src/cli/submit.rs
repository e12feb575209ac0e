//! `assay submit`: publishes submitted-job messages.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use futures_util::stream::{self, StreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{CliError, Exit, parts};
use crate::clock::Clock;
use crate::config::CommonArgs;
use crate::desk::{Template, discover, read_job};
use crate::job::{Job, JobId};
use crate::message::{MAX_MESSAGE_BYTES, PlanChoice, SubmittedJob, Work};
use crate::queue::{Destination, Lane, Outgoing, QueueError};

/// Messages whose confirmations are awaited at a time.
const IN_FLIGHT: usize = 256;

/// What every user of the demonstration begins with, in cents.
const STARTING_CENTS: i64 = 1_000_000;

/// Flags of `assay submit`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay submit job.json --plan csv-cleaned
  assay submit --from-fixtures tests/fixtures                  each fixture once, with its plan
  assay submit --from-fixtures tests/fixtures --count 1000 --insert
                                          a thousand jobs, also put into the demonstration's marketplace

Exit status: 0 all confirmed by the broker, 2 a file is wrong, 3 the broker refuses.")]
pub(super) struct SubmitArgs {
    /// Jobs as JSON files
    #[arg(value_name = "JOB.json", required_unless_present = "from_fixtures")]
    jobs: Vec<PathBuf>,
    /// The plan that judges them [default: the pool's default plan]
    #[arg(long, value_name = "NAME", conflicts_with = "from_fixtures")]
    plan: Option<String>,
    /// Submits the fixtures below this folder, each with its plan and an id of its own
    #[arg(long, value_name = "DIR", conflicts_with = "jobs")]
    from_fixtures: Option<PathBuf>,
    /// How many, taking the fixtures in turn [default: each once]
    #[arg(long, requires = "from_fixtures")]
    count: Option<NonZeroUsize>,
    /// What the ids of submitted fixtures begin with [default: a random text]
    #[arg(long, value_name = "TEXT", requires = "from_fixtures")]
    prefix: Option<String>,
    /// Puts jobs and users into the demonstration's marketplace first (`assay setup --demo-marketplace`)
    #[arg(long)]
    insert: bool,
    /// One JSON object a line: job, attempt, plan
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: SubmitArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let config = parts::config(common)?;
    let submissions = match &args.from_fixtures {
        Some(folder) => fixtures(folder, &args)?,
        None => jobs(&args)?,
    };
    // All of them before the first is published or inserted.
    let bodies: Vec<_> = submissions
        .iter()
        .map(|(message, job)| body(message, job))
        .collect::<Result<_, _>>()?;
    if args.insert {
        let market = parts::market(&config).await?;
        let jobs: Vec<Job> = submissions.iter().map(|(_, job)| job.clone()).collect();
        market
            .insert_demo(&jobs, STARTING_CENTS)
            .await
            .map_err(CliError::trouble)?;
    }
    let queue = parts::queue(&config, "submit").await?;
    let progress = progress(submissions.len(), args.json);
    let publishing = submissions.iter().zip(bodies).map(|((_, job), body)| {
        let (queue, progress) = (&queue, &progress);
        async move {
            queue
                .publish(Outgoing {
                    to: Destination::Lane(Lane::Submitted),
                    message_id: format!("{}:{}", job.id, job.attempt_count),
                    body,
                    traceparent: None,
                })
                .await?;
            progress.inc(1);
            Ok::<_, QueueError>(())
        }
    });
    let mut published = stream::iter(publishing).buffer_unordered(IN_FLIGHT);
    let mut count = 0_usize;
    while let Some(confirmed) = published.next().await {
        confirmed.map_err(CliError::trouble)?;
        count += 1;
    }
    progress.finish_and_clear();
    drop(published);
    queue.close().await;
    if args.json {
        for (message, job) in &submissions {
            let plan = match &message.plan {
                Some(PlanChoice::Named(name)) => json!(name),
                Some(PlanChoice::Inline(_)) => json!("inline"),
                None => json!(null),
            };
            say!(
                "{}",
                json!({"job_id": job.id, "attempt": job.attempt_count, "plan": plan})
            );
        }
    } else {
        say!(
            "{count} submitted; what becomes of one: assay log {} --follow",
            submissions[0].1.id
        );
    }
    Ok(Exit::Good)
}

/// The message as it is published.
fn body(message: &SubmittedJob, job: &Job) -> Result<Vec<u8>, CliError> {
    let body = message
        .to_json()
        .map_err(|error| CliError::usage(anyhow!(error)))?;
    if body.len() > MAX_MESSAGE_BYTES {
        return Err(CliError::usage(anyhow!(
            "the job {} has {} bytes as a message, at most {MAX_MESSAGE_BYTES} are allowed: give files as URLs, \
             or publish its id alone (`assay schema message`); nothing was submitted",
            job.id,
            body.len()
        )));
    }
    Ok(body)
}

fn progress(count: usize, hidden: bool) -> ProgressBar {
    if hidden {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("submitting {bar:40} {pos}/{len} {per_sec}");
    ProgressBar::new(count as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

type Submission = (SubmittedJob, Job);

fn jobs(args: &SubmitArgs) -> Result<Vec<Submission>, CliError> {
    let jobs = args.jobs.iter().map(|path| {
        let job = read_job(path).map_err(CliError::usage)?;
        let message = SubmittedJob {
            work: Work::Whole(Box::new(job.clone())),
            plan: args.plan.clone().map(PlanChoice::Named),
        };
        Ok((message, job))
    });
    jobs.collect()
}

fn fixtures(folder: &Path, args: &SubmitArgs) -> Result<Vec<Submission>, CliError> {
    let found = discover(&[folder.to_owned()]).map_err(CliError::usage)?;
    if found.is_empty() {
        return Err(CliError::usage(anyhow!(
            "there are no fixtures below {}",
            folder.display()
        )));
    }
    let templates: Result<Vec<_>, _> = found
        .iter()
        .map(|(name, folder)| Ok((name.replace(['/', ' '], "_"), Template::load(folder)?)))
        .collect();
    let templates = templates.map_err(|error: crate::desk::FixtureError| CliError::usage(error))?;
    let random = format!("{:06x}", rand::random::<u32>() & 0xff_ffff);
    let prefix = args.prefix.as_deref().unwrap_or(&random);
    let count = args.count.map_or(templates.len(), NonZeroUsize::get);
    let now = Clock::system().now();
    let submissions = templates.iter().cycle().take(count).enumerate();
    Ok(submissions
        .map(|(number, (name, template))| {
            template.submission(JobId::new(format!("{prefix}-{number}-{name}")), now)
        })
        .collect())
}
