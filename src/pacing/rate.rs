//! A rate that may change, and what of it has not been used yet.

use std::time::Duration;

use tokio::time::Instant;

/// A token bucket whose rate may change. It begins empty, so that a share that was just granted brings no burst with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    per_second: f64,
    /// Most that is kept for later; at least one.
    burst: f64,
    /// What may be used now.
    level: f64,
    at: Instant,
}

impl Rate {
    /// Nothing may be used until a rate is set.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            per_second: 0.0,
            burst: 0.0,
            level: 0.0,
            at: now,
        }
    }

    /// From now on as much a minute, of which `burst` is kept while nobody uses it.
    pub(super) fn set(&mut self, per_minute: f64, burst: f64, now: Instant) {
        self.refill(now);
        self.per_second = per_minute.max(0.0) / 60.0;
        self.burst = burst;
        self.level = self.level.min(burst);
    }

    /// Uses one.
    ///
    /// # Errors
    /// How long to wait; none where nothing comes at all.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Option<Duration>> {
        self.refill(now);
        let missing = 1.0 - self.level;
        // A sum of many small parts may stay a hair below one.
        if missing <= 1e-9 && self.per_second > 0.0 {
            self.level -= 1.0;
            return Ok(());
        }
        if self.per_second <= 0.0 {
            return Err(None);
        }
        Err(Some(Duration::from_secs_f64(
            (missing / self.per_second).clamp(0.001, 3_600.0),
        )))
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.per_second).min(self.burst);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test]
    async fn it_begins_empty_and_keeps_no_more_than_its_burst() {
        let start = Instant::now();
        let after = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut rate = Rate::new(start);
        assert_eq!(rate.take(start), Err(None));
        rate.set(60.0, 2.0, start);
        let Err(Some(wait)) = rate.take(start) else {
            panic!("it was not empty")
        };
        assert!((wait.as_secs_f64() - 1.0).abs() < 1e-6);
        assert_eq!(rate.take(after(1.0)), Ok(()));
        assert_eq!(rate.take(after(100.0)), Ok(()));
        assert_eq!(rate.take(after(100.0)), Ok(()));
        assert!(rate.take(after(100.0)).is_err());
    }

    proptest! {
        #[test]
        fn no_minute_sees_more_than_the_rate_and_one_burst(
            waits in prop::collection::vec(0.0_f64..5.0, 1..400),
            per_minute in 1.0_f64..600.0,
            burst in 1.0_f64..5.0,
        ) {
            let start = Instant::now();
            let mut rate = Rate::new(start);
            rate.set(per_minute, burst, start);
            let mut at = 0.0;
            let mut taken = Vec::new();
            for wait in waits {
                at += wait;
                if rate.take(start + Duration::from_secs_f64(at)).is_ok() {
                    taken.push(at);
                }
            }
            for (index, first) in taken.iter().enumerate() {
                let within = taken[index..].iter().filter(|at| *at - first < 60.0).count();
                prop_assert!(within as f64 <= per_minute + burst + 1e-6, "{within}");
            }
        }
    }
}
