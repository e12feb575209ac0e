//! Lets calls through, in the order in which they came.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::concurrency::Concurrency;
use super::rate::Rate;
use super::shares::{Ask, Grant, LEASE, Leases};

/// How often a share is asked for again.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How often it is asked for while somebody waits and has none.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// What a rate keeps for a waiter who is woken late.
const LATE: Duration = Duration::from_millis(250);

/// How much more than it used lately a process asks for.
const HEADROOM: f64 = 1.5;

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

struct Inner {
    pace: Pace,
    state: Mutex<State>,
    /// Held by the one who is next.
    turnstile: tokio::sync::Mutex<()>,
    changed: Notify,
    /// Somebody waits who has no share.
    wanting: Arc<Notify>,
}

struct State {
    concurrency: Concurrency,
    requests: Option<Rate>,
    tokens: Option<Rate>,
    /// When the share ends; never, where there is nobody to share with.
    share_until: Option<Instant>,
    share: f64,
    waiting: usize,
    /// Whether a rate kept somebody waiting since the share was last asked for.
    kept_waiting: bool,
    /// Requests let through since the share was last asked for.
    let_through: u32,
    asked_at: Instant,
}

impl Pacer {
    /// The whole pace is this process's.
    pub fn alone(pace: Pace) -> Self {
        let pacer = Self::new(pace, Arc::default());
        let whole = Grant {
            share: 1.0,
            holders: 1,
        };
        pacer.0.granted(whole, None);
        pacer
    }

    /// The rates are shared with other processes; `holder` names this one. Must be called within a runtime.
    pub fn shared(pace: Pace, leases: Arc<dyn Leases>, holder: String) -> Self {
        if pace.requests_per_minute.is_none() && pace.tokens_per_minute.is_none() {
            return Self::alone(pace);
        }
        let wanting = Arc::new(Notify::new());
        let pacer = Self::new(pace, Arc::clone(&wanting));
        tokio::spawn(keep_share(Arc::downgrade(&pacer.0), wanting, leases, holder));
        pacer
    }

    fn new(pace: Pace, wanting: Arc<Notify>) -> Self {
        let now = Instant::now();
        Self(Arc::new(Inner {
            pace,
            state: Mutex::new(State {
                concurrency: Concurrency::new(pace.max_concurrent),
                requests: pace.requests_per_minute.map(|_| Rate::new(now)),
                tokens: pace.tokens_per_minute.map(|_| Rate::new(now)),
                share_until: None,
                share: 0.0,
                waiting: 0,
                kept_waiting: false,
                let_through: 0,
                asked_at: now,
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
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            changed.as_mut().enable();
            let now = Instant::now();
            let wait = match self.0.state().begin(tokens, now) {
                Ok(()) => {
                    return Turn {
                        of: Arc::clone(&self.0),
                        began: now,
                        tokens,
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
    fn begin(&mut self, tokens: u64, now: Instant) -> Result<(), Wait> {
        if self.share_until.is_some_and(|until| until <= now) {
            self.share = 0.0;
            self.share_until = None;
            for rate in [&mut self.requests, &mut self.tokens].into_iter().flatten() {
                *rate = Rate::new(now);
            }
        }
        self.concurrency
            .begin(now)
            .map_err(|opens| opens.map_or(Wait::Change, Wait::Until))?;
        let begun = self.take(tokens, now);
        match begun {
            Ok(()) => self.let_through += 1,
            Err(_) => {
                self.concurrency.over();
                self.kept_waiting = true;
            }
        }
        begun.map_err(|wait| wait.map_or(Wait::Share, |wait| Wait::Until(now + wait)))
    }

    fn take(&mut self, tokens: u64, now: Instant) -> Result<(), Option<Duration>> {
        if let Some(requests) = &mut self.requests {
            requests.take(1.0, now)?;
        }
        if let Some(rate) = &mut self.tokens
            && let Err(wait) = rate.take(float(tokens), now)
        {
            if let Some(requests) = &mut self.requests {
                requests.used_more(-1.0, now);
            }
            return Err(wait);
        }
        Ok(())
    }

    /// The share that could be used, and the beginning of another period of counting.
    fn wanted(&mut self, pace: &Pace, now: Instant) -> f64 {
        let minutes = now.saturating_duration_since(self.asked_at).as_secs_f64() / 60.0;
        let lately = f64::from(self.let_through) / minutes.max(1.0 / 600.0);
        let busy = self.kept_waiting && self.waiting > 0;
        let limit = pace.requests_per_minute.map(f64::from);
        let wanted = match limit {
            _ if busy => 1.0,
            Some(limit) => HEADROOM * lately / limit,
            // Tokens alone are limited: who asks at all may need any of them.
            None if self.let_through > 0 || self.concurrency.running() > 0 => 1.0,
            None => 0.0,
        };
        self.asked_at = now;
        self.let_through = 0;
        self.kept_waiting = false;
        wanted.clamp(0.0, 1.0)
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn granted(&self, grant: Grant, until: Option<Instant>) {
        let now = Instant::now();
        let mut state = self.state();
        state.share = grant.share;
        state.share_until = until;
        if let (Some(rate), Some(limit)) = (&mut state.requests, self.pace.requests_per_minute) {
            let (per_minute, burst) = requests(f64::from(limit), grant);
            rate.set(per_minute, burst, now);
        }
        if let (Some(rate), Some(limit)) = (&mut state.tokens, self.pace.tokens_per_minute) {
            let limit = float(limit) * grant.share;
            rate.set(0.95 * limit, 0.05 * limit, now);
        }
        drop(state);
        self.changed.notify_waiters();
    }
}

/// The rate of a share, and what it keeps. Of the limit is kept back what all holders together might use at one moment, and
/// one in a hundred for requests that arrive closer together than they left.
fn requests(limit: f64, grant: Grant) -> (f64, f64) {
    #[expect(clippy::cast_precision_loss, reason = "a few hundred processes")]
    let at_once = grant.holders as f64;
    let late = limit * LATE.as_secs_f64() / 60.0;
    let usable = limit - (limit / 100.0).max(1.0) - at_once - late;
    let per_minute = usable.max(limit / 20.0) * grant.share;
    (per_minute, 1.0 + per_minute * LATE.as_secs_f64() / 60.0)
}

/// Asks for a share as long as the pacer lives and somebody uses it.
async fn keep_share(pacer: Weak<Inner>, wanting: Arc<Notify>, leases: Arc<dyn Leases>, holder: String) {
    loop {
        let Some(inner) = pacer.upgrade() else { return };
        let now = Instant::now();
        let (wanted, share) = {
            let mut state = inner.state();
            (state.wanted(&inner.pace, now), state.share)
        };
        let mut has_share = share > 0.0;
        if wanted > 0.0 || has_share {
            let ask = Ask {
                holder: holder.clone(),
                wanted,
            };
            match leases.ask(&ask).await {
                Ok(grant) => {
                    has_share = grant.share > 0.0;
                    // Counted from before the question: the other clock started later.
                    inner.granted(grant, Some(now + LEASE));
                }
                Err(error) => tracing::warn!(%error, "judges wait for their share of the budget"),
            }
        }
        drop(inner);
        if has_share {
            tokio::time::sleep(ASK_EVERY).await;
        } else {
            tokio::time::sleep(ASK_AGAIN).await;
            wanting.notified().await;
        }
    }
}

/// Counts one who waits.
struct Waiting<'a>(&'a Inner);

impl<'a> Waiting<'a> {
    fn new(inner: &'a Inner) -> Self {
        inner.state().waiting += 1;
        Self(inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

/// The turn of one call: it is under way until this is dropped.
pub struct Turn {
    of: Arc<Inner>,
    began: Instant,
    tokens: u64,
}

impl Turn {
    /// Tells how the call ended. A turn that is only dropped, as when the call was called off, says nothing of the endpoint.
    pub fn ended(self, ended: Ended) {
        let now = Instant::now();
        let mut state = self.of.state();
        match ended {
            Ended::Answered { tokens } => {
                state.concurrency.answered(now);
                if let (Some(rate), Some(used)) = (&mut state.tokens, tokens) {
                    rate.used_more(float(used) - float(self.tokens), now);
                }
            }
            Ended::TooMuch { retry_after } => state.concurrency.too_much(self.began, retry_after, now),
            Ended::Trouble => state.concurrency.trouble(now),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.of.state().concurrency.over();
        self.of.changed.notify_waiters();
    }
}

/// Counts of tokens: far below what a float holds exactly.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn float(tokens: u64) -> f64 {
    tokens as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use async_trait::async_trait;

    use super::super::shares::{Held, LeaseError, grant};
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
        assert_eq!(pacer.0.state().waiting, 0);
    }

    #[test]
    fn all_shares_together_stay_below_the_limit_and_use_it() {
        for (limit, holders) in [(600.0, 1), (600.0, 3), (60.0, 3), (10_000.0, 50)] {
            let part = Grant {
                share: 1.0 / f64::from(holders),
                holders: usize::try_from(holders).unwrap(),
            };
            let (per_minute, burst) = requests(limit, part);
            let most = f64::from(holders) * (per_minute + burst);
            assert!(most <= limit, "{most} of {limit}");
            if limit >= 600.0 {
                assert!(
                    f64::from(holders) * per_minute >= 0.95 * limit,
                    "{limit} {holders}"
                );
            }
        }
    }

    /// Leases in memory, all of them granted for as long as the test takes.
    #[derive(Default)]
    struct Kept(Mutex<BTreeMap<String, Held>>);

    #[async_trait]
    impl Leases for Kept {
        async fn ask(&self, ask: &Ask) -> Result<Grant, LeaseError> {
            let mut kept = self.0.lock().unwrap();
            let others: Vec<_> = kept
                .iter()
                .filter(|(holder, _)| **holder != ask.holder)
                .map(|(_, held)| *held)
                .collect();
            let share = grant(ask.wanted, &others);
            let held = Held {
                wanted: ask.wanted,
                share,
            };
            kept.insert(ask.holder.clone(), held);
            Ok(Grant {
                share,
                holders: 1 + others.iter().filter(|held| held.share > 0.0).count(),
            })
        }
    }

    #[tokio::test]
    async fn a_share_is_asked_for_when_somebody_waits_for_it() {
        let leases = Arc::new(Kept::default());
        let pacer = Pacer::shared(pace(10, Some(60_000)), leases.clone(), "w".to_owned());
        for _ in 0..5 {
            pacer.enter(1).await.ended(Ended::Answered { tokens: None });
        }
        assert!(leases.0.lock().unwrap()["w"].share > 0.0);
    }

    #[tokio::test]
    async fn nobody_asks_for_a_share_of_what_is_not_limited() {
        let leases = Arc::new(Kept::default());
        let pacer = Pacer::shared(pace(10, None), leases.clone(), "w".to_owned());
        drop(pacer.enter(1).await);
        assert!(leases.0.lock().unwrap().is_empty());
    }
}
