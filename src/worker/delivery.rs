//! One delivery, from its bytes to what becomes of the message. Between any two steps the process may die
//! ([`CrashPoint`]): what is committed by then is enough for somebody else to go on.

use std::sync::Arc;

use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use super::Worker;
use super::crash::CrashPoint;
use super::grading::tell_history;
use super::intake::{self, HandIn, Intake, Message};
use super::recorder;
use super::retry;
use super::running::Entered;
use crate::causes::in_full;
use crate::entry::VerificationId;
use crate::graders::{Context, JudgeSlots};
use crate::journal::is_about_data;
use crate::journal::{Cause, Chain, JournalError, NewVerification, error_words};
use crate::journal::{
    ClaimAnswer, Ended, Ending, EndingState, Held, NewClaim, SUSPECT_AFTER, StoredOutcome, Written,
};
use crate::log::Log;
use crate::plan::Plan;
use crate::queue::{Lane, QueueError, Wait};
use crate::telemetry::VerificationSpan;

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// It is done with: what it asked for is in the database.
    Done,
    /// It comes back after a while.
    Later(Wait),
    /// It waits for a judge.
    JudgesLane,
    /// It goes back to where it came from, for another worker.
    HandBack,
}

/// A delivery went wrong in a way that says nothing of the submission.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeliveryError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// A run of a plan over a hand-in that is claimed.
struct Run {
    of: Written,
    held: Held,
    chain: Chain,
    entered: Entered,
}

impl Worker {
    /// Takes one message through all its steps.
    pub(super) async fn deliver(&self, message: Message, lane: Lane) -> Result<Then, DeliveryError> {
        self.crash.reached(CrashPoint::AfterDelivery, None);
        let claimed = message.claimed.clone();
        let hand_in = match intake::read(message, &self.plans, &self.journal, self.market.as_ref()).await? {
            Intake::HandIn(hand_in) => hand_in,
            Intake::Park(parked) => return self.set_aside(parked, claimed).await,
        };
        let plan = match &hand_in.plan {
            Ok(plan) => Arc::clone(plan),
            Err((reason, detail)) => return self.park_unplanned(&hand_in, lane, (reason, detail)).await,
        };
        let new = self.new_verification(&hand_in, &plan);
        let (id, chain) = (new.id, Chain::new(new.chain_start()));
        let of = Written {
            id,
            job_id: new.job_id.clone(),
            attempt: new.attempt,
        };
        let answer = self
            .claims
            .claim(NewClaim {
                verification: new,
                plan_choice: hand_in.plan_choice,
                message: Arc::clone(&hand_in.message),
                traceparent: hand_in.traceparent.clone(),
                has_judge: lane == Lane::Judge,
            })
            .await;
        let held = match answer {
            Ok(ClaimAnswer::Held(held)) => held,
            Ok(other) => return self.not_held(&hand_in, other).await,
            // It would be refused for ever.
            Err(error) if is_about_data(&error) => {
                let parked = intake::apart(&hand_in, "refused-by-database", &in_full(&error));
                return self.set_aside(parked, claimed).await;
            }
            Err(error) => return Err(error.into()),
        };
        let hand_in = match &held.kept {
            Some(kept) => match hand_in.rebuilt_from(kept) {
                Ok(hand_in) => hand_in,
                Err(unreadable) => return self.park_held(of, chain, unreadable).await,
            },
            None => *hand_in,
        };
        self.crash.reached(CrashPoint::AfterClaim, Some(&of.job_id));
        let VerificationSpan { span, context } =
            VerificationSpan::new(&of.job_id, of.attempt, id, hand_in.traceparent.as_deref());
        let hand_in = HandIn {
            traceparent: Some(context.to_string()),
            ..hand_in
        };
        let run = Run {
            entered: self.running.enter(id),
            of,
            held,
            chain,
        };
        self.run(&hand_in, &plan, lane, run).instrument(span).await
    }

    /// Grades a claimed hand-in, commits how it ended, and publishes what follows.
    async fn run(&self, hand_in: &HandIn, plan: &Plan, lane: Lane, run: Run) -> Result<Then, DeliveryError> {
        let Run {
            of,
            held,
            chain,
            entered,
        } = run;
        let cancel = &entered.cancel;
        let began = Instant::now();
        // What is suspected of killing its worker runs when nobody else does.
        let suspected = held.starts > SUSPECT_AFTER;
        let (_alone, _beside) = if suspected {
            // Whoever is before it has ended by then; it is no killer for having waited behind others of its kind.
            let Ok(alone) = timeout(self.settings.verification_limit, self.alone.write()).await else {
                return Ok(Then::Later(retry::at_least(self.settings.lease)));
            };
            if !self.journal.within(self.journal.begins_alone(&of)).await? {
                return Ok(Then::Done);
            }
            (Some(alone), None)
        } else {
            (None, Some(self.alone.read().await))
        };
        let (log, reader) = Log::new(self.clock.clone(), hand_in.submission.secrets.clone());
        let recording = recorder::record(&self.writer, &of, chain, reader, cancel);
        let context = Context {
            log,
            clock: self.clock.clone(),
            cancel: cancel.clone(),
            deadline: Instant::now() + self.settings.verification_limit,
            judge_slots: match lane {
                Lane::Submitted => JudgeSlots::Free(Arc::clone(&self.judge_slots)),
                Lane::Judge => JudgeSlots::Wait(Arc::clone(&self.judge_slots)),
            },
        };
        let grading = async {
            tell_history(&context.log, &held, suspected).await;
            self.grade_unless_cancelled(hand_in, plan, (&held, &of), context)
                .await
        };
        let (verification, recorded) = tokio::join!(grading, recording);
        let (chain, last_links) = recorded?;
        if let Some(verification) = &verification {
            self.plan_keeper.keep(plan, verification).await;
        }
        self.crash.reached(CrashPoint::BeforeCommit, Some(&of.job_id));
        let (state, next) = self.ending_state(hand_in, verification.as_ref(), &held, (&of, chain))?;
        let (outcome, error) = match verification.as_ref().map(|verification| &verification.decision) {
            Some(Ok(decision)) => (decision.outcome.as_str(), None),
            Some(Err(error)) => ("error", Some(error_words(error))),
            None => ("closed", None),
        };
        let ending = Ending {
            of: of.clone(),
            state: state.clone(),
            outcome,
            error,
            chain,
            at: self.clock.now(),
        };
        let Ended::Committed(outbox) = self.writer.end(ending, last_links).await? else {
            // Somebody took over while we ran: what they decide counts, and the message is theirs.
            tracing::info!("the claim was taken over: nothing of this run counts");
            return Ok(Then::Done);
        };
        self.crash.reached(CrashPoint::AfterCommit, Some(&of.job_id));
        if let Some(verification) = &verification {
            self.metrics.verified(&plan.name, verification, began.elapsed());
        }
        if let EndingState::Decided {
            outcome,
            message,
            traceparent,
            ..
        } = state
        {
            let stored = StoredOutcome {
                verification_id: of.id,
                outcome,
                message,
                traceparent,
                outbox: Some(outbox),
            };
            self.publish_outcome(stored).await?;
            if let Some(Ok(decision)) = verification.as_ref().map(|verification| &verification.decision) {
                self.metrics
                    .published(decision, held.received_ago + began.elapsed());
            }
            self.crash.reached(CrashPoint::AfterPublish, Some(&of.job_id));
        } else {
            match state {
                EndingState::Parked { reason, .. } => self.metrics.parked(reason),
                EndingState::Closed => self.metrics.closed("cancelled"),
                EndingState::Decided { .. } | EndingState::Waits { .. } => {}
            }
        }
        self.crash.reached(CrashPoint::BeforeAck, Some(&of.job_id));
        Ok(next)
    }

    fn new_verification(&self, hand_in: &HandIn, plan: &Plan) -> NewVerification {
        NewVerification {
            id: VerificationId::new(),
            job_id: hand_in.submission.job_id.clone(),
            attempt: hand_in.submission.attempt,
            cause: Cause::Submission,
            plan: plan.reference(),
            submission: hand_in.submission.digest,
            started_at: self.clock.now(),
        }
    }
}
