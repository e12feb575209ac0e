//! Whether a process of the pool can do its work.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::health::{Condition, Readiness};
use crate::journal::PgJournal;
use crate::queue::Queue;

/// Where settlement serves its health: one port above a worker's, for both may run on one machine. Port 0 stays any.
pub(super) fn of_settlement(worker: SocketAddr) -> SocketAddr {
    let port = match worker.port() {
        0 => 0,
        port => port.saturating_add(1),
    };
    SocketAddr::new(worker.ip(), port)
}

/// What a worker, or settlement, needs to be ready.
pub(super) struct Needs {
    pub(super) journal: PgJournal,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) draining: CancellationToken,
}

#[async_trait]
impl Readiness for Needs {
    async fn conditions(&self) -> Vec<Condition> {
        let condition = |name, good, detail: &str| {
            if good {
                Condition::good(name)
            } else {
                Condition::bad(name, detail)
            }
        };
        let database = match self.journal.check_set_up().await {
            Ok(()) => Condition::good("database"),
            Err(error) => Condition::bad("database", crate::causes::in_full(&error)),
        };
        let health = self.queue.health();
        vec![
            database,
            condition(
                "consuming",
                health.consuming,
                "the broker cannot be consumed from",
            ),
            condition(
                "publishing",
                health.publishing,
                "the broker cannot be published to, or blocks",
            ),
            condition("draining", !self.draining.is_cancelled(), "it was told to stop"),
        ]
    }
}
