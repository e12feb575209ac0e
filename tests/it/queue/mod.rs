//! The queue: what both drivers do, and what the real one survives.

mod breaks;
mod conformance;
pub(crate) mod own_broker;
pub(crate) mod relay;
mod returns;
mod setup;

use std::time::Duration;

use assay::queue::{
    Consumer, Delivery, Destination, Lane, Outgoing, Queue, RabbitQueue, RabbitSettings, Source, Topology,
};

/// Catches what hangs; nothing takes as long.
const HANG: Duration = Duration::from_secs(60);

fn settings(url: &str) -> RabbitSettings {
    RabbitSettings::new(url.into(), "test")
}

/// The broker at `url`, which has all queues.
async fn rabbit(url: &str) -> RabbitQueue {
    Topology::new(true).declare(settings(url)).await.unwrap();
    RabbitQueue::connect(settings(url)).await.unwrap()
}

/// A message that is told by its id.
fn outgoing(to: Destination, id: &str) -> Outgoing {
    Outgoing {
        to,
        message_id: id.to_owned(),
        body: format!("{{\"v\":1,\"job_id\":\"{id}\"}}").into_bytes(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    }
}

fn submitted(id: &str) -> Outgoing {
    outgoing(Destination::Lane(Lane::Submitted), id)
}

async fn consume(queue: &dyn Queue) -> Consumer {
    queue.consume(Source::Lane(Lane::Submitted), 10).await.unwrap()
}

async fn next(consumer: &mut Consumer) -> Delivery {
    let delivery = tokio::time::timeout(HANG, consumer.deliveries.recv()).await;
    delivery
        .expect("nothing was delivered")
        .expect("the consumer has ended")
}

fn id(delivery: &Delivery) -> &str {
    delivery.message_id.as_deref().unwrap()
}

/// Waits until the condition holds.
async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let holds = async {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        while !condition().await {
            look.tick().await;
        }
    };
    tokio::time::timeout(HANG, holds)
        .await
        .unwrap_or_else(|_| panic!("still not: {what}"));
}

/// Messages that are ready in the first lane.
async fn ready(queue: &dyn Queue) -> u32 {
    let depths = queue.depths().await.unwrap();
    depths
        .iter()
        .find(|depth| depth.queue == "assay.submitted")
        .unwrap()
        .messages
}
