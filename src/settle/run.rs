//! Settlement as a process: consumes outcomes; what waits beside them is released by `release`.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::apply::Settler;
use super::release;
use super::telling::{tell, tell_trouble};
use crate::health::Heart;
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
    tasks.spawn(release::until_stopped(
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
