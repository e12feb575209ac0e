//! The points of a delivery at which a worker may die, and, in debug builds, dying there on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::job::JobId;

/// A point between two steps of a delivery. The promises hold whichever of them is the last that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// The message was delivered; nothing is written.
    AfterDelivery,
    /// The claim is committed.
    AfterClaim,
    /// A grader runs.
    InGrader,
    /// The answer is known; nothing of it is committed.
    BeforeCommit,
    /// The decision is committed; nothing is published.
    AfterCommit,
    /// The outcome is confirmed by the broker.
    AfterPublish,
    /// Everything is done but the acknowledgement.
    BeforeAck,
}

impl CrashPoint {
    /// All, in the order in which a delivery passes them.
    pub const ALL: [Self; 7] = [
        Self::AfterDelivery,
        Self::AfterClaim,
        Self::InGrader,
        Self::BeforeCommit,
        Self::AfterCommit,
        Self::AfterPublish,
        Self::BeforeAck,
    ];

    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AfterDelivery => "after-delivery",
            Self::AfterClaim => "after-claim",
            Self::InGrader => "in-grader",
            Self::BeforeCommit => "before-commit",
            Self::AfterCommit => "after-commit",
            Self::AfterPublish => "after-publish",
            Self::BeforeAck => "before-ack",
        }
    }
}

impl std::str::FromStr for CrashPoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL
            .into_iter()
            .find(|point| point.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no crash point: {}", known()))
    }
}

/// Where a worker dies, for tests. By default nowhere.
#[derive(Debug, Clone, Default)]
pub struct Crash(Option<Arc<Plan>>);

#[derive(Debug)]
struct Plan {
    point: CrashPoint,
    /// Passes that are survived.
    left: AtomicU32,
    /// The only job that kills, if not all do.
    job: Option<JobId>,
}

impl Crash {
    /// Dies when `point` is reached after `passes` earlier times; where a job is given, whenever that job reaches it.
    pub fn at(point: CrashPoint, passes: u32, job: Option<JobId>) -> Self {
        Self(Some(Arc::new(Plan {
            point,
            left: AtomicU32::new(passes),
            job,
        })))
    }

    /// Whether the process dies at `point` now.
    pub(super) fn is_due(&self, point: CrashPoint, job: Option<&JobId>) -> bool {
        let Some(plan) = &self.0 else { return false };
        if plan.point != point {
            return false;
        }
        match &plan.job {
            Some(killer) => job == Some(killer),
            None => plan
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_err(),
        }
    }

    /// Dies here, as by `kill -9`, where that is asked for.
    pub(super) fn reached(&self, point: CrashPoint, job: Option<&JobId>) {
        if self.is_due(point, job) {
            die();
        }
    }
}

/// Ends the process as `kill -9` does: no destructor runs, nothing is flushed.
pub(super) fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_comes_at_its_point_after_its_passes_or_with_its_job() {
        for point in CrashPoint::ALL {
            assert_eq!(point.as_str().parse(), Ok(point));
        }
        let job = JobId::new("j");
        let crash = Crash::at(CrashPoint::AfterClaim, 2, None);
        assert!(!crash.is_due(CrashPoint::BeforeAck, Some(&job)));
        let due: Vec<_> = (0..4)
            .map(|_| crash.is_due(CrashPoint::AfterClaim, Some(&job)))
            .collect();
        assert_eq!(due, [false, false, true, true]);
        let killer = Crash::at(CrashPoint::InGrader, 0, Some(JobId::new("killer")));
        assert!(!killer.is_due(CrashPoint::InGrader, Some(&job)));
        assert!(killer.is_due(CrashPoint::InGrader, Some(&JobId::new("killer"))));
        assert!(!Crash::default().is_due(CrashPoint::InGrader, None));
    }
}
