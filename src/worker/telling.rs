//! What the sweeper tells others of: decisions that were overturned, submissions that were parked.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::Worker;
use super::delivery::DeliveryError;
use crate::journal::{ParkedRow, StoredOutcome};
use crate::queue::{Destination, Outgoing};

/// Most notices of one round.
const NOTICES: u32 = 128;

/// Longest wait for the confirmation of a notice.
const NOTICE: Duration = Duration::from_secs(5);

/// Whether the broker answers at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broker {
    Answers,
    Silent,
}

/// Does each telling in its turn: one that is refused comes again in the next round, and must not keep those behind it from ever
/// being told. A broker that is silent ends the round: it must not keep the sweeper from its other work.
///
/// # Errors
/// The first trouble of all, when each has had its turn.
async fn each<F>(tellings: impl Iterator<Item = F>) -> Result<(), DeliveryError>
where
    F: Future<Output = Result<Broker, DeliveryError>>,
{
    let mut first = Ok(());
    for telling in tellings {
        match telling.await {
            Ok(Broker::Answers) => {}
            Ok(Broker::Silent) => break,
            Err(error) => first = first.and(Err(error)),
        }
    }
    first
}

impl Worker {
    /// Publishes what overturned a decision and was not confirmed: whoever published it is gone, or the broker was.
    pub(super) async fn send_disputes(&self) -> Result<(), DeliveryError> {
        let unconfirmed = self.journal.unconfirmed_disputes(None).await?;
        each(unconfirmed.into_iter().map(|stored| self.send_dispute(stored))).await
    }

    async fn send_dispute(&self, stored: StoredOutcome) -> Result<Broker, DeliveryError> {
        self.metrics.swept("dispute");
        let id = stored.verification_id;
        let outgoing = Outgoing {
            to: Destination::Outcome(stored.outcome),
            message_id: id.to_string(),
            body: stored.message,
            traceparent: stored.traceparent,
        };
        let Ok(published) = timeout(NOTICE, self.queue.publish(outgoing)).await else {
            return Ok(Broker::Silent);
        };
        published?;
        self.journal.confirm_dispute(id).await?;
        Ok(Broker::Answers)
    }

    /// Publishes a notice of everything that was parked since the last round.
    pub(super) async fn tell_parked(&self) -> Result<(), DeliveryError> {
        let (count, oldest) = self.journal.within(self.journal.parked_open()).await?;
        self.metrics.parked_open(count, oldest);
        let unnoticed = self
            .journal
            .within(self.journal.parked_unnoticed(NOTICES))
            .await?;
        each(unnoticed.into_iter().map(|row| self.tell_of(row))).await
    }

    async fn tell_of(&self, row: ParkedRow) -> Result<Broker, DeliveryError> {
        let notice = json!({
            "v": 1, "parked_id": row.id, "job_id": row.job_id, "attempt": row.attempt, "reason": row.reason,
            "parked_at": row.parked_at,
        });
        let outgoing = Outgoing {
            to: Destination::ParkedNotice,
            message_id: format!("parked-{}", row.id),
            body: notice.to_string().into_bytes(),
            traceparent: None,
        };
        let Ok(published) = timeout(NOTICE, self.queue.publish(outgoing)).await else {
            return Ok(Broker::Silent);
        };
        published?;
        self.journal.within(self.journal.parked_noticed(row.id)).await?;
        Ok(Broker::Answers)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::queue::QueueError;

    /// Tells of 1 to 4, of which `refused` are refused and `silent` is not answered; whom the broker was told of, and the error.
    async fn told(refused: &[u8], silent: Option<u8>) -> (Vec<u8>, Option<String>) {
        let told = RefCell::new(Vec::new());
        let tell = async |one: u8| {
            if refused.contains(&one) {
                return Err(QueueError::Refused(one.to_string()).into());
            }
            if silent == Some(one) {
                return Ok(Broker::Silent);
            }
            told.borrow_mut().push(one);
            Ok(Broker::Answers)
        };
        let error = each([1, 2, 3, 4].into_iter().map(&tell)).await.err();
        (told.into_inner(), error.map(|error| error.to_string()))
    }

    #[tokio::test]
    async fn what_the_broker_refuses_keeps_nothing_behind_it_from_being_told() {
        let (whom, error) = told(&[1, 3], None).await;
        assert_eq!(whom, [2, 4]);
        assert_eq!(error.unwrap(), "the broker refused 1", "the first is told");
        assert_eq!(told(&[], None).await, (vec![1, 2, 3, 4], None));
    }

    #[tokio::test]
    async fn a_broker_that_is_silent_ends_the_round() {
        assert_eq!(told(&[], Some(2)).await, (vec![1], None));
        let (whom, error) = told(&[1], Some(3)).await;
        assert_eq!((whom, error.is_some()), (vec![2], true));
    }
}
