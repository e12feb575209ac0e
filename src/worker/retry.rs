//! When a submission comes back after trouble of ours. Pure: what counts is in the claim, never in a message's headers.

use std::time::Duration;

use crate::evidence::GoneForGood;
use crate::journal::NotFound;
use crate::queue::Wait;
use crate::verdict::{ErrorKind, Recourse};

/// Waits between tries, the first after the first try. After the last try comes a person.
const WAITS: [Wait; 12] = [
    Wait::FiveSeconds,
    Wait::HalfMinute,
    Wait::TwoMinutes,
    Wait::TenMinutes,
    Wait::TenMinutes,
    Wait::TenMinutes,
    Wait::TenMinutes,
    Wait::TenMinutes,
    Wait::TenMinutes,
    Wait::TenMinutes,
    Wait::TenMinutes,
    Wait::TenMinutes,
];

/// A file is its giver's fault when its host has said so at this many tries, over at least this long (DESIGN.md section 2).
const GONE_TRIES: u32 = 3;
const GONE_OVER: Duration = Duration::from_secs(15 * 60);

/// What becomes of a submission after a grade error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It comes back, and this try counts.
    Later(Wait),
    /// It goes to the judges' lane at once; no try.
    JudgesLane,
    /// It goes back to where it came from at once; no try.
    HandBack,
    /// It is parked for a person.
    Park,
}

/// What becomes of a submission that met `kind` after `tries` earlier ones.
pub(super) fn next(kind: ErrorKind, tries: u32) -> Next {
    match (kind.recourse(), kind) {
        (Recourse::Permanent, _) => Next::Park,
        (Recourse::Transient, ErrorKind::JudgesBusy) => Next::JudgesLane,
        (Recourse::Transient, ErrorKind::Cancelled) => Next::HandBack,
        // Fifteen minutes must pass between the first and the third.
        (Recourse::Transient, ErrorKind::AttachmentNotFoundYet) if (tries as usize) < WAITS.len() => {
            Next::Later(Wait::TenMinutes)
        }
        (Recourse::Transient, _) => usize::try_from(tries)
            .ok()
            .and_then(|tries| WAITS.get(tries))
            .map_or(Next::Park, |wait| Next::Later(*wait)),
    }
}

/// How long a submission waits for a worker that has its plan, after `tries` runs that ended in trouble of ours: another had
/// it once. None: a person looks at it.
pub(super) fn without_plan(tries: u32) -> Option<Duration> {
    let wait = WAITS.get(usize::try_from(tries).ok()?)?;
    Some(wait.duration())
}

/// Which file is its giver's fault at this try, should its host say again that it does not exist.
pub(super) fn gone_for_good(earlier: Option<NotFound>) -> GoneForGood {
    match earlier {
        Some(missing) if missing.times + 1 >= GONE_TRIES && missing.since >= GONE_OVER => {
            GoneForGood::File(missing.file)
        }
        Some(_) | None => GoneForGood::Nothing,
    }
}

/// The shortest wait that lasts at least so long; the longest there is where none does.
pub(super) fn at_least(duration: Duration) -> Wait {
    Wait::ALL
        .into_iter()
        .find(|wait| wait.duration() >= duration)
        .unwrap_or(Wait::TenMinutes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn trouble_that_passes_comes_back_with_growing_waits_and_parks_after_the_last() {
        let waits: Vec<_> = (0..WAITS.len() as u32)
            .map(|tries| match next(ErrorKind::ModelUnavailable, tries) {
                Next::Later(wait) => wait,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(waits.is_sorted());
        assert_eq!(next(ErrorKind::ModelUnavailable, WAITS.len() as u32), Next::Park);
        let in_all: Duration = waits.iter().map(|wait| wait.duration()).sum();
        assert!(
            in_all > Duration::from_secs(3600),
            "an hour's trouble parks nobody: {in_all:?}"
        );
    }

    #[test]
    fn every_kind_of_error_comes_back_or_parks_and_none_becomes_an_outcome() {
        for kind in ErrorKind::ALL {
            let expected = match kind.recourse() {
                Recourse::Permanent => matches!(next(*kind, 0), Next::Park),
                Recourse::Transient => !matches!(next(*kind, 0), Next::Park),
            };
            assert!(expected, "{kind}");
        }
    }

    #[test]
    fn a_full_lane_and_a_shutdown_count_as_no_try() {
        for tries in [0, 50] {
            assert_eq!(next(ErrorKind::JudgesBusy, tries), Next::JudgesLane);
            assert_eq!(next(ErrorKind::Cancelled, tries), Next::HandBack);
        }
    }

    #[test]
    fn a_missing_file_is_its_givers_fault_at_the_third_try_over_fifteen_minutes() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        for (earlier, expected) in [
            (None, false),
            (Some((1, minutes(60))), false),
            (Some((2, minutes(14))), false),
            (Some((2, minutes(15))), true),
            (Some((9, minutes(1))), false),
        ] {
            let file = Digest::of(b"https://host/file");
            let earlier = earlier.map(|(times, since)| NotFound { file, times, since });
            let expected = if expected {
                GoneForGood::File(file)
            } else {
                GoneForGood::Nothing
            };
            assert_eq!(gone_for_good(earlier), expected, "{earlier:?}");
        }
        // The waits between three tries add up to it.
        assert_eq!(
            next(ErrorKind::AttachmentNotFoundYet, 0),
            Next::Later(Wait::TenMinutes)
        );
        assert_eq!(
            next(ErrorKind::AttachmentNotFoundYet, 1),
            Next::Later(Wait::TenMinutes)
        );
    }

    #[test]
    fn a_live_lease_is_waited_for_with_the_shortest_wait_that_outlasts_it() {
        for (left, wait) in [
            (0, Wait::Second),
            (1, Wait::Second),
            (2, Wait::FiveSeconds),
            (29, Wait::HalfMinute),
            (9_000, Wait::TenMinutes),
        ] {
            assert_eq!(at_least(Duration::from_secs(left)), wait, "{left}");
        }
    }
}
