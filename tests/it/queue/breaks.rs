//! What the consumer and the publisher survive, one test for every kind of break.

use std::time::Duration;

use assay::outcome::Outcome;
use assay::queue::{Destination, Queue, QueueError, RabbitQueue, Source};
use futures_util::future::join_all;
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::{Channel, Connection, ConnectionProperties};

use super::relay::Relay;
use super::{HANG, consume, id, next, outgoing, rabbit, settings, submitted, until};
use crate::servers;

/// A channel past everything of ours.
async fn operator(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consuming_goes_on_after_the_connection_is_cut() {
    let url = servers::amqp_url();
    let direct = rabbit(&url).await;
    let (relay, through) = Relay::to(&url).await;
    let queue = RabbitQueue::connect(settings(&through)).await.unwrap();
    let mut consumer = consume(&queue).await;
    direct.publish(submitted("a")).await.unwrap();
    let lost = next(&mut consumer).await;

    relay.cut();
    let again = next(&mut consumer).await;
    assert_eq!((id(&again), again.redelivered), ("a", true));
    assert!(!lost.acker.ack().await, "the broker cannot have heard it");
    assert!(again.acker.ack().await);
    direct.publish(submitted("b")).await.unwrap();
    assert_eq!(id(&next(&mut consumer).await), "b");
    assert!(queue.health().consuming);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_unconfirmed_at_a_cut_is_published_again() {
    let url = servers::amqp_url();
    let direct = rabbit(&url).await;
    let mut consumer = consume(&direct).await;
    let (relay, through) = Relay::to(&url).await;
    let queue = RabbitQueue::connect(settings(&through)).await.unwrap();
    queue.publish(submitted("before")).await.unwrap();
    assert!(next(&mut consumer).await.acker.ack().await);

    relay.deafen();
    let publish = queue.publish(submitted("a"));
    let cut_when_it_has_arrived = async {
        let first = next(&mut consumer).await;
        relay.cut();
        let second = next(&mut consumer).await;
        assert_eq!((id(&first), id(&second)), ("a", "a"));
    };
    let (published, ()) = tokio::join!(publish, cut_when_it_has_arrived);
    published.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_messages_arrive_over_repeated_cuts() {
    let url = servers::amqp_url();
    let direct = rabbit(&url).await;
    let mut consumer = direct
        .consume(Source::Lane(assay::queue::Lane::Submitted), 500)
        .await
        .unwrap();
    let (relay, through) = Relay::to(&url).await;
    let queue = RabbitQueue::connect(settings(&through)).await.unwrap();

    let publishing = join_all((0..5000).map(|number| queue.publish(submitted(&number.to_string()))));
    let consuming = async {
        let mut seen = std::collections::HashSet::new();
        while seen.len() < 5000 {
            let delivery = next(&mut consumer).await;
            seen.insert(id(&delivery).to_owned());
            assert!(delivery.acker.ack().await);
            if matches!(seen.len(), 500 | 1500 | 3000) {
                relay.cut();
            }
        }
    };
    let (published, ()) = tokio::join!(publishing, consuming);
    assert!(published.into_iter().all(|result| result.is_ok()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_connection_is_found_by_its_heartbeat() {
    let url = servers::amqp_url();
    let direct = rabbit(&url).await;
    let (relay, through) = Relay::to(&format!("{url}?heartbeat=1")).await;
    let queue = RabbitQueue::connect(settings(&through)).await.unwrap();
    let mut consumer = consume(&queue).await;

    relay.stall();
    direct.publish(submitted("a")).await.unwrap();
    assert_eq!(id(&next(&mut consumer).await), "a");
    queue.publish(submitted("b")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_confirmation_ends_the_connection() {
    let url = servers::amqp_url();
    let direct = rabbit(&url).await;
    let mut consumer = consume(&direct).await;
    let (relay, through) = Relay::to(&format!("{url}?heartbeat=0")).await;
    let mut settings = settings(&through);
    settings.confirm_timeout = Duration::from_secs(1);
    let queue = RabbitQueue::connect(settings).await.unwrap();
    queue.publish(submitted("before")).await.unwrap();
    assert!(next(&mut consumer).await.acker.ack().await);
    relay.stall();
    let publishing = tokio::time::timeout(HANG, queue.publish(submitted("a")));
    publishing.await.expect("publishing hangs").unwrap();
    assert_eq!(id(&next(&mut consumer).await), "a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_network_loses_nothing() {
    let url = servers::amqp_url();
    drop(rabbit(&url).await);
    let (relay, through) = Relay::to(&url).await;
    relay.slow(Duration::from_millis(20));
    let queue = RabbitQueue::connect(settings(&through)).await.unwrap();
    let mut consumer = consume(&queue).await;
    let published = join_all((0..50).map(|number| queue.publish(submitted(&number.to_string()))));
    let consumed = async {
        for _ in 0..50 {
            assert!(next(&mut consumer).await.acker.ack().await);
        }
    };
    let (published, ()) = tokio::join!(published, consumed);
    assert!(published.into_iter().all(|result| result.is_ok()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_whose_queue_was_deleted_waits_until_it_is_declared_again() {
    let url = servers::amqp_url();
    let queue = rabbit(&url).await;
    let mut consumer = consume(&queue).await;
    let (_connection, operator) = operator(&url).await;
    operator
        .queue_delete("assay.submitted".into(), QueueDeleteOptions::default())
        .await
        .unwrap();
    until("the consumer notices", async || !queue.health().consuming).await;
    let error = queue.publish(submitted("lost")).await.unwrap_err();
    assert!(matches!(error, QueueError::Unroutable(_)), "{error}");

    assay::queue::Topology::new(true)
        .declare(settings(&url))
        .await
        .unwrap();
    queue.publish(submitted("a")).await.unwrap();
    assert_eq!(id(&next(&mut consumer).await), "a");
    assert!(queue.health().consuming);
}

/// An acknowledgement of something never delivered, as a second client on the same channel would send it: the
/// broker closes the channel with 406, and the connection stays.
fn unknown_ack(channel: u8) -> Vec<u8> {
    let mut frame = vec![1, 0, channel, 0, 0, 0, 13, 0, 60, 0, 80];
    frame.extend(999_999_u64.to_be_bytes());
    frame.extend([0, 0xCE]);
    frame
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consuming_goes_on_after_the_broker_closes_the_channel() {
    let url = servers::amqp_url();
    let direct = rabbit(&url).await;
    let (relay, through) = Relay::to(&url).await;
    let queue = RabbitQueue::connect(settings(&through)).await.unwrap();
    let mut consumer = consume(&queue).await;
    direct.publish(submitted("a")).await.unwrap();
    let lost = next(&mut consumer).await;
    relay.inject(unknown_ack(2));
    let again = next(&mut consumer).await;
    assert_eq!((id(&again), again.redelivered), ("a", true));
    assert!(!lost.acker.ack().await);
    assert!(again.acker.ack().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_exchange_fails_only_what_is_published_to_it() {
    let url = servers::amqp_url();
    let queue = rabbit(&url).await;
    let (_connection, operator) = operator(&url).await;
    operator
        .exchange_delete("assay.outcomes".into(), ExchangeDeleteOptions::default())
        .await
        .unwrap();
    let publishing = join_all((0..60).map(|number| {
        let to_the_exchange = outgoing(Destination::Outcome(Outcome::Retry), &number.to_string());
        let to_a_lane = submitted(&number.to_string());
        queue.publish(if number % 20 == 7 {
            to_the_exchange
        } else {
            to_a_lane
        })
    }));
    let results = tokio::time::timeout(HANG, publishing)
        .await
        .expect("publishing hangs");
    for (number, result) in results.into_iter().enumerate() {
        match result {
            Err(QueueError::Unroutable(_)) => assert_eq!(number % 20, 7),
            other => {
                other.unwrap();
                assert_ne!(number % 20, 7);
            }
        }
    }
}
