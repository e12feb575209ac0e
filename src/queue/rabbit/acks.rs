//! Acknowledgements of one channel, sent together: what came in while the last were written goes out at once,
//! and a run of neighbours in one frame.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::queue::Acker;

/// How many acknowledgements are sent together at most.
const BATCH: usize = 512;

/// How long the first of a batch waits for its neighbours: they are done at about the same time, in any order, and a run
/// of them costs the broker as much as one alone.
const LINGER: Duration = Duration::from_millis(3);

/// What one delivery asks for.
pub(super) enum Request {
    /// Done with; the answer says whether the broker heard it.
    Ack(u64, oneshot::Sender<bool>),
    /// Back into its queue.
    GiveBack(u64),
}

/// The acknowledgement of one delivery.
pub(super) struct RabbitAcker {
    pub(super) tag: u64,
    pub(super) requests: mpsc::UnboundedSender<Request>,
}

#[async_trait]
impl Acker for RabbitAcker {
    async fn ack(self: Box<Self>) -> bool {
        let (answer, answered) = oneshot::channel();
        let sent = self.requests.send(Request::Ack(self.tag, answer)).is_ok();
        sent && answered.await.unwrap_or(false)
    }

    async fn give_back(self: Box<Self>) {
        // A channel that is gone has given it back already.
        drop(self.requests.send(Request::GiveBack(self.tag)));
    }
}

/// Sends acknowledgements until every delivery of the channel was acknowledged or dropped, or the channel
/// breaks. Then it closes the channel, by which the broker takes back what was dropped.
pub(super) async fn send_acks(channel: Channel, mut requests: mpsc::UnboundedReceiver<Request>) {
    let mut outstanding = Outstanding::default();
    let mut batch = Vec::new();
    while requests.recv_many(&mut batch, BATCH).await > 0 {
        linger(&mut requests, &mut batch).await;
        if let Err(error) = send_batch(&channel, &mut outstanding, &mut batch).await {
            tracing::debug!(%error, "acknowledgements were not sent; the broker delivers again");
            return;
        }
    }
    if let Err(error) = channel.close(200, "done".into()).await {
        tracing::debug!(%error, "the channel was gone already");
    }
}

/// Takes what comes within [`LINGER`].
async fn linger(requests: &mut mpsc::UnboundedReceiver<Request>, batch: &mut Vec<Request>) {
    let until = Instant::now() + LINGER;
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        match timeout_at(until, requests.recv_many(batch, room)).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

async fn send_batch(
    channel: &Channel,
    outstanding: &mut Outstanding,
    batch: &mut Vec<Request>,
) -> lapin::Result<()> {
    let mut answers = Vec::with_capacity(batch.len());
    let (mut acked, mut given_back) = (Vec::with_capacity(batch.len()), Vec::new());
    for request in batch.drain(..) {
        match request {
            Request::Ack(tag, answer) => {
                acked.push(tag);
                answers.push(answer);
            }
            Request::GiveBack(tag) => given_back.push(tag),
        }
    }

    // First, since an acknowledgement of several covers every tag below it. `nack` and not `reject`: from
    // RabbitMQ 4.3 on, only the latter counts against the delivery limit.
    let requeue = BasicNackOptions {
        multiple: false,
        requeue: true,
    };
    for result in join_all(given_back.iter().map(|&tag| channel.basic_nack(tag, requeue))).await {
        result?;
    }
    let frames = outstanding.settle(acked, &given_back);
    let several = BasicAckOptions { multiple: true };
    let single = BasicAckOptions { multiple: false };
    if let Some(tag) = frames.up_to {
        channel.basic_ack(tag, several).await?;
    }
    for result in join_all(frames.single.iter().map(|&tag| channel.basic_ack(tag, single))).await {
        result?;
    }
    for answer in answers {
        // Whoever asked may have stopped waiting.
        let _unheard = answer.send(true);
    }
    Ok(())
}

/// Deliveries of the channel that are not yet settled, as far as tags are known. Tags count up from 1 without
/// gaps.
#[derive(Debug, Default)]
struct Outstanding {
    highest: u64,
    tags: BTreeSet<u64>,
}

/// The frames that acknowledge a batch.
#[derive(Debug, PartialEq, Eq)]
struct Frames {
    /// Acknowledges every unsettled tag up to this one.
    up_to: Option<u64>,
    /// Acknowledged one by one.
    single: Vec<u64>,
}

impl Outstanding {
    fn settle(&mut self, mut acked: Vec<u64>, given_back: &[u64]) -> Frames {
        for &tag in acked.iter().chain(given_back) {
            if tag > self.highest {
                self.tags.extend(self.highest + 1..=tag);
                self.highest = tag;
            }
            self.tags.remove(&tag);
        }
        acked.sort_unstable();
        let lowest_left = self.tags.first().copied().unwrap_or(u64::MAX);
        let run = acked.partition_point(|&tag| tag < lowest_left);
        let single = acked.split_off(run);
        // The tag that is named has to be unsettled itself, or the broker closes the channel: the last of the
        // batch is.
        Frames {
            up_to: acked.last().copied(),
            single,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_run_of_neighbours_takes_one_frame_and_stragglers_take_their_own() {
        let mut outstanding = Outstanding::default();
        let frames = outstanding.settle(vec![3, 1, 2, 5], &[]);
        assert_eq!(
            frames,
            Frames {
                up_to: Some(3),
                single: vec![5]
            }
        );
        let frames = outstanding.settle(vec![6, 4], &[]);
        assert_eq!(
            frames,
            Frames {
                up_to: Some(6),
                single: vec![]
            }
        );
    }

    proptest! {
        /// A model of the broker: what it has delivered and not heard of.
        #[test]
        fn exactly_what_was_asked_for_is_acknowledged(
            order in Just((1..=60_u64).collect::<Vec<_>>()).prop_shuffle(),
            sizes in prop::collection::vec(1..9_usize, 1..20),
            kinds in prop::collection::vec(0..5_u8, 60),
        ) {
            let mut outstanding = Outstanding::default();
            let mut broker: BTreeSet<u64> = (1..=60).collect();
            let (mut order, mut kept) = (order.into_iter(), BTreeSet::new());
            for size in sizes {
                let (mut acked, mut given_back) = (Vec::new(), Vec::new());
                for tag in order.by_ref().take(size) {
                    match kinds[usize::try_from(tag - 1).unwrap()] {
                        0 => given_back.push(tag),
                        1 => drop(kept.insert(tag)),
                        _ => acked.push(tag),
                    }
                }
                let mut expected: BTreeSet<u64> = broker.clone();
                expected.retain(|tag| !acked.contains(tag) && !given_back.contains(tag));
                for tag in &given_back {
                    prop_assert!(broker.remove(tag));
                }
                let frames = outstanding.settle(acked, &given_back);
                if let Some(tag) = frames.up_to {
                    prop_assert!(broker.contains(&tag), "the broker does not know tag {tag}");
                    broker.retain(|&other| other > tag);
                }
                for tag in frames.single {
                    prop_assert!(broker.remove(&tag), "the broker does not know tag {tag}");
                }
                prop_assert_eq!(&broker, &expected);
            }
            prop_assert!(kept.is_subset(&broker));
        }
    }
}
