//! One task that publishes for everybody: pipelined, each message kept until the broker has confirmed it.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation};
use tokio::sync::{mpsc, oneshot};

use super::connection::{Link, broken};
use super::message::{Returned, address, is_mandatory, properties};
use super::pending::{Pending, Verdict};
use crate::queue::{Outgoing, QueueError};

/// Messages that wait to be sent. Whoever publishes more waits.
const WAITING: usize = 1024;

/// How often the publisher looks whether its channel stands and whether a confirmation is overdue.
const LOOK: Duration = Duration::from_secs(1);

/// A message, and whom to tell.
pub(super) struct Request {
    pub(super) outgoing: Outgoing,
    pub(super) done: oneshot::Sender<Result<(), QueueError>>,
}

/// Hands messages to the publishing task.
pub(super) struct Publisher {
    requests: mpsc::Sender<Request>,
}

impl Publisher {
    /// Starts the task; it ends when the link is closed.
    pub(super) fn start(link: Arc<Link>, max_unconfirmed: usize, confirm_timeout: Duration) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING);
        let task = Task {
            link,
            requests: waiting,
            pending: Pending::default(),
            max_unconfirmed,
            confirm_timeout,
        };
        tokio::spawn(task.run());
        Self { requests }
    }

    pub(super) async fn publish(&self, outgoing: Outgoing) -> Result<(), QueueError> {
        let (done, answer) = oneshot::channel();
        let request = Request { outgoing, done };
        self.requests
            .send(request)
            .await
            .map_err(|_| QueueError::Closed)?;
        answer.await.unwrap_or(Err(QueueError::Closed))
    }
}

struct Task {
    link: Arc<Link>,
    requests: mpsc::Receiver<Request>,
    pending: Pending,
    max_unconfirmed: usize,
    confirm_timeout: Duration,
}

/// How one life of the publishing channel ended.
enum End {
    Closed,
    Broken(String),
    /// The broker closed the channel over one of the messages; it does not say which.
    Objected(String),
}

impl Task {
    async fn run(mut self) {
        let link = Arc::clone(&self.link);
        while let Some(channel) = link.retry(confirming).await {
            match self.serve(&channel).await {
                End::Closed => return,
                End::Broken(reason) => {
                    tracing::warn!(
                        reason,
                        unconfirmed = self.pending.len(),
                        "publishing was interrupted; what is unconfirmed is published again"
                    );
                    link.abandon().await;
                    self.pending.send_again();
                }
                End::Objected(reason) => {
                    tracing::warn!(reason, "the broker closed the publishing channel over a message");
                    self.pending.blame(&reason);
                }
            }
        }
    }

    async fn serve(&mut self, channel: &Channel) -> End {
        let mut in_flight = FuturesUnordered::new();
        let mut incoming = Vec::new();
        let mut settled = Vec::new();
        let mut look = tokio::time::interval(LOOK);
        loop {
            while let Some((key, outgoing)) = self.pending.next_to_send() {
                in_flight.push(async move { (key, publish(channel, &outgoing).await) });
            }
            let room = self.max_unconfirmed.saturating_sub(self.pending.len());
            tokio::select! {
                () = self.link.closed().cancelled() => return End::Closed,
                count = self.requests.recv_many(&mut incoming, room), if room > 0 => {
                    if count == 0 {
                        return End::Closed;
                    }
                    // Outcomes that were committed together are published together: the others are about to be handed over.
                    tokio::task::yield_now().await;
                    while incoming.len() < room
                        && let Ok(request) = self.requests.try_recv()
                    {
                        incoming.push(request);
                    }
                    self.pending.extend(incoming.drain(..));
                }
                Some(first) = in_flight.next() => {
                    settled.push(first);
                    all_that_is_ready(&mut in_flight, &mut settled).await;
                    if let Some(end) = self.settle(&mut settled) {
                        return end;
                    }
                }
                _ = look.tick() => {
                    if let Some(end) = self.look(channel) {
                        return end;
                    }
                }
            }
        }
    }

    fn settle(&mut self, settled: &mut Vec<(u64, lapin::Result<Confirmation>)>) -> Option<End> {
        let mut end = None;
        let mut confirmed = Vec::with_capacity(settled.len());
        for (key, result) in settled.drain(..) {
            match result {
                Ok(Confirmation::Ack(returned)) => {
                    confirmed.push((key, Verdict::Taken, returned.map(Returned::from)));
                }
                Ok(Confirmation::Nack(returned)) => {
                    confirmed.push((key, Verdict::Refused, returned.map(Returned::from)));
                }
                Ok(Confirmation::NotRequested) => {
                    end.get_or_insert(End::Broken("the channel does not confirm".into()));
                }
                Err(error) if error.is_amqp_soft_error() => end = Some(End::Objected(error.to_string())),
                Err(error) => {
                    end.get_or_insert(End::Broken(error.to_string()));
                }
            }
        }
        self.pending.settle(confirmed);
        end
    }

    /// While the broker is blocked it confirms nothing, and that is no reason to connect again.
    fn look(&mut self, channel: &Channel) -> Option<End> {
        if !channel.status().connected() {
            return Some(End::Broken("the channel is gone".into()));
        }
        if self.link.is_blocked() {
            self.pending.restart_clocks();
            return None;
        }
        let overdue = self
            .pending
            .oldest_age()
            .is_some_and(|age| age > self.confirm_timeout);
        overdue.then(|| {
            End::Broken(format!(
                "no confirmation within {} s",
                self.confirm_timeout.as_secs()
            ))
        })
    }
}

async fn confirming(channel: Channel) -> Result<Channel, QueueError> {
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .map_err(broken)?;
    Ok(channel)
}

async fn publish(channel: &Channel, outgoing: &Outgoing) -> lapin::Result<Confirmation> {
    let (exchange, key) = address(outgoing.to);
    let options = BasicPublishOptions {
        mandatory: is_mandatory(outgoing.to),
        ..BasicPublishOptions::default()
    };
    channel
        .basic_publish(
            exchange.into(),
            key.into(),
            options,
            &outgoing.body,
            properties(outgoing),
        )
        .await?
        .await
}

/// Takes every confirmation that has arrived. lapin hands a returned message to whichever confirmation it
/// resolves next, so the confirmation of the returned message itself may look good; but the one that carries
/// the return was resolved before it and is among what is ready now. Two rounds without anything new, since a
/// round may end early.
async fn all_that_is_ready<F: Future>(in_flight: &mut FuturesUnordered<F>, settled: &mut Vec<F::Output>) {
    let mut empty_rounds = 0;
    while empty_rounds < 2 {
        let before = settled.len();
        std::future::poll_fn(|context| {
            while let Poll::Ready(Some(result)) = in_flight.poll_next_unpin(context) {
                settled.push(result);
            }
            Poll::Ready(())
        })
        .await;
        if settled.len() == before {
            empty_rounds += 1;
        } else {
            empty_rounds = 0;
        }
        if empty_rounds == 1 {
            tokio::task::yield_now().await;
        }
    }
}
