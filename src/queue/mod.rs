//! Messages in and out. One trait, two drivers: `RabbitMQ`, and one in memory for tests.
//!
//! Only `rabbit` knows lapin. The names of queues and exchanges are contracts (DESIGN.md section 6).

mod memory;
mod rabbit;
mod topology;

use std::time::Duration;

use async_trait::async_trait;

use crate::outcome::Outcome;

pub use memory::MemoryQueue;
pub use rabbit::{RabbitQueue, RabbitSettings};
pub use topology::{Argument, Binding, QueueDefinition, Topology, TopologyProblem};

/// Where submitted jobs wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Every submitted job: `assay.submitted`.
    Submitted,
    /// Jobs whose gates passed and that wait for a judge: `assay.judge`.
    Judge,
}

impl Lane {
    /// The queue's name.
    pub fn queue(self) -> &'static str {
        match self {
            Self::Submitted => "assay.submitted",
            Self::Judge => "assay.judge",
        }
    }
}

/// What can be consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Submitted jobs.
    Lane(Lane),
    /// What the broker itself set aside (delivery limit): drains into the table.
    Parked,
    /// Outcomes for settlement: `assay.settle`.
    Settle,
}

impl Source {
    /// The queue's name.
    pub fn queue(self) -> &'static str {
        match self {
            Self::Lane(lane) => lane.queue(),
            Self::Parked => topology::PARKED,
            Self::Settle => topology::SETTLE,
        }
    }
}

/// How long a message waits before it comes back to [`Lane::Submitted`]: one queue for each, since quorum
/// queues expire messages only at their head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wait {
    /// One second.
    Second,
    /// Five seconds.
    FiveSeconds,
    /// Thirty seconds.
    HalfMinute,
    /// Two minutes.
    TwoMinutes,
    /// Ten minutes.
    TenMinutes,
}

impl Wait {
    /// All, the shortest first.
    pub const ALL: [Self; 5] = [
        Self::Second,
        Self::FiveSeconds,
        Self::HalfMinute,
        Self::TwoMinutes,
        Self::TenMinutes,
    ];

    /// How long it is.
    pub fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::FiveSeconds => 5,
            Self::HalfMinute => 30,
            Self::TwoMinutes => 120,
            Self::TenMinutes => 600,
        })
    }

    /// The queue's name.
    pub fn queue(self) -> &'static str {
        match self {
            Self::Second => "assay.delay.1s",
            Self::FiveSeconds => "assay.delay.5s",
            Self::HalfMinute => "assay.delay.30s",
            Self::TwoMinutes => "assay.delay.2m",
            Self::TenMinutes => "assay.delay.10m",
        }
    }
}

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Destination {
    /// A lane.
    Lane(Lane),
    /// Back to the first lane, later.
    Delay(Wait),
    /// The exchange of outcomes, key `job.verified` or `job.retry`.
    Outcome(Outcome),
    /// The exchange of outcomes, key `job.parked`; nobody has to listen.
    ParkedNotice,
}

/// A message to publish: persistent, and mandatory unless nobody has to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where it goes.
    pub to: Destination,
    /// Its id; whoever consumes it tells repetitions by it.
    pub message_id: String,
    /// JSON.
    pub body: Vec<u8>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// A message that was delivered and waits for its acknowledgement. Dropped without one, it stays
/// unacknowledged until its consumer ends, and then comes back.
pub struct Delivery {
    /// The message.
    pub body: Vec<u8>,
    /// Its id, where whoever published it gave one.
    pub message_id: Option<String>,
    /// W3C trace context, where given.
    pub traceparent: Option<String>,
    /// Whether the broker has delivered it before.
    pub redelivered: bool,
    /// Where it came from.
    pub source: Source,
    /// How it is acknowledged.
    pub acker: Box<dyn Acker>,
}

/// Acknowledges one delivery, once.
#[async_trait]
pub trait Acker: Send + Sync {
    /// The message is done with. `false`: the broker did not hear it and will deliver the message again.
    async fn ack(self: Box<Self>) -> bool;

    /// The message goes back into its queue.
    async fn give_back(self: Box<Self>);
}

/// Deliveries that whoever consumes has not yet taken. Few, since they are worth nothing after a break; the
/// others wait in the driver, which hands them back when the consumer stops.
const UNTAKEN: usize = 64;

/// The deliveries of one consumer. It outlives connections: after a break it goes on with new deliveries.
pub struct Consumer {
    /// Deliveries; ends after [`Consumer::stop`].
    pub deliveries: tokio::sync::mpsc::Receiver<Delivery>,
    /// Fires to stop taking.
    pub stop: tokio_util::sync::CancellationToken,
}

/// The broker cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// No queue is bound for the message: `assay setup` has not run, or somebody deleted a queue.
    #[error("the broker has no queue for {0}: run `assay setup`, then `assay doctor`")]
    Unroutable(String),
    /// The broker refused the message, e.g. because its queue is full.
    #[error("the broker refused {0}")]
    Refused(String),
    /// The broker cannot be reached or used.
    #[error("the broker cannot be used: {0}")]
    Broken(String),
    /// The broker, or the queue that it was asked for, did not answer within so many seconds.
    #[error("the broker cannot be used: it did not answer within {0} s")]
    Silent(u64),
    /// The queue was closed while the message waited.
    #[error("the connection was closed")]
    Closed,
}

/// How the connections stand, for health checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// The consuming connection is up.
    pub consuming: bool,
    /// The publishing connection is up and not blocked by an alarm of the broker.
    pub publishing: bool,
}

/// A queue's length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    /// Its name.
    pub queue: String,
    /// Messages ready for delivery.
    pub messages: u32,
    /// Consumers.
    pub consumers: u32,
}

/// The broker.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Consumes with at most `prefetch` unacknowledged deliveries. Goes on over every kind of break
    /// (connection, channel, cancelled consumer) until it is stopped; then what was not taken goes back to
    /// the broker.
    ///
    /// # Errors
    /// Where it cannot begin: no broker, no such queue.
    async fn consume(&self, source: Source, prefetch: u16) -> Result<Consumer, QueueError>;

    /// Publishes; returns when the broker has confirmed. Published again after a break in between, so whoever
    /// consumes it may see it twice.
    ///
    /// # Errors
    /// Where the broker says no, or the queue was closed.
    async fn publish(&self, outgoing: Outgoing) -> Result<(), QueueError>;

    /// The lengths of all our queues.
    ///
    /// # Errors
    /// Where the broker cannot be asked.
    async fn depths(&self) -> Result<Vec<Depth>, QueueError>;

    /// How the connections stand.
    fn health(&self) -> Health;

    /// How often a connection was lost and made again.
    fn losses(&self) -> u64;

    /// Waits for nothing more and closes both connections.
    async fn close(&self);
}
