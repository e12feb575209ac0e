//! The verifications that run in this worker, and their leases.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::causes::in_full;
use crate::entry::VerificationId;
use crate::journal::GroupWriter;

/// A verification that runs, until this is dropped: also where its task panics, whose lease nobody must lengthen.
pub(super) struct Entered {
    id: VerificationId,
    /// Calls it off.
    pub(super) cancel: CancellationToken,
    running: Running,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.running.all().remove(&self.id);
    }
}

/// What runs. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Running {
    all: Arc<Mutex<HashMap<VerificationId, CancellationToken>>>,
}

impl Running {
    /// A verification begins.
    pub(super) fn enter(&self, id: VerificationId) -> Entered {
        let cancel = CancellationToken::new();
        self.all().insert(id, cancel.clone());
        Entered {
            id,
            cancel,
            running: self.clone(),
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.all().len()
    }

    /// Calls all of them off.
    pub(super) fn cancel(&self) {
        self.all().values().for_each(CancellationToken::cancel);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<VerificationId, CancellationToken>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lengthens the leases of what runs, three times in each lease, until `stop`. What is no longer held is called off.
    pub(super) async fn keep_leases(&self, writer: &GroupWriter, lease: Duration, stop: &CancellationToken) {
        let mut ticks = tokio::time::interval(lease / 3);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let ids: Vec<_> = self.all().keys().copied().collect();
            if ids.is_empty() {
                continue;
            }
            match writer.lengthen(ids.clone()).await {
                Ok(held) => {
                    let all = self.all();
                    let lost = ids.iter().filter(|id| !held.contains(&id.uuid()));
                    lost.filter_map(|id| all.get(id))
                        .for_each(CancellationToken::cancel);
                }
                // The fence holds whether or not the lease does.
                Err(error) => tracing::warn!(error = %in_full(&error), "leases could not be lengthened"),
            }
        }
    }
}
