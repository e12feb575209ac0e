//! What is settled although no message of it comes: outcomes that waited, and decisions whose message was lost.

use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::apply::{SettleTrouble, Settler};
use super::telling::{tell, tell_trouble};
use crate::health::Pulse;
use crate::journal::{HoldReason, Settled, Turn};
use crate::metrics::Metrics;

/// A decision that is not settled so long after it was made has lost its message, e.g. in a purged queue.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// Rounds of releasing between two looks for lost messages.
const LOST_EVERY: u32 = 15;

/// How often it is looked for what may be released, and how many at a time.
const RELEASE_EVERY: Duration = Duration::from_secs(1);
const RELEASED_AT_A_TIME: u16 = 100;

/// Outcomes that are released side by side, beside those that come from the queue: each holds a connection of the database.
const SIDE_BY_SIDE: usize = 8;

/// Settles what no message brings. One that is in trouble for long keeps no other from being settled, however many they are.
pub(super) struct Release<'a> {
    pub(super) settler: &'a Settler,
    pub(super) metrics: &'a Metrics,
    /// Called after each step.
    pub(super) goes_on: &'a (dyn Fn() + Sync),
    pub(super) stop: &'a CancellationToken,
}

/// Releases what waited, and looks for what was lost, until `stop` fires.
pub(super) async fn until_stopped(settler: Settler, metrics: Metrics, pulse: Pulse, stop: CancellationToken) {
    let mut settled_before = None;
    let release = Release {
        settler: &settler,
        metrics: &metrics,
        goes_on: &|| pulse.beat(),
        stop: &stop,
    };
    for round in 0_u32.. {
        pulse.beat();
        if round.is_multiple_of(LOST_EVERY)
            && let Err(trouble) = release.lost(&mut settled_before).await
        {
            tell_trouble(&trouble);
        }
        match release.waiting().await {
            Ok(0) => {}
            Ok(released) => tracing::info!(released, "outcomes released that had waited"),
            Err(trouble) => tell_trouble(&trouble),
        }
        if tokio::time::timeout(RELEASE_EVERY, stop.cancelled())
            .await
            .is_ok()
        {
            return;
        }
    }
}

impl Release<'_> {
    /// Applies decisions whose message never came: the database is the truth. Looks at those since `settled_before`, and moves it
    /// on once nothing earlier is left. A hundred or so at a time: after a long pause most of them are in the queue still, and what
    /// waited wants its turn.
    ///
    /// # Errors
    /// The first trouble of all, when each has been tried.
    async fn lost(&self, settled_before: &mut Option<Turn>) -> Result<(), SettleTrouble> {
        let mut first = Ok(());
        let mut settled_now = 0;
        let mut after = *settled_before;
        let mut looked_until = None;
        loop {
            let market = self.settler.market();
            let unsettled = market.unsettled(after, LOST_AFTER, RELEASED_AT_A_TIME).await?;
            looked_until.get_or_insert(unsettled.looked_until);
            for body in &unsettled.due.messages {
                tracing::warn!("a decision is settled whose message did not come");
                match self.settler.settle(body).await {
                    Ok(settled) => {
                        tell(&settled, self.metrics);
                        settled_now += 1;
                    }
                    Err(trouble) => first = first.and(Err(trouble)),
                }
                (self.goes_on)();
                if self.stop.is_cancelled() {
                    return first;
                }
            }
            after = unsettled.due.next;
            if after.is_none() {
                break;
            }
            if settled_now >= RELEASED_AT_A_TIME {
                return first;
            }
        }
        first?;
        *settled_before = looked_until;
        Ok(())
    }

    /// Applies what waited and may go on, in the order of its waiting, until nothing is left or the next has to wait for room in
    /// the hour. The number that waits no longer is returned.
    ///
    /// # Errors
    /// The first trouble of all, when the others have been tried.
    pub(super) async fn waiting(&self) -> Result<usize, SettleTrouble> {
        // Room in the hour is given to one after the other.
        let side_by_side = if self.settler.is_rated() { 1 } else { SIDE_BY_SIDE };
        let mut first = Ok(());
        let mut released = 0;
        let mut after = None;
        loop {
            let due = self.settler.market().due_held(after, RELEASED_AT_A_TIME).await?;
            for some in due.messages.chunks(side_by_side) {
                // All of them to their end: a transaction that is dropped half-way stays open in its connection.
                let results = join_all(some.iter().map(|body| self.settler.settle(body))).await;
                (self.goes_on)();
                for settled in results {
                    match settled {
                        Ok(Settled::Held(HoldReason::Rate)) => return first.map(|()| released),
                        Ok(Settled::Held(HoldReason::Paused | HoldReason::Price)) => {}
                        Ok(settled @ (Settled::Applied(_) | Settled::Already | Settled::Exception(_))) => {
                            tell(&settled, self.metrics);
                            released += 1;
                        }
                        Err(trouble) => first = first.and(Err(trouble)),
                    }
                }
                if self.stop.is_cancelled() {
                    return first.map(|()| released);
                }
            }
            after = due.next;
            if after.is_none() {
                return first.map(|()| released);
            }
        }
    }
}
