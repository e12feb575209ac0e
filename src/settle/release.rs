//! What is settled although no message of it comes: outcomes that waited, and decisions whose message was lost.

use std::ops::ControlFlow;
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

/// Rounds of releasing between two looks for lost messages, unless the last one left some.
const LOST_EVERY: u32 = 15;

/// How often it is looked for what may be released, and how many at a time.
const RELEASE_EVERY: Duration = Duration::from_secs(1);
const RELEASED_AT_A_TIME: u16 = 100;

/// Outcomes that are settled side by side, beside those that come from the queue: each holds a connection of the database.
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
    let mut looks_next = 0;
    let release = Release {
        settler: &settler,
        metrics: &metrics,
        goes_on: &|| pulse.beat(),
        stop: &stop,
    };
    for round in 0_u32.. {
        pulse.beat();
        if round >= looks_next {
            let (more, looked) = release.lost(&mut settled_before).await;
            if let Err(trouble) = looked {
                tell_trouble(&trouble);
            }
            looks_next = round + if more { 1 } else { LOST_EVERY };
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
    /// on once nothing earlier is left. A hundred or so at a time, for what waited wants its turn: says whether there may be more.
    ///
    /// # Errors
    /// The first trouble of all, when each has been tried.
    async fn lost(&self, settled_before: &mut Option<Turn>) -> (bool, Result<(), SettleTrouble>) {
        let mut first = None;
        let mut settled_now = 0;
        let mut after = *settled_before;
        let mut looked_until = None;
        loop {
            let market = self.settler.market();
            let unsettled = match market.unsettled(after, LOST_AFTER, RELEASED_AT_A_TIME).await {
                Ok(unsettled) => unsettled,
                Err(trouble) => return (false, Err(first.unwrap_or_else(|| trouble.into()))),
            };
            looked_until.get_or_insert(unsettled.looked_until);
            let on = self.each(&unsettled.due.messages, |settled| {
                match settled {
                    Ok(settled) => {
                        tracing::warn!("a decision is settled whose message did not come");
                        tell(&settled, self.metrics);
                        settled_now += 1;
                    }
                    Err(trouble) => {
                        first.get_or_insert(trouble);
                    }
                }
                ControlFlow::Continue(())
            });
            if on.await.is_break() {
                return (false, first.map_or(Ok(()), Err));
            }
            after = unsettled.due.next;
            if after.is_none() {
                break;
            }
            if settled_now >= RELEASED_AT_A_TIME {
                return (true, first.map_or(Ok(()), Err));
            }
        }
        if let Some(first) = first {
            return (false, Err(first));
        }
        *settled_before = looked_until;
        (false, Ok(()))
    }

    /// Applies what waited and may go on, in the order of its waiting, until nothing is left or the next has to wait for room in
    /// the hour. The number that waits no longer is returned.
    ///
    /// # Errors
    /// The first trouble of all, when the others have been tried.
    pub(super) async fn waiting(&self) -> Result<usize, SettleTrouble> {
        let mut first = None;
        let mut released = 0;
        let mut after = None;
        loop {
            let due = self.settler.market().due_held(after, RELEASED_AT_A_TIME).await?;
            let on = self.each(&due.messages, |settled| {
                match settled {
                    Ok(Settled::Held(HoldReason::Rate)) => return ControlFlow::Break(()),
                    Ok(Settled::Held(HoldReason::Paused | HoldReason::Price)) => {}
                    Ok(settled @ (Settled::Applied(_) | Settled::Already | Settled::Exception(_))) => {
                        tell(&settled, self.metrics);
                        released += 1;
                    }
                    Err(trouble) => {
                        first.get_or_insert(trouble);
                    }
                }
                ControlFlow::Continue(())
            });
            let on = on.await;
            after = due.next;
            if on.is_break() || after.is_none() {
                return first.map_or(Ok(released), Err);
            }
        }
    }

    /// Settles `messages` side by side, or one after the other where room in the hour is given out, and hands each result to `take`,
    /// until that breaks off or `stop` has fired.
    async fn each(
        &self,
        messages: &[Vec<u8>],
        mut take: impl FnMut(Result<Settled, SettleTrouble>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let side_by_side = if self.settler.is_rated() { 1 } else { SIDE_BY_SIDE };
        for some in messages.chunks(side_by_side) {
            // All of them to their end: a transaction that is dropped half-way stays open in its connection.
            let results = join_all(some.iter().map(|body| self.settler.settle(body))).await;
            (self.goes_on)();
            for settled in results {
                take(settled)?;
            }
            if self.stop.is_cancelled() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}
