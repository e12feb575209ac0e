//! From a message's bytes to a submission that can be graded, or to the reason why it cannot.

use std::sync::Arc;

use super::plans::{Plans, choice_digest};
use crate::digest::Digest;
use crate::entry::escape_control;
use crate::job::{Job, JobId, JobStatus};
use crate::journal::JournalError;
use crate::journal::{Market, NewParked, Unplanned};
use crate::message::{MessageError, SubmittedJob, Work, without_variables};
use crate::plan::Plan;
use crate::submission::Submission;

/// Ids longer than this are nobody's.
const MAX_ID_BYTES: usize = 256;

/// A message as it came.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Its bytes.
    pub(super) body: Arc<Vec<u8>>,
    /// W3C trace context.
    pub(super) traceparent: Option<String>,
}

/// A hand-in that can be claimed.
pub(super) struct HandIn {
    /// What was handed in, its attachments not yet collected.
    pub(super) submission: Submission,
    /// The plan that judges it, or why none does: then it is parked, unless it is decided already.
    pub(super) plan: Result<Arc<Plan>, (&'static str, String)>,
    /// Digest of how the message names the plan.
    pub(super) plan_choice: Digest,
    /// The message with the whole job.
    pub(super) message: Arc<Vec<u8>>,
    /// W3C trace context.
    pub(super) traceparent: Option<String>,
    /// Who would be paid, and how much.
    pub(super) receiver: Option<String>,
    pub(super) price_cents: Option<i64>,
    /// The sender would like to call the job off: noted, and graded all the same.
    pub(super) cancellation_requested: bool,
    /// The sender has called the job off: closed without a verdict.
    pub(super) cancelled: bool,
}

/// What a message turns out to be.
pub(super) enum Intake {
    /// A hand-in.
    HandIn(Box<HandIn>),
    /// Something for a person.
    Park(NewParked),
}

/// Reads a message.
///
/// # Errors
/// Only where the database cannot be read; what is wrong with the message is an [`Intake::Park`].
pub(super) async fn read(
    message: Message,
    plans: &Plans,
    market: Option<&Market>,
) -> Result<Intake, JournalError> {
    let park = |about: Option<(JobId, u32)>, reason: &'static str, detail: &str| {
        Intake::Park(NewParked {
            about,
            reason,
            detail: escape_control(detail),
            message: without_variables(&message.body),
            digest: Digest::of(&message.body),
        })
    };
    let submitted = match SubmittedJob::parse(&message.body) {
        Ok(submitted) => submitted,
        Err(error @ MessageError::TooLarge(_)) => return Ok(park(None, "too-large", &error.to_string())),
        Err(error) => return Ok(park(None, "undecodable", &error.to_string())),
    };
    let SubmittedJob { work, plan: choice } = submitted;
    let (id, attempt) = match &work {
        Work::Whole(job) => (job.id.clone(), job.attempt_count),
        Work::Thin { job_id, attempt, .. } => (job_id.clone(), *attempt),
    };
    if id.as_str().is_empty() || id.as_str().len() > MAX_ID_BYTES || id.as_str().contains('\0') {
        return Ok(park(
            None,
            "undecodable",
            "the job's id is empty, too long or holds NUL",
        ));
    }
    if i32::try_from(attempt).is_err() {
        return Ok(park(None, "undecodable", "the attempt is out of range"));
    }
    let about = Some((id.clone(), attempt));
    let (job, body) = match work {
        Work::Whole(job) => (job, Arc::clone(&message.body)),
        Work::Thin {
            submission_sha256, ..
        } => {
            let job = match market {
                Some(market) => market.load_job(&id).await?,
                None => None,
            };
            let Some(job) = job else {
                return Ok(park(
                    about,
                    "missing-job",
                    "the marketplace has no such job, or its tables are not in this database",
                ));
            };
            if job.attempt_count != attempt {
                let now = job.attempt_count;
                return Ok(park(
                    about,
                    "stale",
                    &format!("the job is at attempt {now}, the message at {attempt}"),
                ));
            }
            let digest = Submission::of(&job).digest;
            if submission_sha256.is_some_and(|stated| stated != digest) {
                return Ok(park(
                    about,
                    "stale",
                    &format!("what is handed in now has the digest {digest}"),
                ));
            }
            let whole = SubmittedJob {
                work: Work::Whole(Box::new(job.clone())),
                plan: choice.clone(),
            };
            let body = whole
                .to_json()
                .map_err(|error| JournalError::Damaged(error.to_string()))?;
            (Box::new(job), Arc::new(body))
        }
    };
    match job.status {
        JobStatus::Submitted | JobStatus::Cancelled => {}
        status @ (JobStatus::PendingPayment
        | JobStatus::Queued
        | JobStatus::Held
        | JobStatus::Accepted
        | JobStatus::Verified
        | JobStatus::Failed) => {
            return Ok(park(
                about,
                "stale",
                &format!("the job is not handed in: its status is {status:?}"),
            ));
        }
    }
    let plan = plans
        .of(choice.as_ref())
        .map_err(|error| (error.reason(), escape_control(&error.to_string())));
    Ok(Intake::HandIn(Box::new(hand_in(
        &job,
        plan,
        choice_digest(choice.as_ref()),
        body,
        message.traceparent,
    ))))
}

fn hand_in(
    job: &Job,
    plan: Result<Arc<Plan>, (&'static str, String)>,
    plan_choice: Digest,
    message: Arc<Vec<u8>>,
    traceparent: Option<String>,
) -> HandIn {
    HandIn {
        submission: Submission::of(job),
        plan,
        plan_choice,
        message,
        traceparent,
        receiver: job.receiver.clone(),
        price_cents: job.price_cents,
        cancellation_requested: job.cancellation_requested,
        cancelled: job.status == JobStatus::Cancelled,
    }
}

/// A hand-in that comes a second time with other content: what is kept of it is for a person to read.
pub(super) fn changed(hand_in: &HandIn, reason: &'static str, detail: &str) -> NewParked {
    NewParked {
        about: Some((hand_in.submission.job_id.clone(), hand_in.submission.attempt)),
        reason,
        detail: detail.to_owned(),
        message: without_variables(&hand_in.message),
        digest: Digest::of(&hand_in.message),
    }
}

/// A hand-in that no plan judges.
pub(super) fn unplanned(hand_in: &HandIn) -> Unplanned {
    Unplanned {
        job_id: hand_in.submission.job_id.clone(),
        attempt: hand_in.submission.attempt,
        submission: hand_in.submission.digest,
        plan_choice: hand_in.plan_choice,
        message: Arc::clone(&hand_in.message),
        traceparent: hand_in.traceparent.clone(),
    }
}
