//! The pool's worker: takes submitted jobs, grades them, publishes what was decided.
//!
//! `delivery` is one message's way; `pool` keeps many under way and drains; `sweeper` brings back what a crash, a lost message
//! or a broken connection left behind. The database is the truth: whatever a worker knows only in memory may be lost.

mod confirmed;
mod crash;
mod delivery;
mod ending;
mod grading;
mod intake;
mod keeper;
mod not_held;
mod outcome;
mod plans;
mod pool;
mod publishing;
mod recorder;
mod retry;
mod running;
mod settings;
mod sweeper;
mod telling;
mod thin;

use std::sync::Arc;

use tokio::sync::{RwLock, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::graders::rubric::Judge;
use crate::health::Heart;
use crate::journal::{Claims, GroupWriter, Market, PgJournal};
use crate::keeping::Keeper;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::sandbox::Sandbox;
use confirmed::Confirmed;
pub use crash::{Crash, CrashPoint};
pub use keeper::PlanKeeper;
pub use outcome::{Signer, Unsigned};
pub use plans::{NoPlan, Plans};
pub use pool::{Drained, run};
use running::Running;
pub use settings::WorkerSettings;

/// What a worker is made of.
pub struct Parts {
    /// The database.
    pub journal: PgJournal,
    /// The marketplace's tables, where they are in the same database.
    pub market: Option<Market>,
    /// The broker.
    pub queue: Arc<dyn Queue>,
    /// The plans.
    pub plans: Plans,
    /// Keeps the plans that have judged.
    pub plan_keeper: PlanKeeper,
    /// Runs checks.
    pub sandbox: Sandbox,
    /// Answers rubrics.
    pub judge: Judge,
    /// Signs receipts.
    pub signer: Signer,
    /// Keeps the files of hand-ins.
    pub keeper: Keeper,
    /// What time it is.
    pub clock: Clock,
    /// Counts what happens.
    pub metrics: Metrics,
    /// Tells that the loops go round.
    pub heart: Heart,
    /// How much it takes on.
    pub settings: WorkerSettings,
    /// Where it dies, in tests.
    pub crash: Crash,
}

/// A worker of the pool.
pub struct Worker {
    journal: PgJournal,
    market: Option<Market>,
    queue: Arc<dyn Queue>,
    claims: Claims,
    writer: GroupWriter,
    confirmed: Confirmed,
    plans: Plans,
    plan_keeper: PlanKeeper,
    sandbox: Sandbox,
    judge: Judge,
    signer: Signer,
    keeper: Keeper,
    clock: Clock,
    metrics: Metrics,
    heart: Heart,
    settings: WorkerSettings,
    crash: Crash,
    judge_slots: Arc<Semaphore>,
    /// Held for reading by every run, for writing by one that must be alone.
    alone: RwLock<()>,
    running: Running,
    /// Held by whatever the sweeper has under way: what it takes on beside the deliveries is bounded, too.
    swept: Arc<Semaphore>,
    /// The same for outcomes that it publishes again.
    republished: Arc<Semaphore>,
    /// Fires when the worker takes nothing more.
    stopping: CancellationToken,
    /// Fires when what runs is called off, at the end of a drain.
    called_off: CancellationToken,
}

impl Worker {
    /// Puts a worker together and starts its writers; gives it back with the task that must end after it.
    pub fn new(parts: Parts) -> (Self, JoinHandle<()>) {
        let Parts {
            journal,
            market,
            queue,
            plans,
            plan_keeper,
            sandbox,
            judge,
            signer,
            keeper,
            clock,
            metrics,
            heart,
            settings,
            crash,
        } = parts;
        let (confirmed, noting) = Confirmed::start(journal.clone());
        let worker = Self {
            claims: Claims::start(journal.clone(), settings.name.clone(), settings.lease),
            writer: GroupWriter::start(journal.clone(), settings.lease, metrics.clone()),
            confirmed,
            judge_slots: Arc::new(Semaphore::new(settings.judge_slots)),
            alone: RwLock::default(),
            running: Running::default(),
            swept: Arc::new(Semaphore::new(sweeper::permits(&settings))),
            republished: Arc::new(Semaphore::new(sweeper::REPUBLISHED)),
            stopping: CancellationToken::new(),
            called_off: CancellationToken::new(),
            journal,
            market,
            queue,
            plans,
            plan_keeper,
            sandbox,
            judge,
            signer,
            keeper,
            clock,
            metrics,
            heart,
            settings,
            crash,
        };
        (worker, noting)
    }
}
