//! The pool's journal: schema `assay` of a `PostgreSQL` database (15 and later).

mod apart;
mod audit;
mod audited;
mod brakes;
mod budget;
mod checkpoints;
mod claims;
mod dispute_sets;
mod dispute_start;
mod disputes;
mod ending;
mod erasures;
mod evidence;
mod journal;
mod judging;
mod market;
mod orphans;
mod outbox;
mod overdue;
mod parked;
mod plans;
mod privileges;
mod progress;
mod sealing;
mod set_aside;
mod settlement;
mod standing;
mod statement;
mod time;
mod unsettled;
mod writer;

use std::borrow::Cow;
use std::str::FromStr as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::JournalError;
pub use audited::{Audited, AuditedDecision, Moved, Scope, Sealed, SettlementRow};
pub use brakes::{ExceptionRow, HeldRow, Pause};
pub use budget::PgLeases;
pub use claims::{ClaimAnswer, Claims, Held, NewClaim, NotFound, SUSPECT_AFTER, StoredOutcome};
pub use dispute_sets::{DisputeItem, DisputeSet, Selected, SetLock, SetState};
pub use dispute_start::{BeginDisputeError, DisputeLock};
pub use disputes::{DecisionRow, NewDispute, Overturned, Overturning};
pub use ending::{Ended, Ending, EndingState, Written};
pub use erasures::{Erasable, EraseError, Erased, Erasure, SharedPlan};
pub use evidence::KeptFile;
pub use market::{Market, Movement, Sums};
pub use orphans::{Orphan, OrphanOf};
pub use outbox::{LARGEST_OUTBOX_ROW, OutboxId};
pub use overdue::{Overdue, UnclaimedJob};
pub use parked::{NewParked, ParkedRow};
pub use privileges::{Duty, Privileges};
pub use progress::{Progress, Settlement, Stage};
pub use sealing::{LookFrom, Looked, Place};
pub use set_aside::Unplanned;
pub use settlement::{
    Applied, Change, Checked, Decided, Effect, HoldReason, NewException, Settled, Situation, Transition,
    Tried,
};
pub use unsettled::{Due, Turn, Unsettled};
pub use writer::GroupWriter;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("src/journal/migrations/postgres");
static MARKETPLACE: sqlx::migrate::Migrator = sqlx::migrate!("src/journal/migrations/marketplace");

/// Where our migrations are noted: a marketplace that uses sqlx has its own `_sqlx_migrations`.
const MIGRATIONS_TABLE: &str = "assay.migration";
const MARKETPLACE_MIGRATIONS_TABLE: &str = "assay.marketplace_migration";

/// Shortest time from one statement that carries many to the next. What comes meanwhile goes together: under a middling load
/// statements of a few would cost all of the processor's time, and everybody would wait for that. Who comes alone does not wait.
const BETWEEN_STATEMENTS: Duration = Duration::from_millis(6);

/// Ticks that far apart, at once after a pause.
fn between_statements() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(BETWEEN_STATEMENTS);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// A connection that answered so recently is not asked whether it still does.
const FRESH: Duration = Duration::from_secs(1);

/// Longest wait for a connection.
const CONNECTING: Duration = Duration::from_secs(10);

/// Longest time of one statement or transaction: a connection that says nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(20);

/// The pool's journal. Cheap to clone.
#[derive(Clone)]
pub struct PgJournal(Arc<Shared>);

struct Shared {
    /// With how often it was replaced: when a connection stalls, for sqlx would wait for it for ever, and keep
    /// its place in the pool.
    pool: RwLock<(u64, PgPool)>,
    options: PgConnectOptions,
    connections: u32,
    place: String,
}

/// Plans are made once for each connection, when the tables may still be empty: one that reads a whole table would
/// be kept while the table grows. Every statement of ours has an index. Where a whole table is read all the same, the
/// plan's cost is out of all proportion, and it would be compiled to machine code for 200 ms.
const STEADY_PLANS: [(&str, &str); 3] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("jit", "off"),
];

/// A client that is cut off in the middle of a transaction leaves its locks behind: the server ends the session after so long, and
/// not when TCP gives up two hours later. Between two statements of a transaction of ours lie milliseconds.
const NO_LOCKS_LEFT: (&str, &str) = ("idle_in_transaction_session_timeout", "10s");

fn pool_options(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(CONNECTING)
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move {
                if about.idle_for > FRESH {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

impl PgJournal {
    /// Connects with at most `connections` connections, and checks nothing yet.
    ///
    /// # Errors
    /// A URL that cannot be read, a server that cannot be reached. The message holds no password.
    pub async fn connect(url: &str, connections: u32) -> Result<Self, JournalError> {
        // What cannot be parsed may hold a password: never repeated.
        let options = PgConnectOptions::from_str(url).map_err(|_| JournalError::Url)?;
        let options = options
            .application_name("assay")
            .options(STEADY_PLANS)
            .options([NO_LOCKS_LEFT]);
        let place = format!(
            "postgres://{}:{}/{}",
            options.get_host(),
            options.get_port(),
            options.get_database().unwrap_or_default()
        );
        let pool = pool_options(connections)
            .connect_with(options.clone())
            .await
            .map_err(|source| JournalError::Open {
                place: place.clone(),
                source,
            })?;
        Ok(Self(Arc::new(Shared {
            pool: RwLock::new((0, pool)),
            options,
            connections,
            place,
        })))
    }

    /// Does something with the database, but waits no longer than for a connection that still works. What was given up may
    /// have been done all the same.
    pub(crate) fn within<T>(
        &self,
        work: impl Future<Output = Result<T, JournalError>>,
    ) -> impl Future<Output = Result<T, JournalError>> {
        // Of its own in memory: a statement's future has 15 KB and more, and each of hundreds of deliveries would carry the room for
        // one with it, used or not.
        let work = Box::pin(work);
        async move {
            let before = self.current().0;
            match tokio::time::timeout(SILENCE, work).await {
                Ok(done) => done,
                Err(_) => {
                    let mut current = self.0.pool.write().unwrap_or_else(PoisonError::into_inner);
                    // Whoever else stalled on the same pool may have replaced it already.
                    if current.0 == before {
                        let pool = pool_options(self.0.connections).connect_lazy_with(self.0.options.clone());
                        *current = (before + 1, pool);
                    }
                    Err(JournalError::Stalled(self.0.place.clone()))
                }
            }
        }
    }

    /// Makes or updates our tables. Needs the rights of their owner; several may run at once.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn set_up(&self) -> Result<(), JournalError> {
        self.migrate(&MIGRATIONS, MIGRATIONS_TABLE).await
    }

    /// Makes the marketplace's tables, for a demonstration or a test.
    ///
    /// # Errors
    /// Where the database refuses, e.g. because there is a marketplace already.
    pub async fn set_up_demo_marketplace(&self) -> Result<(), JournalError> {
        self.migrate(&MARKETPLACE, MARKETPLACE_MIGRATIONS_TABLE).await
    }

    async fn migrate(
        &self,
        migrations: &sqlx::migrate::Migrator,
        table: &'static str,
    ) -> Result<(), JournalError> {
        let mut migrator = sqlx::migrate::Migrator::with_migrations(migrations.iter().cloned().collect());
        migrator.dangerous_set_table_name(Cow::Borrowed(table));
        migrator.create_schema("assay");
        migrator.run(&self.pool()).await.map_err(JournalError::SetUp)
    }

    /// Whether the tables are those of this version.
    ///
    /// # Errors
    /// [`JournalError::NotSetUp`] where `assay setup` has yet to run.
    pub async fn check_set_up(&self) -> Result<(), JournalError> {
        let known: Option<String> = sqlx::query_scalar("SELECT to_regclass($1)::text")
            .bind(MIGRATIONS_TABLE)
            .fetch_one(&self.pool())
            .await?;
        let newest = MIGRATIONS.iter().map(|migration| migration.version).max();
        let applied: Option<i64> = match known {
            Some(_) => {
                sqlx::query_scalar("SELECT max(version) FROM assay.migration WHERE success")
                    .fetch_one(&self.pool())
                    .await?
            }
            None => None,
        };
        if applied == newest {
            Ok(())
        } else {
            Err(JournalError::NotSetUp {
                place: self.0.place.clone(),
                applied,
                newest,
            })
        }
    }

    /// Where the journal is, without user and password.
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// The connection pool, for tests that tamper with the tables.
    pub fn pool(&self) -> PgPool {
        self.current().1
    }

    fn current(&self) -> (u64, PgPool) {
        self.0.pool.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool().close().await;
    }
}

/// Whether the trouble is the server's or the network's, and the same statement may succeed later.
pub(crate) fn is_passing(error: &JournalError) -> bool {
    if matches!(error, JournalError::Stalled(_)) {
        return true;
    }
    let (JournalError::Statement(error) | JournalError::Open { source: error, .. }) = error else {
        return false;
    };
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed => true,
        // Connection exceptions, insufficient resources, shutdown and start of the server, serialization failure and
        // deadlock, a standby that is about to lead, a session that was taken for one cut off (PostgreSQL 15, appendix A).
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "53", "57P", "40"]
                .iter()
                .any(|class| code.starts_with(class))
                || matches!(&*code, "25006" | "25P03")
        }),
        _ => false,
    }
}

/// Whether the trouble is with what was asked for and not with the database: a row that does not fit our data model, or data
/// that the database refuses (classes 22 and 23). The same comes of it whenever it is asked again. Rights and tables that are
/// missing are not: they are mended for every submission at once.
pub(crate) fn is_about_data(error: &JournalError) -> bool {
    match error {
        JournalError::Damaged(_) => true,
        JournalError::Statement(sqlx::Error::Database(error)) => error
            .code()
            .is_some_and(|code| code.starts_with("22") || code.starts_with("23")),
        _ => false,
    }
}

impl std::fmt::Debug for PgJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PgJournal").field(&self.0.place).finish()
    }
}
