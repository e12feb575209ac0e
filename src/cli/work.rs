//! `assay work`: a worker of the pool.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::network::NetworkArgs;
use super::probes::Needs;
use super::{CliError, Exit, parts};
use crate::audit::{Sealer, seal_until_stopped};
use crate::clock::Clock;
use crate::config::{CommonArgs, Config, Lost};
use crate::evidence::Network;
use crate::graders::rubric::Judge;
use crate::health::{HealthServer, Heart};
#[cfg(debug_assertions)]
use crate::job::JobId;
use crate::keeping::{Keeper, retain_until_stopped};
use crate::metrics::Metrics;
use crate::receipt::SigningKey;
use crate::shutdown;
#[cfg(debug_assertions)]
use crate::worker::CrashPoint;
use crate::worker::{self, Crash, Parts, PlanKeeper, Plans, Signer, Worker, WorkerSettings};

/// Connections to the database that confirmations, the sweeper, checkpoints and probes share; claims and group commits have one
/// each of their own.
const CONNECTIONS: u32 = 7;

/// Longest wait for the last notes.
const CLOSING: Duration = Duration::from_secs(5);

/// Flags of `assay work`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ASSAY_AMQP_URL=amqp://… ASSAY_DATABASE_URL=postgres://… assay work
  assay work --trace info --trace-format json        as in a container

SIGTERM: takes nothing more, finishes what runs (or, after the grace period, hands it back), exits 0.
Exit status: 0 drained, 2 wrong configuration, 3 broker or database cannot be used.")]
pub(super) struct WorkArgs {
    /// Dies at this point of a delivery, in debug builds, for tests
    #[cfg(debug_assertions)]
    #[arg(long, hide = true, value_name = "POINT")]
    crash_at: Option<CrashPoint>,
    /// After so many passes
    #[cfg(debug_assertions)]
    #[arg(long, hide = true, value_name = "PASSES", default_value_t = 0)]
    crash_after: u32,
    /// Only with this job, and then always
    #[cfg(debug_assertions)]
    #[arg(long, hide = true, value_name = "JOB")]
    crash_job: Option<String>,
    #[command(flatten)]
    network: NetworkArgs,
}

impl WorkArgs {
    #[cfg(debug_assertions)]
    fn crash(&self) -> Crash {
        self.crash_at.map_or_else(Crash::default, |point| {
            Crash::at(point, self.crash_after, self.crash_job.clone().map(JobId::new))
        })
    }

    #[cfg(not(debug_assertions))]
    #[expect(clippy::unused_self, reason = "the flag exists in debug builds only")]
    fn crash(&self) -> Crash {
        Crash::default()
    }
}

pub(super) async fn run(args: WorkArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let config = parts::config(common)?;
    let stop = shutdown::token().map_err(CliError::trouble)?;
    let journal = parts::pool_journal(&config, CONNECTIONS).await?;
    journal.check_set_up().await.map_err(CliError::usage)?;
    let market = if config.pool.marketplace {
        Some(journal.market().await.map_err(CliError::usage)?)
    } else {
        None
    };
    let queue = parts::queue(&config, &config.pool.worker).await?;
    let sandbox = parts::sandbox(&config)?;
    parts::tell_confinement(&sandbox).await?;
    let (metrics, heart) = (Metrics::new(), Heart::default());
    let judge = match &config.judge {
        Some(settings) => {
            let settings = parts::sharing_its_pace(settings, &journal, &config.pool.worker);
            Judge::counted(settings, metrics.clone()).map_err(CliError::usage)?
        }
        None => Judge::none(),
    };
    let key = SigningKey::read(&config.pool.signing_key).map_err(CliError::usage)?;
    let needs = Needs {
        journal: journal.clone(),
        queue: Arc::clone(&queue),
        draining: stop.clone(),
    };
    let health = match config.pool.listen {
        Some(address) => Some(
            HealthServer::start(address, heart.clone(), Arc::new(needs), metrics.clone())
                .await
                .map_err(CliError::usage)?,
        ),
        None => None,
    };
    let keeper = Keeper {
        journal: journal.clone(),
        store: parts::evidence_store(&config)?,
    };
    let sealer = Sealer {
        journal: journal.clone(),
        key: SigningKey::read(&config.pool.signing_key).map_err(CliError::usage)?,
        deployment: config.pool.deployment.clone(),
        anchor: parts::anchor(&config)?,
        clock: Clock::system(),
    };
    let (worker, noting) = Worker::new(Parts {
        plans: Plans::new(
            parts::folders(&config),
            config.pool.default_plan.clone(),
            config.inline_plans.clone(),
        ),
        plan_keeper: PlanKeeper::new(journal.clone(), config.runtimes.clone()),
        signer: Signer {
            key,
            deployment: config.pool.deployment.clone(),
        },
        keeper: keeper.clone(),
        journal: journal.clone(),
        market,
        queue: Arc::clone(&queue),
        sandbox,
        judge,
        clock: Clock::system(),
        metrics,
        heart,
        settings: settings(&config, args.network.network()),
        crash: args.crash(),
    });
    let address = health.as_ref().map(HealthServer::address);
    tracing::info!(worker = config.pool.worker, health = ?address, "the worker takes jobs");
    let worker = Arc::new(worker);
    // Ended when the worker has drained, so that what it decided last is sealed, too.
    let has_drained = CancellationToken::new();
    let beside = tokio::spawn(futures_util::future::join(
        seal_until_stopped(sealer, has_drained.clone()),
        retain_until_stopped(
            keeper,
            config.keeping.keep,
            config.pool.worker.clone(),
            has_drained.clone(),
        ),
    ));
    let drained = worker::run(Arc::clone(&worker), stop).await;
    drop(worker);
    has_drained.cancel();
    // Deliveries that still wait for a broker that confirms nothing end with the queue, and the notes with them: their
    // outcomes are in the database, and are published by whoever sweeps next.
    queue.close().await;
    let _ = tokio::time::timeout(CLOSING, noting).await;
    let _ = tokio::time::timeout(CLOSING, beside).await;
    journal.close().await;
    let drained = drained.map_err(CliError::trouble)?;
    tracing::info!(handed_back = drained.handed_back, "the worker has drained");
    Ok(Exit::Good)
}

fn settings(config: &Config, network: Network) -> WorkerSettings {
    let pool = &config.pool;
    WorkerSettings {
        name: pool.worker.clone(),
        prefetch: pool.prefetch(),
        judge_slots: pool.judge_slots,
        lease: pool.lease,
        verification_limit: pool.verification_limit,
        grace: pool.grace,
        network,
        lost_by_default_plan: pool.lost == Lost::Default,
        lost_after: pool.lost_after,
        sweep_every: Duration::from_secs(1),
    }
}
