//! What a worker publishes.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Worker;
use super::delivery::DeliveryError;
use crate::journal::StoredOutcome;
use crate::queue::{Destination, Outgoing, QueueError};

/// How long a message may stay unconfirmed before its delivery goes on without it. A queue that confirms nothing (RabbitMQ 3.10 has
/// them after a kill -9) must not hold back the deliveries of the others. What is decided is in the database: the sweeper
/// publishes it until it is confirmed, and settlement takes it from its row. What was to wait in another queue goes to the
/// end of its own.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a worker that stops waits for the broker to confirm what is decided.
const FAREWELL: Duration = Duration::from_secs(5);

impl Worker {
    /// Publishes an outcome and notes that it was confirmed.
    pub(super) async fn publish_outcome(&self, stored: StoredOutcome) -> Result<(), DeliveryError> {
        let StoredOutcome {
            verification_id,
            outcome,
            message,
            traceparent,
            outbox,
        } = stored;
        let outgoing = Outgoing {
            to: Destination::Outcome(outcome),
            message_id: verification_id.to_string(),
            body: message,
            traceparent,
        };
        let began = Instant::now();
        self.publish(outgoing).await?;
        self.metrics.confirmed(began.elapsed());
        // One whose row is not known is published once more when that is due.
        if let Some(outbox) = outbox {
            self.confirmed.note(outbox, verification_id);
        }
        Ok(())
    }

    /// Publishes a message, with patience. A worker that stops does not wait long for a broker that does not answer: whatever it
    /// publishes is in the database, and another worker goes on from there.
    pub(super) async fn publish(&self, outgoing: Outgoing) -> Result<(), QueueError> {
        let farewell_ends = async {
            self.stopping.cancelled().await;
            tokio::time::sleep(FAREWELL).await;
        };
        tokio::select! {
            published = timeout(PATIENCE, self.queue.publish(outgoing)) => published.unwrap_or_else(|_| {
                let reason = format!("no confirmation within {} s", PATIENCE.as_secs());
                Err(QueueError::Broken(reason))
            }),
            () = farewell_ends => Err(QueueError::Closed),
        }
    }
}
