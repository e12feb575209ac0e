//! Settlement as a process: consumes outcomes, and releases what waited.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::apply::{SettleTrouble, Settler};
use crate::causes::in_full;
use crate::health::{Heart, Pulse};
use crate::journal::{HoldReason, Settled};
use crate::metrics::Metrics;
use crate::queue::{Delivery, Queue, QueueError, Source};

/// Outcomes that are applied side by side; each holds a connection of the database.
const CONCURRENCY: usize = 16;

/// Deliveries that the broker may leave unacknowledged: those that are applied, and as many at hand.
const PREFETCH: u16 = 32;

/// First and longest wait after trouble of ours.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long an outcome is tried before the broker has it back: far below its acknowledgement timeout of 30 minutes.
const LONGEST_HELD: Duration = Duration::from_secs(300);

/// A decision that is not settled so long after it was made has lost its message, e.g. in a purged queue.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// Rounds of releasing between two looks for lost messages.
const LOST_EVERY: u32 = 15;

/// How often it is looked for what may be released, and how many at a time.
const RELEASE_EVERY: Duration = Duration::from_secs(1);
const RELEASED_AT_A_TIME: i64 = 100;

/// A loop that has nothing to do goes round all the same.
const IDLE: Duration = Duration::from_secs(5);

/// Where so many outcomes are under way that no other is taken, and none of them ends for so long, settlement hangs: each
/// should have been given back long before.
const HANGING: Duration = Duration::from_secs(2 * LONGEST_HELD.as_secs());

/// Longest time between two outcomes, or groups of them, that are released.
const RELEASE_HANGING: Duration = Duration::from_secs(120);

/// Applies outcomes until `stop` fires, its loops beating in `heart`; what has begun is finished, what was not taken goes back to
/// the broker.
///
/// # Errors
/// Where the broker cannot be consumed from.
pub async fn run(
    queue: Arc<dyn Queue>,
    settler: Settler,
    metrics: Metrics,
    heart: &Heart,
    stop: CancellationToken,
) -> Result<(), QueueError> {
    let mut consumer = queue.consume(Source::Settle, PREFETCH).await?;
    let mut tasks = JoinSet::new();
    let releasing = stop.child_token();
    tasks.spawn(release_until_stopped(
        settler.clone(),
        metrics.clone(),
        heart.pulse("release", RELEASE_HANGING),
        releasing.clone(),
    ));
    let pulse = heart.pulse(Source::Settle.queue(), HANGING);
    // One of the tasks is the one that releases.
    let ended = loop {
        // Going round with all hands full is no sign of life: only that one of them gets free.
        if tasks.len() <= CONCURRENCY {
            pulse.beat();
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break Ok(()),
            Some(ended) = tasks.join_next() => tell_panic(ended),
            delivery = consumer.deliveries.recv(), if tasks.len() <= CONCURRENCY => match delivery {
                Some(delivery) => {
                    tasks.spawn(apply(settler.clone(), delivery, metrics.clone(), stop.clone()));
                }
                None => break Err(QueueError::Closed),
            },
            () = tokio::time::sleep(IDLE) => {}
        }
    };
    // A drain is bounded by whoever asked for it.
    drop(pulse);
    consumer.stop.cancel();
    releasing.cancel();
    while let Some(ended) = tasks.join_next().await {
        tell_panic(ended);
    }
    // What is still in the channel was never acknowledged: it goes back with the consumer.
    ended
}

fn tell_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "settlement: a task died; its outcome is not acknowledged and comes again");
    }
}

/// Applies one delivery and acknowledges it. Trouble of ours is waited out, never acknowledged away.
async fn apply(settler: Settler, delivery: Delivery, metrics: Metrics, stop: CancellationToken) {
    let Delivery { body, acker, .. } = delivery;
    let began = Instant::now();
    let mut wait = FIRST_WAIT;
    let settled = loop {
        let trouble = match settler.settle(&body).await {
            Ok(settled) => break settled,
            Err(trouble) => trouble,
        };
        if wait == FIRST_WAIT {
            tell_trouble(&trouble);
        }
        let stopped = tokio::time::timeout(wait, stop.cancelled()).await.is_ok();
        if stopped || began.elapsed() > LONGEST_HELD {
            acker.give_back().await;
            return;
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    };
    tell(&settled, &metrics);
    if !acker.ack().await {
        tracing::debug!(
            "the broker did not hear an acknowledgement: the outcome comes again and changes nothing"
        );
    }
}

fn tell_trouble(trouble: &SettleTrouble) {
    tracing::warn!(
        error = in_full(trouble),
        "settlement: outcomes wait until this trouble is over"
    );
}

fn tell(settled: &Settled, metrics: &Metrics) {
    match settled {
        Settled::Applied(effect) => {
            metrics.settled(effect.as_str());
            tracing::debug!(effect = effect.as_str(), "outcome applied");
        }
        Settled::Already => tracing::debug!("outcome applied before"),
        Settled::Held(reason) => tracing::info!(reason = reason.as_str(), "outcome held"),
        Settled::Exception(reason) => {
            metrics.exception(reason);
            tracing::warn!(reason, "outcome not applied: look at `assay settle exceptions`");
        }
    }
}

async fn release_until_stopped(settler: Settler, metrics: Metrics, pulse: Pulse, stop: CancellationToken) {
    let mut settled_before = None;
    let goes_on = || pulse.beat();
    for round in 0_u32.. {
        goes_on();
        if round.is_multiple_of(LOST_EVERY)
            && let Err(trouble) = settle_lost(&settler, &metrics, &goes_on, &mut settled_before).await
        {
            tell_trouble(&trouble);
        }
        match release(&settler, &metrics, &goes_on, &stop).await {
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

/// Applies decisions whose message never came: the database is the truth. Looks at those since `settled_before`, and moves it
/// on once nothing earlier is left. One that is in trouble for long keeps no other from being settled.
///
/// # Errors
/// The first trouble of all, when each has been tried.
async fn settle_lost(
    settler: &Settler,
    metrics: &Metrics,
    goes_on: &(dyn Fn() + Sync),
    settled_before: &mut Option<Timestamp>,
) -> Result<(), SettleTrouble> {
    let unsettled = settler
        .market()
        .unsettled(*settled_before, LOST_AFTER, RELEASED_AT_A_TIME)
        .await?;
    let mut first = Ok(());
    for body in &unsettled.messages {
        tracing::warn!("a decision is settled whose message did not come");
        match settler.settle(body).await {
            Ok(settled) => tell(&settled, metrics),
            Err(trouble) => first = first.and(Err(trouble)),
        }
        goes_on();
    }
    first?;
    if i64::try_from(unsettled.messages.len()).is_ok_and(|count| count < RELEASED_AT_A_TIME) {
        *settled_before = Some(unsettled.looked_until);
    }
    Ok(())
}

/// Applies what waited and may go on, in the order of its waiting, until nothing is left or the next has to wait again. The
/// number that waits no longer is returned; `goes_on` is called after each step. One that is in trouble for long keeps no other
/// waiting.
///
/// # Errors
/// The first trouble of those that are left, when nothing else can go on.
pub(super) async fn release(
    settler: &Settler,
    metrics: &Metrics,
    goes_on: &(dyn Fn() + Sync),
    stop: &CancellationToken,
) -> Result<usize, SettleTrouble> {
    // Room in the hour is given to one after the other.
    let side_by_side = if settler.is_rated() { 1 } else { CONCURRENCY / 2 };
    let mut released = 0;
    loop {
        let due = settler.market().due_held(RELEASED_AT_A_TIME).await?;
        let before = released;
        let mut first = Ok(());
        for some in due.chunks(side_by_side) {
            // All of them to their end: a transaction that is dropped half-way stays open in its connection.
            let results = join_all(some.iter().map(|body| settler.settle(body))).await;
            goes_on();
            for settled in results {
                match settled {
                    Ok(Settled::Held(HoldReason::Rate)) => return first.map(|()| released),
                    Ok(Settled::Held(HoldReason::Paused | HoldReason::Price)) => {}
                    Ok(settled @ (Settled::Applied(_) | Settled::Already | Settled::Exception(_))) => {
                        tell(&settled, metrics);
                        released += 1;
                    }
                    Err(trouble) => first = first.and(Err(trouble)),
                }
            }
            if stop.is_cancelled() {
                return first.map(|()| released);
            }
        }
        if released == before {
            return first.map(|()| released);
        }
    }
}
