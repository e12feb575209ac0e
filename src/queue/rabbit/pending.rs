//! Messages between being handed in and being confirmed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::message::{Returned, described};
use super::publisher::Request;
use crate::queue::{Outgoing, QueueError};

/// What a confirmation says of the message that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The broker has it.
    Taken,
    /// The broker does not want it.
    Refused,
}

struct Entry {
    outgoing: Arc<Outgoing>,
    done: oneshot::Sender<Result<(), QueueError>>,
    sent: Instant,
    /// The broker closed a channel on which this one was unconfirmed.
    suspect: bool,
}

/// The table of unconfirmed messages. Each sending has a key of its own; keys count up.
#[derive(Default)]
pub(super) struct Pending {
    entries: BTreeMap<u64, Entry>,
    to_send: VecDeque<u64>,
    last_key: u64,
    /// Suspects among the entries.
    suspects: usize,
    /// The suspect that is on its way alone.
    alone: Option<u64>,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn extend(&mut self, requests: impl IntoIterator<Item = Request>) {
        for Request { outgoing, done } in requests {
            self.insert(Entry {
                outgoing: Arc::new(outgoing),
                done,
                sent: Instant::now(),
                suspect: false,
            });
        }
    }

    /// The next message that has to be sent now. While there are suspects, one of them at a time and nothing
    /// else.
    pub(super) fn next_to_send(&mut self) -> Option<(u64, Arc<Outgoing>)> {
        let key = if self.suspects == 0 {
            self.to_send.pop_front()?
        } else if self.alone.is_some() {
            return None;
        } else {
            let position = self.to_send.iter().position(|key| self.is_suspect(*key))?;
            let key = self.to_send.remove(position)?;
            self.alone = Some(key);
            key
        };
        let entry = self.entries.get_mut(&key)?;
        entry.sent = Instant::now();
        Some((key, Arc::clone(&entry.outgoing)))
    }

    /// Tells what the confirmations say. A return is about the message that it names, and says nothing of the
    /// one whose confirmation carried it: that one is sent again.
    pub(super) fn settle(&mut self, confirmed: Vec<(u64, Verdict, Option<Returned>)>) {
        let mut carriers = Vec::new();
        for (carrier, _, returned) in &confirmed {
            let Some(returned) = returned else { continue };
            if let Some(key) = self.named_by(returned, *carrier) {
                self.tell(key, |outgoing| {
                    Err(QueueError::Unroutable(described(outgoing.to)))
                });
                if key == *carrier {
                    continue;
                }
            }
            carriers.push(*carrier);
        }
        for (key, verdict, _) in &confirmed {
            if *verdict == Verdict::Refused {
                self.tell(*key, |outgoing| Err(QueueError::Refused(described(outgoing.to))));
            } else if !carriers.contains(key) {
                self.tell(*key, |_| Ok(()));
            }
        }
        for key in carriers {
            if let Some(entry) = self.remove(key) {
                self.insert(entry);
            }
        }
    }

    /// Everything goes out again, over a new channel, but for what nobody waits for any more: whoever gave up publishes it anew,
    /// and a queue that confirms nothing must not fill the table for the others.
    pub(super) fn send_again(&mut self) {
        self.alone = None;
        self.entries.retain(|_, entry| !entry.done.is_closed());
        self.suspects = self.entries.values().filter(|entry| entry.suspect).count();
        self.to_send = self.entries.keys().copied().collect();
    }

    /// The broker closed the channel over one of the messages that were on their way. One that was alone has
    /// found its judge; several are sent again one by one, so that one bad message does not take its
    /// neighbours along.
    pub(super) fn blame(&mut self, reason: &str) {
        if let Some(key) = self.alone.take() {
            let answer = |outgoing: &Outgoing| {
                let to = described(outgoing.to);
                if reason.contains("NOT_FOUND") || reason.contains("NOT-FOUND") {
                    Err(QueueError::Unroutable(to))
                } else {
                    Err(QueueError::Refused(format!("{to}: {reason}")))
                }
            };
            self.tell(key, answer);
        } else {
            let waiting: std::collections::HashSet<u64> = self.to_send.iter().copied().collect();
            for (key, entry) in &mut self.entries {
                if !waiting.contains(key) && !entry.suspect {
                    entry.suspect = true;
                    self.suspects += 1;
                }
            }
        }
        self.send_again();
    }

    /// How long the oldest message has been on its way.
    pub(super) fn oldest_age(&self) -> Option<Duration> {
        let sent = self.entries.values().map(|entry| entry.sent).min()?;
        Some(sent.elapsed())
    }

    /// Time that was spent waiting for the broker's alarm to end does not count.
    pub(super) fn restart_clocks(&mut self) {
        let now = Instant::now();
        for entry in self.entries.values_mut() {
            entry.sent = now;
        }
    }

    fn is_suspect(&self, key: u64) -> bool {
        self.entries.get(&key).is_some_and(|entry| entry.suspect)
    }

    fn insert(&mut self, entry: Entry) {
        self.last_key += 1;
        self.suspects += usize::from(entry.suspect);
        self.entries.insert(self.last_key, entry);
        self.to_send.push_back(self.last_key);
    }

    fn remove(&mut self, key: u64) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        self.suspects -= usize::from(entry.suspect);
        self.alone.take_if(|alone| *alone == key);
        Some(entry)
    }

    fn tell(&mut self, key: u64, answer: impl FnOnce(&Outgoing) -> Result<(), QueueError>) {
        if let Some(entry) = self.remove(key) {
            let answer = answer(&entry.outgoing);
            // Whoever published may have stopped waiting.
            drop(entry.done.send(answer));
        }
    }

    /// The sending that the return is about: the carrier itself where it fits, else another.
    fn named_by(&self, returned: &Returned, carrier: u64) -> Option<u64> {
        let fits = |entry: &Entry| returned.is(&entry.outgoing);
        if self.entries.get(&carrier).is_some_and(fits) {
            return Some(carrier);
        }
        self.entries
            .iter()
            .find(|(_, entry)| fits(entry))
            .map(|(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use crate::queue::{Destination, Lane};

    type Answer = oneshot::Receiver<Result<(), QueueError>>;

    #[test]
    fn what_nobody_waits_for_any_more_is_not_sent_again() {
        let mut pending = Pending::default();
        let waited_for = hand_in(&mut pending, Destination::Lane(Lane::Submitted), "waited for");
        let given_up = hand_in(&mut pending, Destination::Outcome(Outcome::Retry), "given up");
        while pending.next_to_send().is_some() {}
        drop(given_up);
        pending.send_again();
        assert_eq!(pending.len(), 1);
        let (_, again) = pending.next_to_send().unwrap();
        assert_eq!(again.message_id, "waited for");
        assert!(pending.next_to_send().is_none());
        drop(waited_for);
    }

    fn hand_in(pending: &mut Pending, to: Destination, id: &str) -> Answer {
        let (done, answer) = oneshot::channel();
        let outgoing = Outgoing {
            to,
            message_id: id.to_owned(),
            body: Vec::new(),
            traceparent: None,
        };
        pending.extend([Request { outgoing, done }]);
        answer
    }

    fn lane(pending: &mut Pending, id: &str) -> Answer {
        hand_in(pending, Destination::Lane(Lane::Submitted), id)
    }

    fn outcome(pending: &mut Pending, id: &str) -> Answer {
        hand_in(pending, Destination::Outcome(Outcome::Verified), id)
    }

    fn send_all(pending: &mut Pending) -> Vec<u64> {
        std::iter::from_fn(|| pending.next_to_send())
            .map(|(key, _)| key)
            .collect()
    }

    fn returned_outcome(id: &str) -> Option<Returned> {
        Some(Returned {
            message_id: id.to_owned(),
            exchange: "assay.outcomes".to_owned(),
            key: "job.verified".to_owned(),
        })
    }

    /// What a message was told: `ok`, `unroutable`, `refused`, or `waits`.
    fn told(answer: &mut Answer) -> &'static str {
        match answer.try_recv() {
            Ok(Ok(())) => "ok",
            Ok(Err(QueueError::Unroutable(_))) => "unroutable",
            Ok(Err(_)) => "refused",
            Err(_) => "waits",
        }
    }

    #[test]
    fn a_return_blames_the_message_that_it_names_and_its_carrier_goes_out_again() {
        let mut pending = Pending::default();
        let (mut carrier, mut bad) = (lane(&mut pending, "a"), outcome(&mut pending, "b"));
        let mut third = lane(&mut pending, "c");
        let keys = send_all(&mut pending);
        pending.settle(vec![
            (keys[1], Verdict::Taken, None),
            (keys[0], Verdict::Taken, returned_outcome("b")),
            (keys[2], Verdict::Taken, None),
        ]);
        let answers = [&mut carrier, &mut bad, &mut third].map(told);
        assert_eq!(answers, ["waits", "unroutable", "ok"]);

        let again = send_all(&mut pending);
        assert_eq!(again.len(), 1);
        pending.settle(vec![(again[0], Verdict::Taken, None)]);
        assert_eq!(told(&mut carrier), "ok");
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn a_return_of_the_carrier_itself_sends_nothing_again() {
        let mut pending = Pending::default();
        let (mut same_id, mut bad) = (lane(&mut pending, "a"), outcome(&mut pending, "a"));
        let keys = send_all(&mut pending);
        pending.settle(vec![
            (keys[0], Verdict::Taken, None),
            (keys[1], Verdict::Taken, returned_outcome("a")),
        ]);
        assert_eq!((told(&mut same_id), told(&mut bad)), ("ok", "unroutable"));
        assert!(send_all(&mut pending).is_empty());
    }

    #[test]
    fn a_refused_message_is_refused_even_if_it_carries_the_return_of_another() {
        let mut pending = Pending::default();
        let (mut full, mut bad) = (lane(&mut pending, "a"), outcome(&mut pending, "b"));
        let keys = send_all(&mut pending);
        pending.settle(vec![(keys[0], Verdict::Refused, returned_outcome("b"))]);
        assert_eq!((told(&mut full), told(&mut bad)), ("refused", "unroutable"));
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn over_a_closed_channel_suspects_go_out_one_by_one_and_the_last_alone_is_blamed() {
        let mut pending = Pending::default();
        let (mut good, mut bad) = (lane(&mut pending, "a"), outcome(&mut pending, "b"));
        assert_eq!(send_all(&mut pending).len(), 2);
        let mut late = lane(&mut pending, "c");
        pending.blame("NOT_FOUND");

        let first = send_all(&mut pending);
        assert_eq!(first.len(), 1, "one at a time");
        pending.settle(vec![(first[0], Verdict::Taken, None)]);
        assert_eq!(send_all(&mut pending).len(), 1);
        pending.blame("NOT_FOUND - no exchange");
        assert_eq!(
            [&mut good, &mut bad, &mut late].map(told),
            ["ok", "unroutable", "waits"]
        );
        assert_eq!(send_all(&mut pending).len(), 1);
    }

    #[test]
    fn after_a_break_everything_unconfirmed_goes_out_again() {
        let mut pending = Pending::default();
        let _answers: Vec<_> = ["a", "b"].map(|id| lane(&mut pending, id)).into();
        let keys = send_all(&mut pending);
        pending.settle(vec![(keys[0], Verdict::Taken, None)]);
        pending.send_again();
        assert_eq!(send_all(&mut pending), [keys[1]]);
    }
}
