//! One delivery, from its bytes to what becomes of the message. Between any two steps the process may die
//! ([`CrashPoint`]): what is committed by then is enough for somebody else to go on.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use super::Worker;
use super::crash::{CrashPoint, die};
use super::intake::{self, HandIn, Intake, Message};
use super::outcome::Unsigned;
use super::recorder;
use super::retry::{self, Next};
use super::running::Entered;
use crate::causes::in_full;
use crate::entry::{Audience, VerificationId};
use crate::evidence::{Network, Sources};
use crate::graders::{Context, JudgeSlots, Tools};
use crate::job::JobId;
use crate::journal::is_about_data;
use crate::journal::{Cause, Chain, JournalError, JournalKeeper, NewVerification, error_words};
use crate::journal::{
    ClaimAnswer, Ending, EndingState, Held, NewClaim, SUSPECT_AFTER, StoredOutcome, Written,
};
use crate::log::Log;
use crate::outcome::Verification;
use crate::plan::Plan;
use crate::queue::{Destination, Lane, Outgoing, QueueError, Wait};
use crate::receipt::Purpose;
use crate::telemetry::VerificationSpan;
use crate::verdict::ErrorKind;
use crate::verify::{collect_hand_in, undecided, verify};

/// An outcome that was published again and is still not confirmed is published once more after this long.
pub(super) const REPUBLISH_AFTER: Duration = Duration::from_secs(30);

/// How long a worker that stops waits for the broker to confirm what is decided.
const FAREWELL: Duration = Duration::from_secs(5);

/// A job that has waited for a judge for so long is brought back by the sweeper when judges have nothing to do.
const JUDGES_LANE_PATIENCE: Duration = Duration::from_secs(20);

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
        let hand_in = match intake::read(message, &self.plans, self.market.as_ref()).await? {
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
        if !self.writer.end(ending, last_links).await? {
            // Somebody took over while we ran: what they decide counts, and the message is theirs.
            tracing::info!("the claim was taken over: nothing of this run counts");
            return Ok(Then::Done);
        }
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
                job_id: of.job_id.clone(),
                attempt: of.attempt,
                outcome,
                message,
                traceparent,
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

    /// Takes the context with it: the log ends with the last word of the graders.
    async fn grade_unless_cancelled(
        &self,
        hand_in: &HandIn,
        plan: &Plan,
        (held, of): (&Held, &Written),
        context: Context,
    ) -> Option<Verification> {
        if hand_in.cancelled {
            let text = "closed without a verdict: the sender called the job off";
            context.log.info(Audience::Public, text).await;
            return None;
        }
        if hand_in.cancellation_requested {
            let text =
                "the sender asked to call the job off after the hand-in: noted, and graded all the same";
            context.log.info(Audience::Public, text).await;
        }
        Some(self.grade(hand_in, plan, (held, of), &context).await)
    }

    async fn grade(
        &self,
        hand_in: &HandIn,
        plan: &Plan,
        (held, of): (&Held, &Written),
        context: &Context,
    ) -> Verification {
        let sources = Sources {
            network: Some(Network {
                gone_for_good: retry::gone_for_good(held.not_found),
                ..self.settings.network
            }),
            ..Sources::default()
        };
        let journal = Arc::new(self.journal.clone());
        let about = (&of.job_id, of.attempt);
        let tools = Tools {
            judge: self.judge.clone(),
            // What a run before a crash has paid for is used again.
            calls: JournalKeeper::of(journal, of.id, about, true),
            sandbox: self.sandbox.clone(),
            reveal: plan.reveal,
        };
        let verifying = async {
            let collecting = collect_hand_in(hand_in.submission.clone(), sources, context);
            let submission = match collecting.await {
                Ok(submission) => submission,
                Err(error) => return undecided(error, Vec::new(), context).await,
            };
            // Kept before it is decided: whoever disputes the decision finds what it was made on.
            let verifying = verify(&submission, plan, &tools, context);
            tokio::join!(verifying, self.keeper.keep(of.id, &submission)).0
        };
        self.crash_in_grader(verifying, &hand_in.submission.job_id).await
    }

    /// Where a crash in a grader is asked for, the process dies as soon as the graders wait for something.
    async fn crash_in_grader<T>(&self, verifying: impl Future<Output = T>, job: &JobId) -> T {
        if !self.crash.is_due(CrashPoint::InGrader, Some(job)) {
            return verifying.await;
        }
        let soon = tokio::time::sleep(Duration::from_millis(1));
        match select(pin!(verifying), pin!(soon)).await {
            Either::Left(_) | Either::Right(_) => die(),
        }
    }

    /// What the claim becomes, and what becomes of the message.
    fn ending_state(
        &self,
        hand_in: &HandIn,
        verification: Option<&Verification>,
        held: &Held,
        (of, chain): (&Written, Chain),
    ) -> Result<(EndingState, Then), DeliveryError> {
        let Some(verification) = verification else {
            return Ok((EndingState::Closed, Then::Done));
        };
        let error = match &verification.decision {
            Ok(decision) => {
                let message = self.signer.outcome(&Unsigned {
                    id: of.id,
                    submission: &hand_in.submission,
                    receiver: hand_in.receiver.as_deref(),
                    price_cents: hand_in.price_cents,
                    decision,
                    verification,
                    log_head: chain.head,
                    decided_at: self.clock.now(),
                    purpose: Purpose::Settle,
                    supersedes: None,
                });
                let message =
                    serde_json::to_vec(&message).map_err(|error| JournalError::Damaged(error.to_string()))?;
                let state = EndingState::Decided {
                    outcome: decision.outcome,
                    message,
                    traceparent: hand_in.traceparent.clone(),
                };
                return Ok((state, Then::Done));
            }
            Err(error) => error,
        };
        let waits = |after, counts| EndingState::Waits {
            after,
            counts,
            not_found: error
                .about
                .filter(|_| error.kind == ErrorKind::AttachmentNotFoundYet),
            for_judge: error.kind == ErrorKind::JudgesBusy,
        };
        let kind = match error.kind {
            // Called off, though nobody stops: its log could not be written, or it was taken over.
            ErrorKind::Cancelled if !self.called_off.is_cancelled() => ErrorKind::Journal,
            kind => kind,
        };
        Ok(match retry::next(kind, held.tries) {
            Next::Later(wait) => (waits(wait.duration(), true), Then::Later(wait)),
            Next::JudgesLane => (waits(JUDGES_LANE_PATIENCE, false), Then::JudgesLane),
            Next::HandBack => (waits(Duration::ZERO, false), Then::HandBack),
            Next::Park => {
                let (reason, detail) = (error.kind.as_str(), error.message.clone());
                (EndingState::Parked { reason, detail }, Then::Done)
            }
        })
    }

    /// Publishes an outcome and notes that it was confirmed.
    pub(super) async fn publish_outcome(&self, stored: StoredOutcome) -> Result<(), DeliveryError> {
        let StoredOutcome {
            verification_id,
            job_id,
            attempt,
            outcome,
            message,
            traceparent,
        } = stored;
        let outgoing = Outgoing {
            to: Destination::Outcome(outcome),
            message_id: verification_id.to_string(),
            body: message,
            traceparent,
        };
        let began = Instant::now();
        self.publish(outgoing).await?;
        self.metrics.confirmed(began.elapsed());
        self.confirmed.note(job_id, attempt, verification_id);
        Ok(())
    }

    /// Publishes a message. A worker that stops does not wait long for a broker that does not answer: whatever it publishes is
    /// in the database, and another worker goes on from there.
    pub(super) async fn publish(&self, outgoing: Outgoing) -> Result<(), QueueError> {
        let patience_ends = async {
            self.stopping.cancelled().await;
            tokio::time::sleep(FAREWELL).await;
        };
        tokio::select! {
            published = self.queue.publish(outgoing) => published,
            () = patience_ends => Err(QueueError::Closed),
        }
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

/// Says why this is not the first run.
async fn tell_history(log: &Log, held: &Held, suspected: bool) {
    if let Some(old) = held.took_over {
        let text = format!("taken over from verification {old}, whose worker was not heard of any more");
        log.info(Audience::Operator, text).await;
    }
    if held.tries > 0 {
        let text = format!(
            "tried again after {} runs that ended in trouble of ours",
            held.tries
        );
        log.info(Audience::Public, text).await;
    }
    if suspected {
        let text = format!("runs alone: {} earlier runs never ended", held.starts - 1);
        log.info(Audience::Operator, text).await;
    }
}
