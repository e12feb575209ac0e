//! From a message's bytes to a submission that can be graded, or to the reason why it cannot.

use std::sync::Arc;

use super::plans::{Plans, choice_digest};
use super::thin::Named;
use crate::digest::Digest;
use crate::entry::escape_control;
use crate::job::{Job, JobId, JobStatus};
use crate::journal::{JournalError, Market, NewParked, PgJournal, Unplanned};
use crate::message::{MessageError, PlanChoice, SubmittedJob, Work, without_variables};
use crate::plan::Plan;
use crate::queue::Lane;
use crate::submission::Submission;

/// Ids longer than this are nobody's.
const MAX_ID_BYTES: usize = 256;

/// Why something goes to a person: the reason in kebab-case, and the detail.
pub(super) type Unusable = (&'static str, String);

/// A message as it came.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Its bytes.
    pub(super) body: Arc<Vec<u8>>,
    /// W3C trace context.
    pub(super) traceparent: Option<String>,
    /// The job and attempt of the claim that keeps the message, where it comes from there and not from the broker.
    pub(super) claimed: Option<(JobId, u32)>,
}

/// A hand-in that can be claimed.
pub(super) struct HandIn {
    /// What was handed in, its attachments not yet collected.
    pub(super) submission: Submission,
    /// The plan that judges it, or why none does: then it is parked, unless it is decided already.
    pub(super) plan: Result<Arc<Plan>, Unusable>,
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
/// Only where the database cannot be read; what is wrong with the message, or with the job that it names, is an
/// [`Intake::Park`].
pub(super) async fn read(
    message: Message,
    plans: &Plans,
    journal: &PgJournal,
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
    if message.claimed.is_some() {
        return Ok(match kept_job(&message.body) {
            Ok((job, choice)) => {
                let plan = choose(plans, choice.as_ref());
                let choice = choice_digest(choice.as_ref());
                Intake::HandIn(Box::new(hand_in(
                    &job,
                    plan,
                    choice,
                    message.body,
                    message.traceparent,
                )))
            }
            Err((reason, detail)) => park(message.claimed.clone(), reason, &detail),
        });
    }
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
    let found = match work {
        Work::Whole(job) => handed_in(&job).map(|()| (job, Arc::clone(&message.body))),
        Work::Thin {
            submission_sha256, ..
        } => {
            let named = Named {
                id: &id,
                attempt,
                stated: submission_sha256,
                plan: choice.as_ref(),
            };
            // Rare, and its statements have more room than all else that a delivery carries.
            Box::pin(named.find(journal, market)).await?
        }
    };
    let (job, body) = match found {
        Ok(found) => found,
        Err((reason, detail)) => return Ok(park(about, reason, &detail)),
    };
    Ok(Intake::HandIn(Box::new(hand_in(
        &job,
        choose(plans, choice.as_ref()),
        choice_digest(choice.as_ref()),
        body,
        message.traceparent,
    ))))
}

/// The plan that judges, or the reason why none does.
fn choose(plans: &Plans, choice: Option<&PlanChoice>) -> Result<Arc<Plan>, Unusable> {
    plans
        .of(choice)
        .map_err(|error| (error.reason(), escape_control(&error.to_string())))
}

/// Whether the job is one that can be judged, or the reason why it is not.
pub(super) fn handed_in(job: &Job) -> Result<(), Unusable> {
    match job.status {
        JobStatus::Submitted | JobStatus::Cancelled => Ok(()),
        status @ (JobStatus::PendingPayment
        | JobStatus::Queued
        | JobStatus::Held
        | JobStatus::Accepted
        | JobStatus::Verified
        | JobStatus::Failed) => Err((
            "stale",
            format!("the job is not handed in: its status is {status:?}"),
        )),
    }
}

/// The job of a message that a claim keeps, or the reason why there is none.
pub(super) fn kept_job(message: &[u8]) -> Result<(Box<Job>, Option<PlanChoice>), Unusable> {
    match SubmittedJob::parse_kept(message) {
        Ok(SubmittedJob {
            work: Work::Whole(job),
            plan,
        }) => Ok((job, plan)),
        // Claims keep the whole job; the thin form is what an erasure leaves of it.
        Ok(SubmittedJob {
            work: Work::Thin { .. },
            ..
        }) => Err(("erased", "what was handed in has been erased".to_owned())),
        Err(error) => Err(("unreadable-hand-in", error.to_string())),
    }
}

impl HandIn {
    /// What is judged: the hand-in as its claim keeps it, whatever the message at hand says of the task by now. That the
    /// sender calls the job off counts whenever he does.
    ///
    /// # Errors
    /// Reason and detail, where what is kept cannot be read.
    pub(super) fn rebuilt_from(self, kept: &Arc<Vec<u8>>) -> Result<Self, Unusable> {
        if **kept == *self.message {
            return Ok(self);
        }
        let (job, _) = kept_job(kept)?;
        let message = Arc::clone(kept);
        let kept = hand_in(&job, self.plan, self.plan_choice, message, self.traceparent);
        Ok(Self {
            cancelled: kept.cancelled || self.cancelled,
            cancellation_requested: kept.cancellation_requested || self.cancellation_requested,
            ..kept
        })
    }
}

fn hand_in(
    job: &Job,
    plan: Result<Arc<Plan>, Unusable>,
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

/// A hand-in that is set aside beside its claim, or without one: what is kept of it is for a person to read.
pub(super) fn apart(hand_in: &HandIn, reason: &'static str, detail: &str) -> NewParked {
    NewParked {
        about: Some((hand_in.submission.job_id.clone(), hand_in.submission.attempt)),
        reason,
        detail: escape_control(detail),
        message: without_variables(&hand_in.message),
        digest: Digest::of(&hand_in.message),
    }
}

/// A hand-in that no plan judges.
pub(super) fn unplanned(hand_in: &HandIn, lane: Lane) -> Unplanned {
    Unplanned {
        job_id: hand_in.submission.job_id.clone(),
        attempt: hand_in.submission.attempt,
        submission: hand_in.submission.digest,
        plan_choice: hand_in.plan_choice,
        message: Arc::clone(&hand_in.message),
        traceparent: hand_in.traceparent.clone(),
        has_judge: lane == Lane::Judge,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn message(fields: Value) -> Vec<u8> {
        let mut job = json!({
            "id": "j", "status": "submitted", "prompt": "agreed", "title": "t", "sender": "s", "output_text": "work",
            "created_at": "2026-11-24T09:00:00Z", "updated_at": "2026-11-24T09:00:00Z",
        });
        if let (Some(job), Some(fields)) = (job.as_object_mut(), fields.as_object()) {
            job.extend(fields.clone());
        }
        json!({"v": 1, "job": job}).to_string().into_bytes()
    }

    fn at_hand(fields: Value) -> HandIn {
        let message = message(fields);
        let (job, choice) = kept_job(&message).unwrap();
        let unplanned = Err(("plan-unknown", String::new()));
        hand_in(
            &job,
            unplanned,
            choice_digest(choice.as_ref()),
            Arc::new(message),
            None,
        )
    }

    #[test]
    fn the_task_is_the_one_that_was_claimed_and_calling_it_off_counts_whenever_it_comes() {
        let kept = Arc::new(message(json!({})));
        let later = json!({"prompt": "changed", "price_cents": 7, "status": "cancelled", "cancellation_requested": true});
        let judged = at_hand(later).rebuilt_from(&kept).unwrap();
        assert_eq!(judged.submission.task.prompt, "agreed");
        assert_eq!((judged.price_cents, &judged.message), (None, &kept));
        assert!(judged.cancelled && judged.cancellation_requested);
        let cancelled = Arc::new(message(json!({"status": "cancelled"})));
        assert!(at_hand(json!({})).rebuilt_from(&cancelled).unwrap().cancelled);
    }

    #[test]
    fn what_a_claim_keeps_may_be_larger_than_a_message_and_is_told_from_what_was_erased() {
        let large = message(json!({"output_text": "x".repeat(2_000_000)}));
        assert!(SubmittedJob::parse(&large).is_err());
        assert!(kept_job(&large).is_ok());
        let reason = |message: &[u8]| kept_job(message).map(|_| ()).unwrap_err().0;
        assert_eq!(reason(br#"{"v": 1, "job_id": "j", "attempt": 0}"#), "erased");
        assert_eq!(reason(br#"{"v": 7}"#), "unreadable-hand-in");
    }
}
