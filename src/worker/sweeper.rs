//! Brings back what nobody works on although somebody should: in every worker, over what is in the database.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Worker;
use super::delivery::{DeliveryError, Then};
use super::intake::Message;
use super::settings::WorkerSettings;
use crate::causes::in_full;
use crate::digest::Digest;
use crate::journal::{LARGEST_OUTBOX_ROW, NewParked, Overdue, UnclaimedJob};
use crate::message::{MAX_MESSAGE_BYTES, SubmittedJob, Work, without_variables};
use crate::queue::{Destination, Lane, Outgoing, QueueError, Source};

/// An outcome that was published again and is still not confirmed is published once more after this long.
const REPUBLISH_AFTER: Duration = Duration::from_secs(30);

/// The broker's copy of a message comes first, where there is one.
const GRACE: Duration = Duration::from_secs(3);

/// Most that the sweeper has under way of each kind.
const ROUND: usize = 128;

/// Most outcomes that it publishes again at a time: rows of the outbox are taken whole.
pub(super) const REPUBLISHED: usize = ROUND + LARGEST_OUTBOX_ROW;

/// Longest wait for what the broker says of its queues.
const DEPTHS: Duration = Duration::from_secs(5);

/// A round that takes longer hangs.
const HANGING: Duration = Duration::from_secs(120);

/// Rounds between two looks at the marketplace's table.
const LOST_EVERY: u32 = 10;

/// Submissions that a worker may bring back at a time, beside its deliveries.
pub(super) fn permits(settings: &WorkerSettings) -> usize {
    ROUND.min(usize::from(settings.prefetch / 4).max(1))
}

/// What there is room for.
fn room(permits: &Semaphore) -> u32 {
    u32::try_from(permits.available_permits().min(ROUND)).unwrap_or(u32::MAX)
}

/// What there is room for where the last row of the outbox may bring more than that.
fn room_for_rows(permits: &Semaphore) -> u32 {
    let room = permits.available_permits().saturating_sub(LARGEST_OUTBOX_ROW);
    u32::try_from(room).unwrap_or(u32::MAX)
}

fn note(what: &'static str, swept: Result<(), DeliveryError>) {
    if let Err(error) = swept {
        tracing::warn!(error = %in_full(&error), what, "the sweeper could not finish its round");
    }
}

/// Sweeps until `stop` fires.
pub(super) async fn sweep(worker: &Arc<Worker>, tasks: &TaskTracker, stop: &CancellationToken) {
    let pulse = worker.heart.pulse("sweeper", HANGING);
    let mut ticks = tokio::time::interval(worker.settings.sweep_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 0_u32.. {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        pulse.beat();
        // Not dropped half-way when the worker stops: a BEGIN whose answer nobody awaited would leave its connection in a
        // transaction that nobody ends, and what is written over it later would never be committed.
        worker.sweep_once(round, tasks).await;
    }
}

/// Moves what the broker itself set aside into the table, until `stop` fires.
pub(super) async fn drain_parked(worker: &Arc<Worker>, stop: &CancellationToken) -> Result<(), QueueError> {
    let mut consumer = worker.queue.consume(Source::Parked, 16).await?;
    while let Some(delivery) = tokio::select! {
        biased;
        () = stop.cancelled() => None,
        delivery = consumer.deliveries.recv() => delivery,
    } {
        let about = match SubmittedJob::parse(&delivery.body) {
            Ok(SubmittedJob {
                work: Work::Whole(job),
                ..
            }) => Some((job.id, job.attempt_count)),
            Ok(SubmittedJob {
                work: Work::Thin { job_id, attempt, .. },
                ..
            }) => Some((job_id, attempt)),
            Err(_) => None,
        };
        let parked = NewParked {
            about: about.filter(|(id, _)| !id.as_str().contains('\0')),
            reason: "delivered-too-often",
            detail: "the broker set it aside: it was delivered more often than its limit allows".to_owned(),
            message: without_variables(&delivery.body),
            digest: Digest::of(&delivery.body),
        };
        match worker.park(&parked).await {
            Ok(()) => {
                delivery.acker.ack().await;
            }
            Err(error) => {
                tracing::warn!(error = %in_full(&error), "a message that the broker set aside stays there");
                delivery.acker.give_back().await;
                tokio::time::sleep(GRACE).await;
            }
        }
    }
    consumer.stop.cancel();
    Ok(())
}

impl Worker {
    /// Each part by itself: one that fails must not keep the others from their work.
    async fn sweep_once(self: &Arc<Self>, round: u32, tasks: &TaskTracker) {
        self.metrics.broker_losses(self.queue.losses());
        self.metrics.sandbox_children(self.sandbox.children());
        note("overdue submissions", self.bring_back_overdue(tasks).await);
        note(
            "submissions that wait for a judge",
            self.bring_back_judged(tasks).await,
        );
        note("unconfirmed outcomes", self.publish_unconfirmed(tasks).await);
        note("parked submissions", self.tell_parked().await);
        if round.is_multiple_of(LOST_EVERY) {
            note("unconfirmed disputes", self.send_disputes().await);
            note("lost messages", self.look_for_lost(tasks).await);
        }
    }

    async fn bring_back_overdue(self: &Arc<Self>, tasks: &TaskTracker) -> Result<(), DeliveryError> {
        let room = room(&self.swept);
        if room == 0 {
            return Ok(());
        }
        let overdue = self
            .journal
            .within(self.journal.overdue(GRACE, false, room))
            .await?;
        for overdue in overdue {
            self.metrics.swept("overdue");
            self.bring_back(kept(overdue), Lane::Submitted, tasks);
        }
        Ok(())
    }

    /// While the broker is down, those that wait for it are enough.
    async fn publish_unconfirmed(self: &Arc<Self>, tasks: &TaskTracker) -> Result<(), DeliveryError> {
        let room = room_for_rows(&self.republished);
        if room == 0 {
            return Ok(());
        }
        let unconfirmed = self
            .journal
            .within(self.journal.unconfirmed(REPUBLISH_AFTER, room))
            .await?;
        for stored in unconfirmed {
            self.metrics.swept("unconfirmed");
            let permit = Arc::clone(&self.republished).try_acquire_owned();
            let worker = Arc::clone(self);
            tasks.spawn(async move {
                let _permit = permit;
                let published = worker.publish_outcome(stored).await;
                if let Err(error) = published {
                    tracing::warn!(error = %in_full(&error), "an outcome still waits for the broker");
                }
            });
        }
        Ok(())
    }

    async fn look_for_lost(self: &Arc<Self>, tasks: &TaskTracker) -> Result<(), DeliveryError> {
        let room = room(&self.swept);
        if self.market.is_none() || room == 0 || !self.nothing_waits().await {
            return Ok(());
        }
        self.journal.within(self.journal.close_found()).await?;
        let lost = self
            .journal
            .within(self.journal.unclaimed_jobs(self.settings.lost_after, room))
            .await?;
        for job in lost {
            self.bring_back_lost(job, tasks).await?;
        }
        Ok(())
    }

    /// Whether the first lane is empty: a job whose message may still lie in it is not lost. Where the broker does not say,
    /// nothing is.
    async fn nothing_waits(&self) -> bool {
        match tokio::time::timeout(DEPTHS, self.queue.depths()).await {
            Ok(Ok(depths)) => depths
                .iter()
                .all(|depth| depth.queue != Lane::Submitted.queue() || depth.messages == 0),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Submissions that wait for a judge while judges have nothing to do: their messages are lost. While every judge is busy,
    /// they only wait in a long lane.
    async fn bring_back_judged(self: &Arc<Self>, tasks: &TaskTracker) -> Result<(), DeliveryError> {
        let idle = room(&self.judge_slots).min(room(&self.swept));
        if idle == 0 {
            return Ok(());
        }
        let waiting = self
            .journal
            .within(self.journal.overdue(GRACE, true, idle))
            .await?;
        for overdue in waiting {
            self.metrics.swept("judges-lane");
            self.bring_back(kept(overdue), Lane::Judge, tasks);
        }
        Ok(())
    }

    /// Takes a message through as if it had been delivered; there is no broker to answer.
    fn bring_back(self: &Arc<Self>, message: Message, lane: Lane, tasks: &TaskTracker) {
        let worker = Arc::clone(self);
        let permit = Arc::clone(&self.swept).try_acquire_owned();
        tasks.spawn(async move {
            let _permit = permit;
            let _in_flight = worker.metrics.delivered("sweeper", true);
            let Message {
                body, traceparent, ..
            } = message.clone();
            let delivered = worker.deliver(message, lane).await;
            // Whatever else has to come back is in its claim, and is swept again when it is due.
            // What no lane takes waits in its claim alone, until judges have nothing to do.
            if worker.settle(delivered) == Then::JudgesLane && body.len() <= MAX_MESSAGE_BYTES {
                let outgoing = Outgoing {
                    to: Destination::Lane(Lane::Judge),
                    message_id: uuid::Uuid::now_v7().to_string(),
                    body: Arc::unwrap_or_clone(body),
                    traceparent,
                };
                if let Err(error) = worker.publish(outgoing).await {
                    tracing::warn!(error = %in_full(&error), "a submission waits for the judges' lane");
                }
            }
        });
    }

    /// A submitted job whose message was lost. With the message went the plan that it named.
    async fn bring_back_lost(
        self: &Arc<Self>,
        job: UnclaimedJob,
        tasks: &TaskTracker,
    ) -> Result<(), DeliveryError> {
        let UnclaimedJob { job_id, attempt } = job;
        let message = SubmittedJob {
            work: Work::Thin {
                job_id: job_id.clone(),
                attempt,
                submission_sha256: None,
            },
            plan: None,
        };
        let body = message
            .to_json()
            .map_err(|error| crate::journal::JournalError::Damaged(error.to_string()))?;
        if self.settings.lost_by_default_plan {
            self.metrics.swept("lost");
            let message = Message {
                body: Arc::new(body),
                traceparent: None,
                claimed: None,
            };
            self.bring_back(message, Lane::Submitted, tasks);
        } else {
            let parked = NewParked {
                about: Some((job_id, attempt)),
                reason: "message-lost",
                detail: "the job is submitted, but no message of it came: submit it again with its plan, or retry it to \
                         have it judged by the default plan"
                    .to_owned(),
                digest: Digest::of(&body),
                message: body,
            };
            self.park(&parked).await?;
        }
        Ok(())
    }
}

/// The message that an overdue claim keeps.
fn kept(overdue: Overdue) -> Message {
    Message {
        body: Arc::new(overdue.message),
        traceparent: overdue.traceparent,
        claimed: Some((overdue.job_id, overdue.attempt)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row is begun while there is room for one outcome, and may hold as many as a statement decides.
    #[test]
    fn every_outcome_that_is_published_again_has_a_permit() {
        let permits = Semaphore::new(REPUBLISHED);
        assert_eq!(room_for_rows(&permits), 128);
        for taken in 0..=REPUBLISHED {
            let room = room_for_rows(&permits) as usize;
            let most = if room == 0 {
                0
            } else {
                room - 1 + LARGEST_OUTBOX_ROW
            };
            assert!(most <= permits.available_permits(), "{taken} taken");
            permits.forget_permits(1);
        }
    }
}
