//! Reserves tokens for calls, in an account of this process or of the pool.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::shares::{LeaseError, Leases, Reserved};
use super::window::Account;

/// How often tokens are asked for again that are not there yet.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// How long to wait after the pool's account could not be asked.
const ASK_LATER: Duration = Duration::from_secs(1);

/// How much later than its point in time a call may begin: less than the account's window is longer than a minute.
const LATE: Duration = Duration::from_millis(500);

/// Tokens of which so many may be used a minute.
pub(super) struct Tokens {
    per_minute: u64,
    account: Whose,
}

enum Whose {
    /// This process's alone.
    Own {
        opened: Instant,
        account: Mutex<Account>,
    },
    /// The pool's.
    Pool { leases: Arc<dyn Leases>, holder: String },
}

/// Tokens that are reserved for a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reservation {
    second: i64,
    tokens: u64,
    /// When the call may begin.
    at: Instant,
}

impl Reservation {
    /// Waits until the call may begin. Tells whether it still may: whoever was woken late reserves again.
    pub(super) async fn is_due(&self) -> bool {
        tokio::time::sleep_until(self.at).await;
        self.at.elapsed() <= LATE
    }
}

impl Tokens {
    /// Nobody else uses any.
    pub(super) fn own(per_minute: u64) -> Self {
        let (opened, account) = (Instant::now(), Mutex::default());
        Self {
            per_minute,
            account: Whose::Own { opened, account },
        }
    }

    /// They are those of all processes.
    pub(super) fn of_pool(per_minute: u64, leases: Arc<dyn Leases>, holder: String) -> Self {
        Self {
            per_minute,
            account: Whose::Pool { leases, holder },
        }
    }

    /// Reserves tokens, however long it takes. May be dropped meanwhile.
    pub(super) async fn reserve(&self, tokens: u64) -> Reservation {
        loop {
            match self.reserve_once(tokens).await {
                Ok(Some(reserved)) => {
                    return Reservation {
                        second: reserved.second,
                        tokens,
                        at: Instant::now() + reserved.wait,
                    };
                }
                Ok(None) => tokio::time::sleep(ASK_AGAIN).await,
                Err(error) => {
                    tracing::warn!(%error, "judges wait for tokens of the budget");
                    tokio::time::sleep(ASK_LATER).await;
                }
            }
        }
    }

    async fn reserve_once(&self, tokens: u64) -> Result<Option<Reserved>, LeaseError> {
        let (leases, holder) = match &self.account {
            Whose::Own { opened, account } => {
                let mut account = account.lock().unwrap_or_else(PoisonError::into_inner);
                let reserved = account.reserve(tokens, self.per_minute, opened.elapsed().as_secs_f64());
                return Ok(reserved.map(|(second, wait)| Reserved { second, wait }));
            }
            Whose::Pool { leases, holder } => (Arc::clone(leases), holder.clone()),
        };
        let (tell, told) = oneshot::channel();
        let per_minute = self.per_minute;
        // Of its own: whoever waits may be called off, and a transaction must not be left half-way.
        tokio::spawn(async move {
            let reserved = leases.reserve(&holder, tokens, per_minute).await;
            if let Err(Ok(Some(reserved))) = tell.send(reserved) {
                give_back(leases.as_ref(), reserved.second, tokens).await;
            }
        });
        told.await
            .unwrap_or_else(|_| Err(LeaseError("the question for tokens was called off".to_owned())))
    }

    /// The call used as many.
    pub(super) fn used(&self, reservation: Reservation, tokens: u64) {
        let by = i64::try_from(i128::from(tokens) - i128::from(reservation.tokens)).unwrap_or(i64::MAX);
        if by == 0 {
            return;
        }
        match &self.account {
            Whose::Own { account, .. } => {
                let mut account = account.lock().unwrap_or_else(PoisonError::into_inner);
                account.correct(reservation.second, by);
            }
            Whose::Pool { leases, .. } => {
                // At the end of the process nobody is left to correct it.
                let Ok(runtime) = tokio::runtime::Handle::try_current() else {
                    return;
                };
                let leases = Arc::clone(leases);
                runtime.spawn(async move { correct(leases.as_ref(), reservation.second, by).await });
            }
        }
    }
}

async fn give_back(leases: &dyn Leases, second: i64, tokens: u64) {
    correct(
        leases,
        second,
        i64::try_from(tokens).map_or(i64::MIN, |tokens| -tokens),
    )
    .await;
}

async fn correct(leases: &dyn Leases, second: i64, by: i64) {
    if let Err(error) = leases.correct(second, by).await {
        tracing::warn!(%error, "the pool's account of tokens is not corrected: it counts what was thought before");
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use tokio::sync::mpsc;

    use super::super::pacer::{Ended, Pace, Pacer};
    use super::super::shares::{Ask, Grant};
    use super::*;

    /// What the pool's account is asked.
    #[derive(Debug, PartialEq)]
    enum Asked {
        /// To reserve as many; the first time it fails.
        Reserve(u64),
        /// To correct.
        Correct(i64),
    }

    struct Pool {
        opened: Instant,
        account: Mutex<Account>,
        asked: mpsc::UnboundedSender<Asked>,
        failures: Mutex<u32>,
    }

    #[async_trait]
    impl Leases for Pool {
        async fn ask(&self, _: &Ask) -> Result<Grant, LeaseError> {
            Err(LeaseError("only tokens are limited".to_owned()))
        }

        async fn reserve(
            &self,
            _: &str,
            tokens: u64,
            per_minute: u64,
        ) -> Result<Option<Reserved>, LeaseError> {
            self.asked.send(Asked::Reserve(tokens)).unwrap();
            let mut failures = self.failures.lock().unwrap();
            if *failures > 0 {
                *failures -= 1;
                return Err(LeaseError("the database restarts".to_owned()));
            }
            let now = self.opened.elapsed().as_secs_f64();
            let reserved = self.account.lock().unwrap().reserve(tokens, per_minute, now);
            Ok(reserved.map(|(second, wait)| Reserved { second, wait }))
        }

        async fn correct(&self, second: i64, by: i64) -> Result<(), LeaseError> {
            self.account.lock().unwrap().correct(second, by);
            self.asked.send(Asked::Correct(by)).unwrap();
            Ok(())
        }
    }

    fn pool(failures: u32) -> (Arc<Pool>, mpsc::UnboundedReceiver<Asked>) {
        let (asked, heard) = mpsc::unbounded_channel();
        let pool = Pool {
            opened: Instant::now(),
            account: Mutex::default(),
            asked,
            failures: Mutex::new(failures),
        };
        (Arc::new(pool), heard)
    }

    const PACE: Pace = Pace {
        max_concurrent: 10,
        requests_per_minute: None,
        tokens_per_minute: Some(60_000),
    };

    #[tokio::test]
    async fn processes_that_share_tokens_never_begin_large_calls_together() {
        let (pool, mut heard) = pool(0);
        let pacers: Vec<_> = (0..3)
            .map(|number| Pacer::shared(PACE, pool.clone(), format!("w{number}")))
            .collect();
        let first = pacers[0].enter(40_000).await;
        let mut waiting = tokio::task::JoinSet::new();
        for pacer in &pacers[1..] {
            let pacer = pacer.clone();
            waiting.spawn(async move { pacer.enter(40_000).await });
        }
        for _ in 0..5 {
            assert_eq!(heard.recv().await, Some(Asked::Reserve(40_000)));
        }
        assert!(waiting.try_join_next().is_none());
        // It used far less: there is room for one of the others, and not for both.
        first.ended(Ended::Answered { tokens: Some(1_200) });
        while heard.recv().await != Some(Asked::Correct(-38_800)) {}
        let second = tokio::time::timeout(Duration::from_secs(20), waiting.join_next()).await;
        assert!(second.is_ok_and(|second| second.is_some()));
        for _ in 0..3 {
            assert!(heard.recv().await.is_some());
        }
        assert!(waiting.try_join_next().is_none());
        waiting.shutdown().await;
        assert_eq!(pacers.iter().map(|pacer| pacer.concurrency().1).sum::<usize>(), 0);
    }

    #[tokio::test]
    async fn whoever_waits_has_its_tokens_when_they_can_be_asked_for_again() {
        let (pool, mut heard) = pool(1);
        let pacer = Pacer::shared(PACE, pool, "w".to_owned());
        let turn = tokio::time::timeout(Duration::from_secs(20), pacer.enter(40_000)).await;
        assert!(turn.is_ok(), "nobody asked again");
        for _ in 0..2 {
            assert_eq!(heard.recv().await, Some(Asked::Reserve(40_000)));
        }
    }

    #[tokio::test]
    async fn a_process_of_its_own_has_back_what_a_call_did_not_use() {
        let pacer = Pacer::alone(PACE);
        let turn = pacer.enter(60_000).await;
        turn.ended(Ended::Answered { tokens: Some(10) });
        let next = tokio::time::timeout(Duration::from_secs(20), pacer.enter(2_000)).await;
        assert!(next.is_ok(), "it was held to what was thought before");
    }
}
