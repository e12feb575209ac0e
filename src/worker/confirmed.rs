//! Notes, many at a time, which outcomes the broker has confirmed.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::causes::in_full;
use crate::entry::VerificationId;
use crate::journal::{OutboxId, PgJournal};

/// Most notes of one statement.
const BATCH: usize = 512;

/// How long a note may wait for others: nothing depends on it before its outcome would be published again.
const LINGER: Duration = Duration::from_millis(100);

/// Where confirmations go. Cheap to clone; ends, with everything noted, when every clone is dropped.
#[derive(Clone)]
pub(super) struct Confirmed {
    notes: mpsc::UnboundedSender<(OutboxId, VerificationId)>,
}

impl Confirmed {
    /// Starts noting.
    pub(super) fn start(journal: PgJournal) -> (Self, JoinHandle<()>) {
        let (notes, mut queue) = mpsc::unbounded_channel();
        let noting = tokio::spawn(async move {
            let mut batch = Vec::new();
            while queue.recv_many(&mut batch, BATCH).await > 0 {
                let until = Instant::now() + LINGER;
                while batch.len() < BATCH {
                    let room = BATCH - batch.len();
                    match timeout_at(until, queue.recv_many(&mut batch, room)).await {
                        Ok(1..) => {}
                        Ok(0) | Err(_) => break,
                    }
                }
                // What is not noted is published once more, and settled once all the same.
                if let Err(error) = journal.within(journal.confirmed(&batch)).await {
                    tracing::warn!(error = %in_full(&error), outcomes = batch.len(), "confirmations could not be noted");
                }
                batch.clear();
            }
        });
        (Self { notes }, noting)
    }

    /// An outcome was confirmed. Bounded by what is in flight.
    pub(super) fn note(&self, outbox: OutboxId, id: VerificationId) {
        let _ = self.notes.send((outbox, id));
    }
}
