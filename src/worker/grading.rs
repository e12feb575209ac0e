//! The graders' part of a run.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};

use super::Worker;
use super::crash::{CrashPoint, die};
use super::intake::HandIn;
use super::retry;
use crate::entry::Audience;
use crate::evidence::{Network, Sources};
use crate::graders::{Context, Tools};
use crate::job::JobId;
use crate::journal::{Held, JournalKeeper, Written};
use crate::log::Log;
use crate::outcome::Verification;
use crate::plan::Plan;
use crate::verify::{collect_hand_in, undecided, verify};

impl Worker {
    /// Takes the context with it: the log ends with the last word of the graders.
    pub(super) async fn grade_unless_cancelled(
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
        let verifying = pin!(async {
            let collecting = collect_hand_in(hand_in.submission.clone(), sources, context);
            let submission = match collecting.await {
                Ok(submission) => submission,
                Err(error) => return undecided(error, Vec::new(), context).await,
            };
            // Kept before it is decided: whoever disputes the decision finds what it was made on.
            let verifying = verify(&submission, plan, &tools, context);
            tokio::join!(verifying, self.keeper.keep(of.id, &submission)).0
        });
        self.crash_in_grader(verifying, &hand_in.submission.job_id).await
    }

    /// Where a crash in a grader is asked for, the process dies as soon as the graders wait for something.
    async fn crash_in_grader<T>(&self, verifying: Pin<&mut impl Future<Output = T>>, job: &JobId) -> T {
        if !self.crash.is_due(CrashPoint::InGrader, Some(job)) {
            return verifying.await;
        }
        let soon = tokio::time::sleep(Duration::from_millis(1));
        match select(verifying, pin!(soon)).await {
            Either::Left(_) | Either::Right(_) => die(),
        }
    }
}

/// Says why this is not the first run.
pub(super) async fn tell_history(log: &Log, held: &Held, suspected: bool) {
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
