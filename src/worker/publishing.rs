//! What a worker publishes.

use std::time::Duration;

use tokio::time::Instant;

use super::Worker;
use super::delivery::DeliveryError;
use crate::journal::StoredOutcome;
use crate::queue::{Destination, Outgoing, QueueError};

/// How long a worker that stops waits for the broker to confirm what is decided.
const FAREWELL: Duration = Duration::from_secs(5);

impl Worker {
    /// Publishes an outcome and notes that it was confirmed.
    pub(super) async fn publish_outcome(&self, stored: StoredOutcome) -> Result<(), DeliveryError> {
        let StoredOutcome {
            verification_id,
            job_id,
            attempt,
            outcome,
            message,
            traceparent,
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
        self.confirmed.note(job_id, attempt, verification_id);
        Ok(())
    }

    /// Publishes a message. A worker that stops does not wait long for a broker that does not answer: whatever it publishes is
    /// in the database, and another worker goes on from there.
    pub(super) async fn publish(&self, outgoing: Outgoing) -> Result<(), QueueError> {
        let patience_ends = async {
            self.stopping.cancelled().await;
            tokio::time::sleep(FAREWELL).await;
        };
        tokio::select! {
            published = self.queue.publish(outgoing) => published,
            () = patience_ends => Err(QueueError::Closed),
        }
    }
}
