//! The driver in memory, for tests and for trying things out: one process, nothing outlives it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::topology::{SETTLE, Topology};
use super::{
    Acker, Consumer, Delivery, Depth, Destination, Health, Lane, Outgoing, Queue, QueueError, Source,
};

/// Queues in memory that behave as the broker's do.
pub struct MemoryQueue {
    shared: Arc<Shared>,
}

struct Shared {
    queues: Mutex<HashMap<&'static str, Line>>,
    /// Wakes consumers when something was put into a queue.
    filled: Notify,
    closed: CancellationToken,
}

#[derive(Default)]
struct Line {
    messages: VecDeque<Message>,
    consumers: u32,
}

struct Message {
    outgoing: Outgoing,
    redelivered: bool,
}

impl MemoryQueue {
    /// Empty queues, as the topology names them.
    pub fn new(topology: &Topology) -> Self {
        let lines = topology.queues.iter().map(|queue| (queue.name, Line::default()));
        Self {
            shared: Arc::new(Shared {
                queues: Mutex::new(lines.collect()),
                filled: Notify::new(),
                closed: CancellationToken::new(),
            }),
        }
    }
}

impl Shared {
    fn queues(&self) -> MutexGuard<'_, HashMap<&'static str, Line>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, queue: &'static str, message: Message) -> Result<(), QueueError> {
        let mut queues = self.queues();
        let line = queues.get_mut(queue);
        let line = line.ok_or_else(|| QueueError::Unroutable(format!("`{queue}`")))?;
        if message.redelivered {
            line.messages.push_front(message);
        } else {
            line.messages.push_back(message);
        }
        drop(queues);
        self.filled.notify_waiters();
        Ok(())
    }

    async fn take(&self, queue: &'static str) -> Message {
        loop {
            let filled = self.filled.notified();
            tokio::pin!(filled);
            // Listens before it looks, so that what is put in between is not missed.
            filled.as_mut().enable();
            let message = self
                .queues()
                .get_mut(queue)
                .and_then(|line| line.messages.pop_front());
            if let Some(message) = message {
                return message;
            }
            filled.await;
        }
    }
}

/// What one consumer has been given and not acknowledged. Goes back into the queue when neither the consumer
/// nor one of its deliveries is left.
struct Subscription {
    shared: Arc<Shared>,
    queue: &'static str,
    unacked: Mutex<BTreeMap<u64, Message>>,
    room: Semaphore,
}

impl Subscription {
    fn unacked(&self) -> MutexGuard<'_, BTreeMap<u64, Message>> {
        self.unacked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, mut message: Message) {
        message.redelivered = true;
        // The queue was there when the message was taken, and queues stay.
        drop(self.shared.put(self.queue, message));
    }

    async fn serve(
        self: Arc<Self>,
        source: Source,
        deliveries: mpsc::Sender<Delivery>,
        stop: CancellationToken,
    ) {
        let closed = self.shared.closed.clone();
        for tag in 1.. {
            let message = async {
                let permit = deliveries.reserve().await.ok()?;
                self.room.acquire().await.ok()?.forget();
                Some((permit, self.shared.take(self.queue).await))
            };
            let (permit, message) = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = closed.cancelled() => break,
                () = deliveries.closed() => break,
                message = message => match message {
                    Some(message) => message,
                    None => break,
                },
            };
            let delivery = self.delivery(tag, &message, source);
            self.unacked().insert(tag, message);
            permit.send(delivery);
        }
        if let Some(line) = self.shared.queues().get_mut(self.queue) {
            line.consumers -= 1;
        }
    }

    fn delivery(self: &Arc<Self>, tag: u64, message: &Message, source: Source) -> Delivery {
        Delivery {
            body: message.outgoing.body.clone(),
            message_id: Some(message.outgoing.message_id.clone()),
            traceparent: message.outgoing.traceparent.clone(),
            redelivered: message.redelivered,
            source,
            acker: Box::new(MemoryAcker {
                tag,
                subscription: Arc::clone(self),
            }),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // The first goes back last, to the front.
        for message in std::mem::take(&mut *self.unacked()).into_values().rev() {
            self.give_back(message);
        }
    }
}

struct MemoryAcker {
    tag: u64,
    subscription: Arc<Subscription>,
}

#[async_trait]
impl Acker for MemoryAcker {
    async fn ack(self: Box<Self>) -> bool {
        let known = self.subscription.unacked().remove(&self.tag).is_some();
        self.subscription.room.add_permits(1);
        known
    }

    async fn give_back(self: Box<Self>) {
        let message = self.subscription.unacked().remove(&self.tag);
        self.subscription.room.add_permits(1);
        if let Some(message) = message {
            self.subscription.give_back(message);
        }
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn consume(&self, source: Source, prefetch: u16) -> Result<Consumer, QueueError> {
        let queue = source.queue();
        match self.shared.queues().get_mut(queue) {
            Some(line) => line.consumers += 1,
            None => return Err(QueueError::Broken(format!("there is no queue `{queue}`"))),
        }
        let subscription = Arc::new(Subscription {
            shared: Arc::clone(&self.shared),
            queue,
            unacked: Mutex::default(),
            room: Semaphore::new(usize::from(prefetch)),
        });
        let (sender, deliveries) = mpsc::channel(super::UNTAKEN.min(usize::from(prefetch).max(1)));
        let stop = CancellationToken::new();
        tokio::spawn(subscription.serve(source, sender, stop.clone()));
        Ok(Consumer { deliveries, stop })
    }

    async fn publish(&self, outgoing: Outgoing) -> Result<(), QueueError> {
        if self.shared.closed.is_cancelled() {
            return Err(QueueError::Closed);
        }
        let queue = match outgoing.to {
            Destination::Lane(lane) => lane.queue(),
            Destination::Delay(wait) => wait.queue(),
            Destination::Outcome(_) => SETTLE,
            Destination::ParkedNotice => return Ok(()),
        };
        let message = Message {
            outgoing,
            redelivered: false,
        };
        let Destination::Delay(wait) = message.outgoing.to else {
            return self.shared.put(queue, message);
        };
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            tokio::select! {
                () = shared.closed.cancelled() => {}
                () = tokio::time::sleep(wait.duration()) => {
                    // A topology always has this lane.
                    drop(shared.put(Lane::Submitted.queue(), message));
                }
            }
        });
        Ok(())
    }

    async fn depths(&self) -> Result<Vec<Depth>, QueueError> {
        let queues = self.shared.queues();
        let depths = queues.iter().map(|(&queue, line)| Depth {
            queue: queue.to_owned(),
            messages: u32::try_from(line.messages.len()).unwrap_or(u32::MAX),
            consumers: line.consumers,
        });
        let mut depths: Vec<_> = depths.collect();
        depths.sort_by(|a, b| a.queue.cmp(&b.queue));
        Ok(depths)
    }

    fn health(&self) -> Health {
        let up = !self.shared.closed.is_cancelled();
        Health {
            consuming: up,
            publishing: up,
        }
    }

    fn losses(&self) -> u64 {
        0
    }

    async fn close(&self) {
        self.shared.closed.cancel();
    }
}
