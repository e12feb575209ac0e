//! What the pool's commands go by.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use crate::config::ConfigError;

pub(super) const AMQP_URL: &str = "ASSAY_AMQP_URL";
pub(super) const DATABASE_URL: &str = "ASSAY_DATABASE_URL";

/// A message has at most 1 MiB, and what is made of it about as much again.
pub(super) const BYTES_PER_DELIVERY: u64 = 2 << 20;

/// What the pool's commands go by.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// The broker, `amqp://USER:PASSWORD@HOST:PORT/VHOST`; see [`PoolSettings::amqp_url`].
    pub amqp_url: Option<SecretString>,
    /// The database, `postgres://USER:PASSWORD@HOST:PORT/DATABASE`; see [`PoolSettings::database_url`].
    pub database_url: Option<SecretString>,
    /// The name of this deployment in receipts: settlement pays only on those of its own.
    pub deployment: String,
    /// The name of this worker in claims; unlike that of every other process.
    pub worker: String,
    /// Jobs that a worker holds at a time; [`PoolSettings::prefetch`] bounds it by `memory`.
    pub in_flight: u16,
    /// Bytes that messages in flight may take.
    pub memory: u64,
    /// Judges that are asked at a time; each may take minutes.
    pub judge_slots: usize,
    /// How long a claim holds without being renewed.
    pub lease: Duration,
    /// Longest time of one verification; what takes longer comes back later.
    pub verification_limit: Duration,
    /// How long SIGTERM waits for what runs.
    pub grace: Duration,
    /// The file with the key that signs receipts.
    pub signing_key: PathBuf,
    /// The file that says which keys settlement trusts.
    pub trust: PathBuf,
    /// Where health and metrics are served; none where they are not.
    pub listen: Option<SocketAddr>,
    /// The plan of messages that name none; they are parked where none is set.
    pub default_plan: Option<String>,
    /// What becomes of a submitted job whose message is lost.
    pub lost: Lost,
    /// Since when a submitted job that nobody has claimed counts as one whose message is lost: longer than messages wait
    /// in the queue.
    pub lost_after: Duration,
    /// Whether the marketplace's tables are in this database.
    pub marketplace: bool,
    /// Who applies outcomes.
    pub settlement: Settlement,
}

/// What becomes of a job that the marketplace has as submitted and whose message is lost, e.g. in a purged queue: with
/// the message went the plan that it named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lost {
    /// It waits for a person.
    #[default]
    Park,
    /// It is judged by the default plan.
    Default,
}

/// Who applies outcomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settlement {
    /// `assay settle`, from the queue `assay.settle`.
    #[default]
    Assay,
    /// The marketplace, from a queue of its own.
    External,
}

impl PoolSettings {
    /// The broker's URL.
    ///
    /// # Errors
    /// Where none is set: says how.
    pub fn amqp_url(&self) -> Result<&SecretString, ConfigError> {
        set(
            self.amqp_url.as_ref(),
            AMQP_URL,
            "pool.amqp_url",
            "amqp://USER:PASSWORD@HOST:5672/VHOST",
        )
    }

    /// The database's URL.
    ///
    /// # Errors
    /// Where none is set: says how.
    pub fn database_url(&self) -> Result<&SecretString, ConfigError> {
        set(
            self.database_url.as_ref(),
            DATABASE_URL,
            "pool.database_url",
            "postgres://USER:PASSWORD@HOST:5432/DATABASE",
        )
    }

    /// Deliveries that a worker lets the broker leave unacknowledged: as many as may be in flight and as fit into its
    /// memory, at least one.
    pub fn prefetch(&self) -> u16 {
        let fitting = u16::try_from(self.memory / BYTES_PER_DELIVERY).unwrap_or(u16::MAX);
        self.in_flight.min(fitting).max(1)
    }
}

fn set<T>(
    value: Option<T>,
    name: &'static str,
    key: &'static str,
    what: &'static str,
) -> Result<T, ConfigError> {
    value.ok_or(ConfigError::Missing { name, key, what })
}
