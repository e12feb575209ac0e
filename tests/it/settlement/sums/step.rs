//! What happens, by chance.

use proptest::prelude::*;

use super::JOBS;

/// What happens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// The job is handed in again, if it is open.
    HandIn(usize),
    /// A worker decides on the job as it stands, if nobody has; settlement hears of it later.
    Decide(usize, bool),
    /// Somebody disputes one of the decisions, which need not be effective any more.
    Dispute(usize, bool),
    /// Settlement hears of one of the decisions, so many times.
    Settle(usize, u8),
    /// The same, by a settler that is cut off after so many microseconds.
    Crash(usize, u16),
    /// Two settlers hear of two decisions side by side.
    Race(usize, usize),
    /// Settlement finds what it never heard of.
    Lost,
    /// The receiver spends so many cents.
    Spend(i64),
    /// Payments stop or go on.
    Pause(bool),
    /// What waited is looked at.
    Release,
    /// The job's row names another receiver than was signed, or the right one again.
    Misplace(usize, bool),
    /// A person has an exception tried again.
    Again(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let job = 0..JOBS.len();
    let which = 0..1_000_usize;
    prop_oneof![
        3 => job.clone().prop_map(Step::HandIn),
        5 => (job.clone(), any::<bool>()).prop_map(|(job, verified)| Step::Decide(job, verified)),
        6 => (which.clone(), any::<bool>()).prop_map(|(which, verified)| Step::Dispute(which, verified)),
        8 => (which.clone(), 1..3_u8).prop_map(|(which, times)| Step::Settle(which, times)),
        3 => (which.clone(), 0..6_000_u16).prop_map(|(which, after)| Step::Crash(which, after)),
        3 => (which.clone(), which.clone()).prop_map(|(one, other)| Step::Race(one, other)),
        1 => Just(Step::Lost),
        1 => (1..3_000_i64).prop_map(Step::Spend),
        2 => any::<bool>().prop_map(Step::Pause),
        2 => Just(Step::Release),
        2 => (job.clone(), any::<bool>()).prop_map(|(job, wrong)| Step::Misplace(job, wrong)),
        4 => which.clone().prop_map(Step::Again),
    ]
}

/// One step, or some in a row that chance alone would seldom find: a payment waits; what waits becomes an exception; a person
/// has an exception tried again while the brake holds.
pub(super) fn scene() -> impl Strategy<Value = Vec<Step>> {
    use Step::*;
    let job = 0..JOBS.len();
    prop_oneof![
        6 => step().prop_map(|step| vec![step]),
        1 => job.clone().prop_map(|job| vec![Pause(true), HandIn(job), Decide(job, true), Lost]),
        1 => job.clone().prop_map(|job| vec![Misplace(job, true), Pause(false), Release]),
        1 => (job, 0..1_000_usize)
            .prop_map(|(job, which)| vec![Pause(true), Misplace(job, false), Again(which)]),
    ]
}
