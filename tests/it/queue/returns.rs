//! Messages that the broker returns, among hundreds that it takes.

use assay::outcome::Outcome;
use assay::queue::{Destination, Queue, QueueError, RabbitQueue, Topology};
use futures_util::future::join_all;

use super::{outgoing, settings, submitted};
use crate::servers;

/// Publishes 500 messages at once, of which some have no queue; the answers must blame exactly these.
async fn returned_among_500(is_returned: fn(usize) -> bool) {
    let url = servers::amqp_url();
    Topology::new(false).declare(settings(&url)).await.unwrap();
    let queue = RabbitQueue::connect(settings(&url)).await.unwrap();
    for _ in 0..10 {
        let results = join_all((0..500).map(|number| {
            queue.publish(if is_returned(number) {
                outgoing(Destination::Outcome(Outcome::Verified), &number.to_string())
            } else {
                submitted(&number.to_string())
            })
        }))
        .await;
        for (number, result) in results.into_iter().enumerate() {
            match result {
                Err(QueueError::Unroutable(_)) => assert!(is_returned(number), "{number} has a queue"),
                other => {
                    other.unwrap();
                    assert!(!is_returned(number), "{number} was returned");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_returned_message_among_500_blames_only_itself() {
    returned_among_500(|number| number == 321).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_returned_messages_blame_only_themselves() {
    returned_among_500(|number| number % 7 == 3).await;
}
