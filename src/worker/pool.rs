//! Keeps deliveries under way until it is told to stop, then drains.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::delivery::{DeliveryError, Then};
use super::intake::Message;
use super::{Worker, sweeper};
use crate::causes::in_full;
use crate::queue::{Delivery, Destination, Lane, Outgoing, QueueError, Source, Wait};

/// How long what was called off may take to end.
const CALLING_OFF: Duration = Duration::from_secs(10);

/// A loop that has nothing to do goes round all the same.
const IDLE: Duration = Duration::from_secs(5);

/// A loop that has not gone round for so long hangs.
const HANGING: Duration = Duration::from_secs(60);

/// How a drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Verifications that did not end in time and were handed back.
    pub handed_back: usize,
}

/// Runs the worker until `stop` fires: then it takes nothing more, finishes what runs or, after the grace period, hands it
/// back.
///
/// # Errors
/// Where the queues cannot be consumed to begin with.
pub async fn run(worker: Arc<Worker>, stop: CancellationToken) -> Result<Drained, QueueError> {
    let tasks = TaskTracker::new();
    let ended = CancellationToken::new();
    let leases = tokio::spawn({
        let (worker, ended) = (Arc::clone(&worker), ended.clone());
        async move {
            let lease = worker.settings.lease;
            worker.running.keep_leases(&worker.writer, lease, &ended).await;
        }
    });
    let slots = u16::try_from(worker.settings.judge_slots)
        .unwrap_or(u16::MAX)
        .max(1);
    let looping = tokio::spawn({
        let (worker, tasks, stop) = (Arc::clone(&worker), tasks.clone(), stop.clone());
        async move {
            let lanes = async {
                tokio::try_join!(
                    consume(&worker, Lane::Submitted, worker.settings.prefetch, &tasks, &stop),
                    consume(&worker, Lane::Judge, slots, &tasks, &stop),
                    sweeper::drain_parked(&worker, &stop),
                )
            };
            let (consumed, ()) = tokio::join!(lanes, sweeper::sweep(&worker, &tasks, &stop));
            // However it ended: nothing is taken any more.
            stop.cancel();
            consumed
        }
    });
    stop.cancelled().await;
    worker.stopping.cancel();
    tracing::info!(
        under_way = worker.running.count(),
        "stopping: nothing more is taken"
    );
    // The grace period begins now, however long the loops take to end over a database or a broker that does not answer.
    let grace_ends = Instant::now() + worker.settings.grace;
    let consumed = match timeout_at(grace_ends, looping).await {
        Ok(Ok(consumed)) => consumed,
        // It panicked, which was told, or hangs: what is under way is finished or handed back all the same.
        Ok(Err(_)) | Err(_) => Ok(((), (), ())),
    };
    tasks.close();
    let mut handed_back = 0;
    if timeout_at(grace_ends, tasks.wait()).await.is_err() {
        handed_back = worker.running.count();
        tracing::info!(handed_back, "the grace period is over: what runs is handed back");
        worker.called_off.cancel();
        worker.running.cancel();
        if timeout(CALLING_OFF, tasks.wait()).await.is_err() {
            // Their leases end by themselves.
            tracing::warn!("some deliveries did not end when they were called off");
        }
    }
    ended.cancel();
    let _ = leases.await;
    consumed.map(|_| Drained { handed_back })
}

/// Takes deliveries of one lane until `stop` fires. The prefetch bounds how many are under way, in the broker and here: after each
/// break the broker sends a whole prefetch again, while what it sent before may still wait for the database.
async fn consume(
    worker: &Arc<Worker>,
    lane: Lane,
    prefetch: u16,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), QueueError> {
    let mut consumer = match worker.queue.consume(Source::Lane(lane), prefetch).await {
        Ok(consumer) => consumer,
        Err(error) => {
            // The other loops end with this one.
            stop.cancel();
            return Err(error);
        }
    };
    let pulse = worker.heart.pulse(lane.queue(), HANGING);
    let room = Arc::new(Semaphore::new(usize::from(prefetch).max(1)));
    loop {
        // Room first: what is not taken stays with the driver, which drops it when its channel breaks, and hands it back in the end.
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await.ok()?;
            Some((permit, consumer.deliveries.recv().await?))
        };
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            next = next => next,
            // A lane that is full goes round as well as one that is empty.
            () = tokio::time::sleep(IDLE) => { pulse.beat(); continue }
        };
        let Some((permit, delivery)) = next else { break };
        pulse.beat();
        let worker = Arc::clone(worker);
        // In a box: a task's future is moved four times, and this one has 7 KB.
        tasks.spawn(Box::pin(async move {
            let _permit = permit;
            worker.handle(delivery, lane).await;
        }));
    }
    consumer.stop.cancel();
    // What was delivered and not begun goes back at once, not only when the connection closes.
    while let Some(delivery) = consumer.deliveries.recv().await {
        delivery.acker.give_back().await;
    }
    Ok(())
}

impl Worker {
    /// Takes one delivery through, and answers the broker.
    async fn handle(&self, delivery: Delivery, lane: Lane) {
        let Delivery {
            body,
            message_id,
            traceparent,
            redelivered,
            acker,
            ..
        } = delivery;
        let _in_flight = self.metrics.delivered(lane.queue(), redelivered);
        let body = Arc::new(body);
        let message = Message {
            body: Arc::clone(&body),
            traceparent: traceparent.clone(),
            claimed: None,
        };
        let to = match self.settle(self.deliver(message, lane).await) {
            Then::Done => {
                // Unheard, the message comes again: it will find its decision.
                acker.ack().await;
                return;
            }
            Then::HandBack => return acker.give_back().await,
            Then::Later(wait) => Destination::Delay(wait),
            Then::JudgesLane => Destination::Lane(Lane::Judge),
        };
        let message_id = message_id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let outgoing = |to| Outgoing {
            to,
            message_id: message_id.clone(),
            body: body.to_vec(),
            traceparent: traceparent.clone(),
        };
        let mut published = self.publish(outgoing(to)).await;
        if let Err(QueueError::Broken(_)) = &published {
            // Given back it would be the first again, and those behind it would wait for a queue that is none of theirs.
            published = self.publish(outgoing(Destination::Lane(lane))).await;
        }
        match published {
            Ok(()) => {
                acker.ack().await;
            }
            Err(error) => {
                tracing::warn!(error = %in_full(&error), "a message that has to wait goes back to its queue");
                acker.give_back().await;
            }
        }
    }

    /// What becomes of the message when its delivery went wrong: it comes back. The submission is not concerned.
    pub(super) fn settle(&self, delivered: Result<Then, DeliveryError>) -> Then {
        match delivered {
            Ok(then) => then,
            // Decided, but not confirmed: the sweeper publishes it until it is.
            Err(DeliveryError::Queue(error)) => {
                tracing::warn!(error = %in_full(&error), "an outcome waits for the broker");
                Then::Done
            }
            Err(DeliveryError::Journal(error)) => {
                tracing::error!(error = %in_full(&error), "the journal refused a delivery: it is tried again later");
                Then::Later(Wait::HalfMinute)
            }
        }
    }
}
