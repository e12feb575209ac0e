//! Messages between being handed in and being confirmed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lapin::message::BasicReturnMessage;
use tokio::sync::oneshot;

use super::message::{described, is_returned};
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

    /// The next message that has to be sent now. While there are suspects, one of them at a time and nothing else.
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

    /// Tells what the confirmations say. A return is about the message that it names, and says nothing of the one whose
    /// confirmation carried it: that one is sent again.
    pub(super) fn settle(&mut self, confirmed: Vec<(u64, Verdict, Option<BasicReturnMessage>)>) {
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

    /// Everything goes out again, over a new channel.
    pub(super) fn send_again(&mut self) {
        self.alone = None;
        self.to_send = self.entries.keys().copied().collect();
    }

    /// The broker closed the channel over one of the messages that were on their way. One that was alone has found its
    /// judge; several are sent again one by one, so that one bad message does not take its neighbours along.
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
    fn named_by(&self, returned: &BasicReturnMessage, carrier: u64) -> Option<u64> {
        let fits = |entry: &Entry| is_returned(&entry.outgoing, returned);
        if self.entries.get(&carrier).is_some_and(fits) {
            return Some(carrier);
        }
        self.entries
            .iter()
            .find(|(_, entry)| fits(entry))
            .map(|(key, _)| *key)
    }
}
