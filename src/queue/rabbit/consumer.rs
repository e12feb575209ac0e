//! Deliveries that go on over every kind of break.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::Channel;
use lapin::message::Delivery as Delivered;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::acks::{RabbitAcker, Request, send_acks};
use super::connection::{Link, broken};
use super::message::traceparent;
use crate::queue::{Consumer, Delivery, QueueError, Source, UNTAKEN};

/// How often a consumer that waits for somebody to take looks whether its channel still stands.
const LOOK: Duration = Duration::from_secs(1);

/// Longest wait for the broker's answer to a farewell.
const FAREWELL: Duration = Duration::from_secs(5);

/// One life of a consumer: a channel, until it breaks.
struct Subscription {
    channel: Channel,
    stream: lapin::Consumer,
    acks: mpsc::UnboundedSender<Request>,
}

/// How a subscription ended.
enum End {
    /// Nobody wants more.
    Stopped,
    /// Connection, channel or consumer are gone.
    Broken(String),
}

/// Begins to consume; goes on by itself until the consumer is stopped or the link closed. A queue that hangs is tried again like one
/// that breaks later: whoever consumes from others, too, goes on with those.
pub(super) async fn consume(link: &Arc<Link>, source: Source, prefetch: u16) -> Result<Consumer, QueueError> {
    let first = match link.attempt(|channel| subscribe(channel, source, prefetch)).await {
        Ok(first) => Some(first),
        Err(error @ QueueError::Silent(_)) => {
            tracing::warn!(queue = source.queue(), %error, "trying again until it does");
            None
        }
        Err(error) => return Err(error),
    };
    let (sender, deliveries) = mpsc::channel(UNTAKEN.min(usize::from(prefetch).max(1)));
    let stop = CancellationToken::new();
    tokio::spawn(supervise(
        Arc::clone(link),
        source,
        prefetch,
        first,
        sender,
        stop.clone(),
    ));
    Ok(Consumer { deliveries, stop })
}

async fn supervise(
    link: Arc<Link>,
    source: Source,
    prefetch: u16,
    first: Option<Subscription>,
    deliveries: mpsc::Sender<Delivery>,
    stop: CancellationToken,
) {
    let queue = source.queue();
    let mut standing = first;
    loop {
        if let Some(mut subscription) = standing.take() {
            let end = subscription
                .relay(source, &deliveries, &stop, link.closed())
                .await;
            let End::Broken(reason) = end else {
                return subscription.hand_back().await;
            };
            tracing::warn!(
                queue,
                reason,
                "consuming was interrupted; trying again until the broker is back"
            );
        }
        let again = move |channel| subscribe(channel, source, prefetch);
        standing = tokio::select! {
            () = stop.cancelled() => return,
            again = link.retry(again) => again,
        };
        if standing.is_none() {
            return;
        }
        tracing::info!(queue, "consuming again");
    }
}

async fn subscribe(channel: Channel, source: Source, prefetch: u16) -> Result<Subscription, QueueError> {
    channel
        .basic_qos(prefetch, BasicQosOptions::default())
        .await
        .map_err(broken)?;
    let options = BasicConsumeOptions::default();
    let stream = channel
        .basic_consume(source.queue().into(), "".into(), options, FieldTable::default())
        .await
        .map_err(broken)?;
    let (acks, requests) = mpsc::unbounded_channel();
    tokio::spawn(send_acks(channel.clone(), requests));
    Ok(Subscription {
        channel,
        stream,
        acks,
    })
}

impl Subscription {
    async fn relay(
        &mut self,
        source: Source,
        deliveries: &mpsc::Sender<Delivery>,
        stop: &CancellationToken,
        closed: &CancellationToken,
    ) -> End {
        let mut look = tokio::time::interval(LOOK);
        loop {
            let permit = tokio::select! {
                biased;
                () = stop.cancelled() => return End::Stopped,
                () = closed.cancelled() => return End::Stopped,
                permit = deliveries.reserve() => match permit {
                    Ok(permit) => permit,
                    Err(_) => return End::Stopped,
                },
                _ = look.tick() => {
                    if self.channel.status().connected() {
                        continue;
                    }
                    return End::Broken("the channel is gone".into());
                }
            };
            let delivered = tokio::select! {
                biased;
                () = stop.cancelled() => return End::Stopped,
                () = closed.cancelled() => return End::Stopped,
                () = deliveries.closed() => return End::Stopped,
                delivered = self.stream.next() => delivered,
            };
            match delivered {
                // What arrived before a break and was not taken yet is the broker's again.
                Some(Ok(delivered)) if !delivered.acker.usable() => {}
                Some(Ok(delivered)) => permit.send(self.delivery(delivered, source)),
                Some(Err(error)) => return End::Broken(error.to_string()),
                // A deleted queue or a lost leader ends a consumer without any error, and leaves the
                // connection sound.
                None => return End::Broken("the broker cancelled the consumer".into()),
            }
        }
    }

    fn delivery(&self, delivered: Delivered, source: Source) -> Delivery {
        let message_id = delivered.properties.message_id().as_ref();
        Delivery {
            message_id: message_id.map(|id| id.as_str().to_owned()),
            traceparent: traceparent(&delivered.properties),
            body: delivered.data,
            redelivered: delivered.redelivered,
            source,
            acker: Box::new(RabbitAcker {
                tag: delivered.delivery_tag,
                requests: self.acks.clone(),
            }),
        }
    }

    /// Takes no more, and gives back what nobody took. The channel stays for the acknowledgements of what is
    /// in work.
    async fn hand_back(mut self) {
        let cancelling = self
            .channel
            .basic_cancel(self.stream.tag(), BasicCancelOptions::default());
        match timeout(FAREWELL, cancelling).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "the consumer was gone already");
                return;
            }
            // What nobody took is the broker's again when the connection ends.
            Err(_) => return,
        }
        while let Some(Ok(delivered)) = self.stream.next().await {
            drop(self.acks.send(Request::GiveBack(delivered.delivery_tag)));
        }
    }
}
