//! Tokens of a minute: when those of the next call may be used.
//!
//! A call may take a large part of what a minute allows, so tokens are not leased as a rate: two processes, each within
//! its part, could ask at the same moment. They are reserved one call after the other, in one account for all processes,
//! and whoever has to wait for them keeps its place: no large call is overtaken by small ones for ever.

use std::collections::BTreeMap;
use std::time::Duration;

/// Seconds in which no more is used than a minute's tokens: calls may arrive closer together than they left.
const WINDOW: f64 = 61.0;

/// What may be used at once of the tokens that nobody has used lately. A call that is larger is paid off afterwards.
const BURST: f64 = 0.05;

/// Tokens that were used, or are reserved, within one second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Used {
    /// When the last of them are used, in seconds from now; below zero where that is past.
    pub at: f64,
    /// How many.
    pub tokens: u64,
}

/// How long a call waits that will use as many tokens of `per_minute`, after what others used and reserved, in order of time.
/// One that is larger than that is let through where nobody else uses any.
pub fn wait(tokens: u64, per_minute: u64, used: &[Used]) -> Duration {
    let limit = float(per_minute).max(1.0);
    let (rate, burst) = (limit / WINDOW, limit * BURST);
    let asked = float(tokens).min(limit);
    let (mut level, mut at) = (burst, used.first().map_or(0.0, |first| first.at));
    for used in used {
        level = (level + (used.at - at) * rate).min(burst) - float(used.tokens);
        at = used.at;
    }
    let paid_off = at + (asked.min(burst) - level).max(0.0) / rate;
    let mut from = paid_off.max(at).max(0.0);
    let mut in_window: f64 = used.iter().map(|used| float(used.tokens)).sum();
    for used in used {
        let leaves = used.at + WINDOW;
        if leaves > from {
            if in_window + asked <= limit {
                break;
            }
            from = leaves;
        }
        in_window -= float(used.tokens);
    }
    Duration::from_secs_f64(from.min(MOST_AHEAD))
}

/// Seconds that a call waits at most; no verification has as long.
const MOST_AHEAD: f64 = 86_400.0;

/// How long before they may be used tokens are reserved at most: until then less may turn out to have been used.
pub const AHEAD: Duration = Duration::from_millis(500);

/// How far back what was used counts.
pub const REMEMBERED: Duration = Duration::from_secs(62);

/// The account of a process that shares with nobody.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// By second: when the last of its tokens are used, and how many they are.
    seconds: BTreeMap<i64, (f64, u64)>,
}

impl Account {
    /// Reserves tokens at that time, in seconds since the account was opened, where they are there soon. Tells the second in
    /// which they count, and how long to wait for them.
    pub(super) fn reserve(&mut self, tokens: u64, per_minute: u64, now: f64) -> Option<(i64, Duration)> {
        let forgotten = now - REMEMBERED.as_secs_f64();
        self.seconds.retain(|_, (last, _)| *last > forgotten);
        let used: Vec<_> = self
            .seconds
            .values()
            .map(|(last, tokens)| Used {
                at: last - now,
                tokens: *tokens,
            })
            .collect();
        let wait = wait(tokens, per_minute, &used);
        if wait > AHEAD {
            return None;
        }
        let at = now + wait.as_secs_f64();
        #[expect(clippy::cast_possible_truncation, reason = "seconds since a process began")]
        let second = at.floor() as i64;
        let (last, sum) = self.seconds.entry(second).or_insert((at, 0));
        *last = last.max(at);
        *sum = sum.saturating_add(tokens);
        Some((second, wait))
    }

    /// More was used than had been reserved in that second, or less where it is below zero.
    pub(super) fn correct(&mut self, second: i64, by: i64) {
        if let Some((_, sum)) = self.seconds.get_mut(&second) {
            *sum = sum.saturating_add_signed(by);
        }
    }
}

/// Counts of tokens: far below what a float holds exactly.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn float(tokens: u64) -> f64 {
    tokens as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Most tokens of calls that may begin in any minute.
    fn most_in_a_minute(calls: &[(f64, u64)]) -> u64 {
        let within = |from: f64| {
            let calls = calls.iter().filter(|(at, _)| (from..from + 60.0).contains(at));
            calls.map(|(_, tokens)| tokens).sum::<u64>()
        };
        calls.iter().map(|(at, _)| within(*at)).max().unwrap_or(0)
    }

    /// When a call begins that asks from `now` on until its tokens are there.
    fn begins(account: &mut Account, tokens: u64, per_minute: u64, mut now: f64) -> f64 {
        loop {
            match account.reserve(tokens, per_minute, now) {
                Some((_, wait)) => return now + wait.as_secs_f64(),
                None => now += 0.2,
            }
        }
    }

    #[test]
    fn calls_that_need_most_of_a_minute_are_let_through_a_minute_apart() {
        let mut account = Account::default();
        let begun = [0.0, 0.1, 61.1].map(|now| begins(&mut account, 40_000, 60_000, now).round());
        assert_eq!(begun, [0.0, 61.0, 122.0]);
        // However long nobody asked meanwhile, what was used a moment ago is not forgotten.
        let mut account = Account::default();
        begins(&mut account, 40_000, 50_000, 0.0);
        assert_eq!(account.reserve(40_000, 50_000, 11.0), None);
        assert_eq!(begins(&mut account, 40_000, 50_000, 11.0).round(), 61.0);
    }

    #[test]
    fn what_was_reserved_in_vain_is_free_again() {
        let mut account = Account::default();
        let (second, _) = account.reserve(40_000, 60_000, 0.0).unwrap();
        assert_eq!(account.reserve(40_000, 60_000, 2.0), None);
        account.correct(second, -39_000);
        assert_eq!(account.reserve(40_000, 60_000, 2.0), Some((2, Duration::ZERO)));
        account.correct(second, i64::MIN);
        account.correct(7, 5);
    }

    #[test]
    fn small_calls_use_nearly_all_and_a_call_larger_than_the_limit_has_its_minute() {
        let mut account = Account::default();
        let mut calls = Vec::new();
        let mut now = 0.0;
        while now < 300.0 {
            now = begins(&mut account, 600, 60_000, now);
            calls.push((now, 600));
        }
        let steady = calls.iter().filter(|(at, _)| (120.0..180.0).contains(at));
        let used: u64 = steady.map(|(_, tokens)| tokens).sum();
        assert!((57_000..=60_000).contains(&used), "{used}");
        assert!(most_in_a_minute(&calls) <= 60_000);
        let large = begins(&mut account, 200_000, 60_000, now);
        let next = begins(&mut account, 1, 60_000, large);
        assert!(
            large >= now + 60.0 && next >= large + 60.0,
            "{now} {large} {next}"
        );
    }

    proptest! {
        #[test]
        fn no_minute_sees_more_than_its_tokens(
            calls in prop::collection::vec((0.0_f64..20.0, 1_u64..60_000), 1..60),
        ) {
            let mut account = Account::default();
            let (mut now, mut begun) = (0.0, Vec::new());
            for (idle, tokens) in calls {
                let at = begins(&mut account, tokens, 60_000, now + idle);
                begun.push((at, tokens));
                // The next may ask before this one begins.
                now = at - AHEAD.as_secs_f64();
            }
            prop_assert!(most_in_a_minute(&begun) <= 60_000, "{begun:?}");
        }
    }
}
