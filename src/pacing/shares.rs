//! Who may use how much of a rate that many processes share.
//!
//! A share is leased for a few seconds and asked for again and again. It grows only into what is free, and what another has
//! given up is free when the lease under which it was used has ended: at no moment are more than all shares in use,
//! whatever was lost on the way.

use std::time::Duration;

use async_trait::async_trait;

/// For how long a share is granted.
pub const LEASE: Duration = Duration::from_secs(4);

/// What a process asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Who asks: one name for each process.
    pub holder: String,
    /// The share that it could use, from 0 to 1.
    pub wanted: f64,
}

/// What it gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grant {
    /// Its share, from 0 to 1.
    pub share: f64,
    /// Processes that have a share, this one included.
    pub holders: usize,
}

/// What another process holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Held {
    /// The share that it asked for last.
    pub wanted: f64,
    /// The largest share that it may still be using.
    pub share: f64,
}

/// Tokens that were reserved for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// The second in which they count, on the clock of whoever keeps the account.
    pub second: i64,
    /// How long from now until the call may begin.
    pub wait: Duration,
}

/// The share cannot be asked for.
#[derive(Debug, thiserror::Error)]
#[error("the pool's budget cannot be asked for: {0}")]
pub struct LeaseError(pub String);

/// Keeps who has which share and which tokens, on one clock for all.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Asks for a share for [`LEASE`] from now on, in place of the one that was granted before.
    ///
    /// # Errors
    /// Where it cannot be kept; the share that was granted before ends when its lease does.
    async fn ask(&self, ask: &Ask) -> Result<Grant, LeaseError>;

    /// Reserves the tokens of a call of that process, of which all together may use `per_minute`: see [`super::wait`]. None
    /// where they are not there soon: the process keeps its place before those who ask later, as long as it goes on asking.
    ///
    /// # Errors
    /// Where it cannot be kept.
    async fn reserve(
        &self,
        holder: &str,
        tokens: u64,
        per_minute: u64,
    ) -> Result<Option<Reserved>, LeaseError>;

    /// More tokens were used than had been reserved in that second, or less where it is below zero.
    ///
    /// # Errors
    /// Where it cannot be kept.
    async fn correct(&self, second: i64, by: i64) -> Result<(), LeaseError>;
}

/// The share of a process that wants as much, beside what others hold: its fair part, but no more than is free.
pub fn grant(wanted: f64, others: &[Held]) -> f64 {
    let free = 1.0 - others.iter().map(|held| held.share).sum::<f64>();
    fair(wanted, others).min(free).clamp(0.0, 1.0)
}

/// Max-min fairness: whoever wants less than an equal part gets it, and leaves the rest to the others.
fn fair(wanted: f64, others: &[Held]) -> f64 {
    let mut wants: Vec<f64> = others.iter().map(|held| held.wanted.clamp(0.0, 1.0)).collect();
    wants.sort_by(f64::total_cmp);
    let mut rest = 1.0;
    for (index, want) in wants.iter().enumerate() {
        // As many as still want more, and the one who asks.
        #[expect(clippy::cast_precision_loss, reason = "a few hundred processes")]
        let equal = rest / (wants.len() - index + 1) as f64;
        if wanted <= equal {
            return wanted.max(0.0);
        }
        if *want > equal {
            return equal;
        }
        rest -= want;
    }
    wanted.clamp(0.0, rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held(wanted: f64, share: f64) -> Held {
        Held { wanted, share }
    }

    #[test]
    fn whoever_is_alone_with_work_gets_all() {
        assert_eq!(grant(1.0, &[]), 1.0);
        assert_eq!(grant(1.0, &[held(0.0, 0.0), held(0.0, 0.0)]), 1.0);
        assert_eq!(grant(0.1, &[]), 0.1);
    }

    #[test]
    fn those_who_want_more_share_what_the_others_leave() {
        assert_eq!(grant(1.0, &[held(1.0, 0.0)]), 0.5);
        assert_eq!(grant(1.0, &[held(1.0, 0.0), held(0.2, 0.0)]), 0.4);
        assert_eq!(grant(0.3, &[held(1.0, 0.0), held(1.0, 0.0)]), 0.3);
    }

    #[test]
    fn nobody_gets_what_another_may_still_be_using() {
        assert_eq!(grant(1.0, &[held(1.0, 1.0)]), 0.0);
        assert_eq!(grant(1.0, &[held(0.0, 0.75)]), 0.25);
    }

    #[derive(Debug, Clone)]
    struct Process {
        wanted: f64,
        share: f64,
        until: u64,
        /// Larger shares that it had before, each with the end of its lease.
        before: Vec<(f64, u64)>,
    }

    proptest! {
        // Processes ask at any time, change their minds, and die.
        #[test]
        fn at_no_moment_are_more_than_all_shares_in_use(
            steps in prop::collection::vec((0_usize..5, 0.0_f64..1.2, 0_u64..3), 1..300),
        ) {
            let mut processes: Vec<Process> = vec![Process { wanted: 0.0, share: 0.0, until: 0, before: Vec::new() }; 5];
            let mut now = 0;
            for (who, wanted, passed) in steps {
                now += passed;
                let may_use = |process: &Process| {
                    let current = if process.until > now { process.share } else { 0.0 };
                    process.before.iter().filter(|(_, until)| *until > now).map(|(share, _)| *share).fold(current, f64::max)
                };
                let others: Vec<_> = processes
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| *index != who)
                    .map(|(_, process)| held(if process.until > now { process.wanted } else { 0.0 }, may_use(process)))
                    .collect();
                let share = grant(wanted, &others);
                let process = &mut processes[who];
                process.before.push((process.share, process.until));
                process.before.retain(|(_, until)| *until > now);
                (process.wanted, process.share, process.until) = (wanted, share, now + 4);
                let in_use: f64 = processes
                    .iter()
                    .map(|process| {
                        let current = if process.until > now { process.share } else { 0.0 };
                        process.before.iter().filter(|(_, until)| *until > now).map(|(share, _)| *share).fold(current, f64::max)
                    })
                    .sum();
                prop_assert!(in_use <= 1.0 + 1e-9, "{in_use}");
            }
        }
    }
}
