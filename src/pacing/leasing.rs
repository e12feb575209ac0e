//! What a process has of the requests a minute, and the task that asks for it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::pacer::{Inner, Pace};
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

/// What this process may use of the rate, and what it knows of its own demand.
pub(super) struct Share {
    requests: Option<Rate>,
    /// From 0 to 1.
    part: f64,
    /// When it ends; never, where there is nobody to share with.
    until: Option<Instant>,
    /// Calls that wait for their turn.
    pub(super) waiting: usize,
    /// Whether a rate kept somebody waiting since the share was last asked for.
    kept_waiting: bool,
    /// Requests let through since the share was last asked for.
    let_through: u32,
    asked_at: Instant,
}

impl Share {
    /// Nothing, until something is granted.
    pub(super) fn new(pace: Pace, now: Instant) -> Self {
        Self {
            requests: pace.requests_per_minute.map(|_| Rate::new(now)),
            part: 0.0,
            until: None,
            waiting: 0,
            kept_waiting: false,
            let_through: 0,
            asked_at: now,
        }
    }

    /// Takes what a call needs: one request.
    ///
    /// # Errors
    /// How long to wait; none where nothing comes without another share.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Option<Duration>> {
        if self.until.is_some_and(|until| until <= now) {
            self.part = 0.0;
            self.until = None;
            self.requests = self.requests.map(|_| Rate::new(now));
        }
        let taken = self
            .requests
            .as_mut()
            .map_or(Ok(()), |requests| requests.take(now));
        match taken {
            Ok(()) => self.let_through += 1,
            Err(_) => self.kept_waiting = true,
        }
        taken
    }

    /// From now on the share is this one.
    pub(super) fn granted(&mut self, pace: Pace, grant: Grant, until: Option<Instant>, now: Instant) {
        self.part = grant.share;
        self.until = until;
        if let (Some(rate), Some(limit)) = (&mut self.requests, pace.requests_per_minute) {
            let (per_minute, burst) = requests(f64::from(limit), grant);
            rate.set(per_minute, burst, now);
        }
    }

    /// The share that could be used, and the beginning of another period of counting.
    fn wanted(&mut self, pace: Pace, now: Instant) -> f64 {
        let minutes = now.saturating_duration_since(self.asked_at).as_secs_f64() / 60.0;
        let lately = f64::from(self.let_through) / minutes.max(1.0 / 600.0);
        let busy = self.kept_waiting && self.waiting > 0;
        let wanted = match pace.requests_per_minute {
            _ if busy => 1.0,
            Some(limit) => HEADROOM * lately / f64::from(limit),
            None => 0.0,
        };
        self.asked_at = now;
        self.let_through = 0;
        self.kept_waiting = false;
        wanted.clamp(0.0, 1.0)
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
pub(super) async fn keep_share(
    pacer: Weak<Inner>,
    wanting: Arc<Notify>,
    leases: Arc<dyn Leases>,
    holder: String,
) {
    loop {
        let Some(inner) = pacer.upgrade() else { return };
        let now = Instant::now();
        let (wanted, share) = {
            let mut state = inner.state();
            (state.share.wanted(inner.pace, now), state.share.part)
        };
        let (mut has_share, mut failed) = (share > 0.0, false);
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
                Err(error) => {
                    tracing::warn!(%error, "judges wait for their share of the budget");
                    failed = true;
                    // That somebody waits was told with this question: whoever still does tells it again.
                    inner.changed.notify_waiters();
                }
            }
        }
        drop(inner);
        if has_share || failed {
            tokio::time::sleep(ASK_EVERY).await;
        } else {
            tokio::time::sleep(ASK_AGAIN).await;
            wanting.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;

    use super::super::pacer::{Ended, Pacer};
    use super::super::shares::{Held, LeaseError, Reserved, grant};
    use super::*;

    fn pace(max_concurrent: usize, requests_per_minute: Option<u32>) -> Pace {
        Pace {
            max_concurrent,
            requests_per_minute,
            tokens_per_minute: None,
        }
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

        async fn reserve(&self, _: &str, _: u64, _: u64) -> Result<Option<Reserved>, LeaseError> {
            Err(LeaseError("only requests are limited".to_owned()))
        }

        async fn correct(&self, _: i64, _: i64) -> Result<(), LeaseError> {
            Ok(())
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

    /// Refuses as often, then grants all.
    struct Failing {
        failures: AtomicU32,
        asked: AtomicU32,
    }

    #[async_trait]
    impl Leases for Failing {
        async fn ask(&self, _: &Ask) -> Result<Grant, LeaseError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let left = |left: u32| left.checked_sub(1);
            match self
                .failures
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left)
            {
                Ok(_) => Err(LeaseError("the database restarts".to_owned())),
                Err(_) => Ok(Grant {
                    share: 1.0,
                    holders: 1,
                }),
            }
        }

        async fn reserve(&self, _: &str, _: u64, _: u64) -> Result<Option<Reserved>, LeaseError> {
            Err(LeaseError("only requests are limited".to_owned()))
        }

        async fn correct(&self, _: i64, _: i64) -> Result<(), LeaseError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn whoever_waits_has_its_share_when_it_can_be_asked_for_again() {
        let leases = Arc::new(Failing {
            failures: AtomicU32::new(2),
            asked: AtomicU32::new(0),
        });
        let pacer = Pacer::shared(pace(10, Some(60_000)), leases.clone(), "w".to_owned());
        let turn = tokio::time::timeout(Duration::from_secs(20), pacer.enter(1)).await;
        assert!(turn.is_ok(), "nobody asked again");
        assert!(leases.asked.load(Ordering::Relaxed) >= 3);
    }
}
