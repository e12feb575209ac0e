//! Lets calls through, in the order in which they came.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::concurrency::Concurrency;
use super::leasing::{Share, keep_share};
use super::shares::{Grant, Leases};
use super::tokens::{Reservation, Tokens};

/// How fast the endpoint may be asked. The rates are those of all processes that share them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Most calls at a time of this process.
    pub max_concurrent: usize,
    /// Requests a minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute, of questions and answers.
    pub tokens_per_minute: Option<u64>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            max_concurrent: 200,
            requests_per_minute: None,
            tokens_per_minute: None,
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Well; with the tokens that it used, where the endpoint counted them.
    Answered {
        /// Of question and answer.
        tokens: Option<u64>,
    },
    /// The endpoint asks for fewer calls.
    TooMuch {
        /// For how long it wants none.
        retry_after: Option<Duration>,
    },
    /// The endpoint has trouble of its own.
    Trouble,
}

/// Lets calls through. Cheap to clone; all clones share the pace.
#[derive(Clone)]
pub struct Pacer(Arc<Inner>);

/// What all clones share.
pub(super) struct Inner {
    pub(super) pace: Pace,
    tokens: Option<Tokens>,
    state: Mutex<State>,
    /// Held by the one who is next.
    turnstile: tokio::sync::Mutex<()>,
    /// Whoever is next looks again whether it may begin.
    pub(super) changed: Notify,
    /// Somebody waits who has no share.
    wanting: Arc<Notify>,
}

pub(super) struct State {
    pub(super) concurrency: Concurrency,
    pub(super) share: Share,
}

impl Pacer {
    /// The whole pace is this process's.
    pub fn alone(pace: Pace) -> Self {
        let tokens = pace.tokens_per_minute.map(Tokens::own);
        let pacer = Self::new(pace, tokens, Arc::default());
        let whole = Grant {
            share: 1.0,
            holders: 1,
        };
        pacer.0.granted(whole, None);
        pacer
    }

    /// The rates are shared with other processes; `holder` names this one. Must be called within a runtime.
    pub fn shared(pace: Pace, leases: Arc<dyn Leases>, holder: String) -> Self {
        let wanting = Arc::new(Notify::new());
        let tokens = pace
            .tokens_per_minute
            .map(|per_minute| Tokens::of_pool(per_minute, Arc::clone(&leases), holder.clone()));
        let pacer = Self::new(pace, tokens, Arc::clone(&wanting));
        if pace.requests_per_minute.is_none() {
            return pacer;
        }
        tokio::spawn(keep_share(Arc::downgrade(&pacer.0), wanting, leases, holder));
        pacer
    }

    fn new(pace: Pace, tokens: Option<Tokens>, wanting: Arc<Notify>) -> Self {
        let now = Instant::now();
        Self(Arc::new(Inner {
            pace,
            tokens,
            state: Mutex::new(State {
                concurrency: Concurrency::new(pace.max_concurrent),
                share: Share::new(pace, now),
            }),
            turnstile: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
            wanting,
        }))
    }

    /// Waits for the turn of a call that will use about as many tokens. May be dropped while it waits.
    pub async fn enter(&self, tokens: u64) -> Turn {
        let _waiting = Waiting::new(&self.0);
        let _next = self.0.turnstile.lock().await;
        let mut turn = self.begin().await;
        let Some(budget) = &self.0.tokens else {
            return turn;
        };
        loop {
            let reservation = budget.reserve(tokens).await;
            turn.reserved = Some(reservation);
            let due = reservation.is_due().await;
            let now = Instant::now();
            let opens = {
                let concurrency = &mut self.0.state().concurrency;
                concurrency.begins_late(now);
                concurrency.opens(now)
            };
            if due && opens.is_none() {
                turn.began = Some(now);
                return turn;
            }
            // What is used at another time than it counts is reserved anew.
            turn.give_back();
            tokio::time::sleep_until(opens.unwrap_or(now)).await;
        }
    }

    /// Waits until there is room for another call, and a request.
    async fn begin(&self) -> Turn {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            changed.as_mut().enable();
            let now = Instant::now();
            let wait = match self.0.state().begin(now) {
                Ok(()) => {
                    return Turn {
                        of: Arc::clone(&self.0),
                        began: self.0.tokens.is_none().then_some(now),
                        reserved: None,
                    };
                }
                Err(wait) => wait,
            };
            if wait == Wait::Share {
                self.0.wanting.notify_one();
            }
            match wait {
                Wait::Until(at) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                Wait::Change | Wait::Share => changed.await,
            }
        }
    }

    /// How fast the endpoint may be asked.
    pub fn pace(&self) -> Pace {
        self.0.pace
    }

    /// Calls at a time that are let through now, and calls under way.
    pub fn concurrency(&self) -> (usize, usize) {
        let state = self.0.state();
        (state.concurrency.limit(), state.concurrency.running())
    }
}

impl fmt::Debug for Pacer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pacer").field(&self.0.pace).finish()
    }
}

/// What the next call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// A point in time.
    Until(Instant),
    /// The end of another call.
    Change,
    /// A share.
    Share,
}

impl State {
    fn begin(&mut self, now: Instant) -> Result<(), Wait> {
        self.concurrency
            .begin(now)
            .map_err(|opens| opens.map_or(Wait::Change, Wait::Until))?;
        self.share.take(now).map_err(|wait| {
            self.concurrency.over();
            wait.map_or(Wait::Share, |wait| Wait::Until(now + wait))
        })
    }
}

impl Inner {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the share is this one, until it ends.
    pub(super) fn granted(&self, grant: Grant, until: Option<Instant>) {
        let now = Instant::now();
        self.state().share.granted(self.pace, grant, until, now);
        self.changed.notify_waiters();
    }
}

/// Counts one who waits.
struct Waiting<'a>(&'a Inner);

impl<'a> Waiting<'a> {
    fn new(inner: &'a Inner) -> Self {
        inner.state().share.waiting += 1;
        Self(inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().share.waiting -= 1;
    }
}

/// The turn of one call: it is under way until this is dropped.
pub struct Turn {
    of: Arc<Inner>,
    /// Not yet, while it waits for tokens.
    began: Option<Instant>,
    reserved: Option<Reservation>,
}

impl Turn {
    /// Tells how the call ended. A turn that is only dropped, as when the call was called off, says nothing of the endpoint.
    pub fn ended(self, ended: Ended) {
        let now = Instant::now();
        let mut state = self.of.state();
        match ended {
            Ended::Answered { tokens } => {
                state.concurrency.answered(now);
                if let (Some(budget), Some(reserved), Some(used)) = (&self.of.tokens, self.reserved, tokens) {
                    budget.used(reserved, used);
                }
            }
            Ended::TooMuch { retry_after } => {
                state
                    .concurrency
                    .too_much(self.began.unwrap_or(now), retry_after, now)
            }
            Ended::Trouble => state.concurrency.trouble(now),
        }
    }

    /// The tokens were reserved in vain.
    fn give_back(&mut self) {
        if let (Some(budget), Some(reserved)) = (&self.of.tokens, self.reserved.take()) {
            budget.used(reserved, 0);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.began.is_none() {
            self.give_back();
        }
        self.of.state().concurrency.over();
        self.of.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(max_concurrent: usize, requests_per_minute: Option<u32>) -> Pace {
        Pace {
            max_concurrent,
            requests_per_minute,
            tokens_per_minute: None,
        }
    }

    #[tokio::test]
    async fn no_more_calls_are_under_way_than_may_be_and_the_next_begins_when_one_ends() {
        let pacer = Pacer::alone(pace(2, None));
        let first = pacer.enter(1).await;
        let second = pacer.enter(1).await;
        let third = tokio::spawn({
            let pacer = pacer.clone();
            async move { drop(pacer.enter(1).await) }
        });
        tokio::task::yield_now().await;
        assert!(!third.is_finished());
        assert_eq!(pacer.concurrency(), (2, 2));
        first.ended(Ended::Answered { tokens: None });
        third.await.unwrap();
        drop(second);
        assert_eq!(pacer.concurrency(), (2, 0));
    }

    #[tokio::test]
    async fn whoever_gives_up_waiting_holds_nobody_up() {
        let pacer = Pacer::alone(pace(1, None));
        let running = pacer.enter(1).await;
        let waiting = tokio::spawn({
            let pacer = pacer.clone();
            async move { drop(pacer.enter(1).await) }
        });
        tokio::task::yield_now().await;
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        drop(running);
        drop(pacer.enter(1).await);
        assert_eq!(pacer.0.state().share.waiting, 0);
    }
}
