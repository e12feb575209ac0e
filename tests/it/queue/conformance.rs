//! What every driver does.

use assay::outcome::Outcome;
use assay::queue::{Destination, Lane, MemoryQueue, Queue, QueueError, RabbitQueue, Source, Topology, Wait};

use super::{consume, id, next, outgoing, ready, settings, submitted, until};
use crate::servers;

async fn in_memory(topology: Topology) -> MemoryQueue {
    MemoryQueue::new(&topology)
}

async fn on_rabbit(topology: Topology) -> RabbitQueue {
    let url = servers::amqp_url();
    topology.declare(settings(&url)).await.unwrap();
    RabbitQueue::connect(settings(&url)).await.unwrap()
}

macro_rules! both_drivers {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&super::in_memory(super::Topology::new(true)).await).await;
            })*

            #[tokio::test]
            async fn an_outcome_that_nobody_listens_to_is_an_error() {
                let external = super::in_memory(super::Topology::new(false)).await;
                super::an_outcome_that_nobody_listens_to_is_an_error(&external).await;
            }
        }

        mod rabbit {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&super::on_rabbit(super::Topology::new(true)).await).await;
            })*

            #[tokio::test]
            async fn an_outcome_that_nobody_listens_to_is_an_error() {
                let external = super::on_rabbit(super::Topology::new(false)).await;
                super::an_outcome_that_nobody_listens_to_is_an_error(&external).await;
            }
        }
    };
}

both_drivers!(
    a_message_arrives_as_it_was_published,
    no_more_than_the_prefetch_is_delivered,
    what_is_acknowledged_does_not_come_back,
    what_is_given_back_is_delivered_again,
    what_was_dropped_comes_back_after_the_consumer_ends,
    a_stopped_consumer_hands_back_what_was_not_taken,
    a_stopped_consumer_still_acknowledges_what_is_in_work,
    a_delayed_message_comes_back_to_the_first_lane,
    outcomes_reach_settlement,
    a_notice_that_nobody_listens_to_is_no_error,
    nothing_is_published_after_the_end,
);

async fn a_message_arrives_as_it_was_published(queue: &dyn Queue) {
    let sent = outgoing(Destination::Lane(Lane::Judge), "a");
    queue.publish(sent.clone()).await.unwrap();
    let mut consumer = queue.consume(Source::Lane(Lane::Judge), 1).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.body, sent.body);
    assert_eq!(delivery.message_id, Some(sent.message_id));
    assert_eq!(delivery.traceparent, sent.traceparent);
    assert_eq!(delivery.source, Source::Lane(Lane::Judge));
    assert!(!delivery.redelivered);
    assert!(delivery.acker.ack().await);
}

async fn no_more_than_the_prefetch_is_delivered(queue: &dyn Queue) {
    for number in 0..5 {
        queue.publish(submitted(&number.to_string())).await.unwrap();
    }
    let mut consumer = queue.consume(Source::Lane(Lane::Submitted), 2).await.unwrap();
    let first = next(&mut consumer).await;
    let second = next(&mut consumer).await;
    assert_eq!(ready(queue).await, 3);
    assert!(consumer.deliveries.try_recv().is_err());
    assert!(second.acker.ack().await);
    assert_eq!(id(&next(&mut consumer).await), "2");
    assert!(first.acker.ack().await);
    assert_eq!(id(&next(&mut consumer).await), "3");
}

async fn what_is_acknowledged_does_not_come_back(queue: &dyn Queue) {
    for number in 0..100 {
        queue.publish(submitted(&number.to_string())).await.unwrap();
    }
    let mut consumer = queue.consume(Source::Lane(Lane::Submitted), 50).await.unwrap();
    for _ in 0..100 {
        assert!(next(&mut consumer).await.acker.ack().await);
    }
    drop(consumer);
    queue.publish(submitted("last")).await.unwrap();
    assert_eq!(id(&next(&mut consume(queue).await).await), "last");
}

async fn what_is_given_back_is_delivered_again(queue: &dyn Queue) {
    queue.publish(submitted("a")).await.unwrap();
    let mut consumer = consume(queue).await;
    next(&mut consumer).await.acker.give_back().await;
    let again = next(&mut consumer).await;
    assert!(again.redelivered);
    assert!(again.acker.ack().await);
}

async fn what_was_dropped_comes_back_after_the_consumer_ends(queue: &dyn Queue) {
    queue.publish(submitted("a")).await.unwrap();
    let mut consumer = consume(queue).await;
    drop(next(&mut consumer).await);
    queue.publish(submitted("b")).await.unwrap();
    let other = next(&mut consumer).await;
    assert_eq!(id(&other), "b");
    assert!(other.acker.ack().await);
    drop(consumer);
    let again = next(&mut consume(queue).await).await;
    assert_eq!((id(&again), again.redelivered), ("a", true));
}

async fn a_stopped_consumer_hands_back_what_was_not_taken(queue: &dyn Queue) {
    for number in 0..100 {
        queue.publish(submitted(&number.to_string())).await.unwrap();
    }
    let mut consumer = queue.consume(Source::Lane(Lane::Submitted), 100).await.unwrap();
    let in_work = next(&mut consumer).await;
    consumer.stop.cancel();
    // Some may lie in the consumer's own hands; the others are back while it and its work still live.
    until("most are back", async || ready(queue).await >= 30).await;
    drop(consumer);
    assert!(in_work.acker.ack().await);
    until("the rest is back", async || ready(queue).await == 99).await;
}

async fn a_stopped_consumer_still_acknowledges_what_is_in_work(queue: &dyn Queue) {
    queue.publish(submitted("a")).await.unwrap();
    let mut consumer = consume(queue).await;
    let in_work = next(&mut consumer).await;
    consumer.stop.cancel();
    assert!(consumer.deliveries.recv().await.is_none());
    assert!(in_work.acker.ack().await);
    queue.publish(submitted("b")).await.unwrap();
    assert_eq!(id(&next(&mut consume(queue).await).await), "b");
}

async fn a_delayed_message_comes_back_to_the_first_lane(queue: &dyn Queue) {
    let sent = outgoing(Destination::Delay(Wait::Second), "a");
    let mut consumer = consume(queue).await;
    let published = std::time::Instant::now();
    queue.publish(sent.clone()).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert!(published.elapsed() >= Wait::Second.duration() - std::time::Duration::from_millis(50));
    assert_eq!((delivery.body.clone(), id(&delivery)), (sent.body, "a"));
    assert_eq!(delivery.traceparent, sent.traceparent);
    assert!(delivery.acker.ack().await);
}

async fn outcomes_reach_settlement(queue: &dyn Queue) {
    let mut settlement = queue.consume(Source::Settle, 10).await.unwrap();
    for outcome in [Outcome::Verified, Outcome::Retry] {
        let sent = outgoing(Destination::Outcome(outcome), outcome.as_str());
        queue.publish(sent).await.unwrap();
        let delivery = next(&mut settlement).await;
        assert_eq!(id(&delivery), outcome.as_str());
        assert!(delivery.acker.ack().await);
    }
}

async fn a_notice_that_nobody_listens_to_is_no_error(queue: &dyn Queue) {
    queue
        .publish(outgoing(Destination::ParkedNotice, "a"))
        .await
        .unwrap();
}

async fn an_outcome_that_nobody_listens_to_is_an_error(queue: &dyn Queue) {
    let sent = outgoing(Destination::Outcome(Outcome::Verified), "a");
    let error = queue.publish(sent).await.unwrap_err();
    assert!(matches!(error, QueueError::Unroutable(_)), "{error}");
}

async fn nothing_is_published_after_the_end(queue: &dyn Queue) {
    let mut consumer = consume(queue).await;
    queue.close().await;
    assert!(consumer.deliveries.recv().await.is_none());
    let error = queue.publish(submitted("a")).await.unwrap_err();
    assert!(matches!(error, QueueError::Closed), "{error}");
    assert!(!queue.health().publishing);
}
