//! What settlement must do, in other words than its own.

use std::collections::{BTreeMap, HashSet};

use assay::entry::VerificationId;
use assay::job::JobStatus;
use assay::journal::{Effect, HoldReason, Settled};
use assay::message::OutcomeMessage;
use assay::outcome::Outcome;

use super::{FEE_BASIS_POINTS, JOBS, USERS};
use crate::settlement::STARTING;

/// A job as the model has it.
#[derive(Debug, Clone)]
pub(super) struct ModelJob {
    pub(super) status: JobStatus,
    pub(super) attempt: u32,
    pub(super) price: i64,
    /// The decision that paid, as long as it stands.
    pub(super) paid_by: Option<VerificationId>,
    /// Its row names another receiver than was signed.
    pub(super) misplaced: bool,
}

/// The table of transitions in other words: what each decision must do, in whatever order they come.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) jobs: BTreeMap<String, ModelJob>,
    pub(super) balances: BTreeMap<&'static str, i64>,
    pub(super) applied: Vec<OutcomeMessage>,
    pub(super) held: HashSet<VerificationId>,
    /// Open exceptions, in the order in which they were opened.
    pub(super) open: Vec<(VerificationId, &'static str)>,
    pub(super) paused: bool,
}

impl Model {
    pub(super) fn new() -> Self {
        let job = |price| ModelJob {
            status: JobStatus::Submitted,
            attempt: 0,
            price,
            paid_by: None,
            misplaced: false,
        };
        Self {
            jobs: JOBS.map(|(id, price)| (id.to_owned(), job(price))).into(),
            balances: USERS.map(|user| (user, STARTING)).into(),
            applied: Vec::new(),
            held: HashSet::new(),
            open: Vec::new(),
            paused: false,
        }
    }

    pub(super) fn pay(&mut self, user: &'static str, cents: i64) {
        *self.balances.get_mut(user).unwrap() += cents;
    }

    /// What settlement must answer, and does in the model.
    pub(super) fn settle(&mut self, message: &OutcomeMessage) -> Settled {
        let settled = self.answer(message);
        let id = message.verification_id;
        self.held.remove(&id);
        match settled {
            Settled::Held(_) => drop(self.held.insert(id)),
            Settled::Exception(reason) if self.open.contains(&(id, reason)) => {}
            Settled::Exception(reason) => self.open.push((id, reason)),
            Settled::Applied(_) => self.applied.push(message.clone()),
            Settled::Already => {}
        }
        settled
    }

    /// What trying an exception again must answer: it stays open as what it was, and as nothing else.
    pub(super) fn again(&mut self, message: &OutcomeMessage, reason: &'static str) -> Settled {
        let settled = self.settle(message);
        if settled != Settled::Exception(reason) {
            self.open
                .retain(|open| *open != (message.verification_id, reason));
        }
        settled
    }

    fn answer(&mut self, message: &OutcomeMessage) -> Settled {
        let id = message.verification_id;
        if self.applied.iter().any(|applied| applied.verification_id == id) {
            return Settled::Already;
        }
        let overturned = |applied: &OutcomeMessage| {
            applied
                .supersedes
                .is_some_and(|other| other == id || Some(other) == message.supersedes)
        };
        if self.applied.iter().any(overturned) {
            return Settled::Exception("overturned");
        }
        let job = self.jobs[message.job_id.as_str()].clone();
        let moved_on = Settled::Exception("moved-on");
        if job.attempt != message.attempt {
            return moved_on;
        }
        let reversed = job.status == JobStatus::Verified
            && message.outcome == Outcome::Retry
            && job.paid_by.is_some()
            && job.paid_by == message.supersedes;
        if job.misplaced && (job.status == JobStatus::Submitted || reversed) {
            return Settled::Exception("receiver-differs");
        }
        let fee = job.price * FEE_BASIS_POINTS / 10_000;
        let (status, effect) = match (job.status, message.outcome) {
            (JobStatus::Submitted, Outcome::Verified) if self.paused => {
                return Settled::Held(HoldReason::Paused);
            }
            (JobStatus::Submitted, Outcome::Verified) => {
                self.pay("receiver", job.price - fee);
                self.pay("platform", fee);
                (JobStatus::Verified, Effect::Paid)
            }
            (JobStatus::Submitted, Outcome::Retry) => again(job.attempt, (Effect::Requeued, Effect::Failed)),
            (JobStatus::Verified, Outcome::Retry) if reversed => {
                if self.balances["receiver"] < job.price - fee || self.balances["platform"] < fee {
                    return Settled::Exception("balance-too-low");
                }
                self.pay("receiver", fee - job.price);
                self.pay("platform", -fee);
                again(job.attempt, (Effect::ReversedRequeued, Effect::ReversedFailed))
            }
            _ => return moved_on,
        };
        if status == JobStatus::Failed {
            self.pay("sender", job.price);
        }
        let now = self.jobs.get_mut(message.job_id.as_str()).unwrap();
        now.status = status;
        now.paid_by = (status == JobStatus::Verified).then_some(id);
        now.attempt += u32::from(status != JobStatus::Verified);
        Settled::Applied(effect)
    }
}

/// What becomes of a job that is not verified at this attempt.
fn again(attempt: u32, (open, failed): (Effect, Effect)) -> (JobStatus, Effect) {
    if attempt + 1 < 3 {
        (JobStatus::Queued, open)
    } else {
        (JobStatus::Failed, failed)
    }
}
