//! How much a worker takes on.

use std::time::Duration;

use crate::evidence::Network;

/// How much a worker takes on.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Its name in claims; unlike that of every other process.
    pub name: String,
    /// Deliveries of the first lane that are under way at a time.
    pub prefetch: u16,
    /// Judges that are asked at a time.
    pub judge_slots: usize,
    /// How long a claim holds without being renewed.
    pub lease: Duration,
    /// Longest time of one verification.
    pub verification_limit: Duration,
    /// How long a drain waits for what runs before it hands it back.
    pub grace: Duration,
    /// What may be fetched for strangers.
    pub network: Network,
    /// Whether a submitted job whose message is lost is judged by the default plan; else it is parked.
    pub lost_by_default_plan: bool,
    /// Since when a submitted job without a claim counts as one whose message is lost.
    pub lost_after: Duration,
    /// How often the sweeper looks.
    pub sweep_every: Duration,
}
