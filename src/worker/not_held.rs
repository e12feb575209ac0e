//! What becomes of a delivery whose claim is not ours to take, or that nobody here can grade.

use super::Worker;
use super::delivery::{DeliveryError, Then};
use super::intake::{self, HandIn, Unusable};
use super::retry;
use crate::job::JobId;
use crate::journal::{
    Chain, ClaimAnswer, Ending, EndingState, JournalError, NewParked, SUSPECT_AFTER, Written,
};
use crate::queue::Lane;

impl Worker {
    /// Answers a delivery whose claim is not ours to take.
    pub(super) async fn not_held(
        &self,
        hand_in: &HandIn,
        answer: ClaimAnswer,
    ) -> Result<Then, DeliveryError> {
        let about = (&hand_in.submission.job_id, hand_in.submission.attempt);
        match answer {
            // Its worker died between its end and the lane: the message goes there now.
            ClaimAnswer::ForJudge => Ok(Then::JudgesLane),
            ClaimAnswer::Busy(left) => Ok(Then::Later(retry::at_least(left))),
            ClaimAnswer::Decided(stored) => {
                self.metrics.swept("redelivered");
                self.publish_outcome(*stored).await?;
                Ok(Then::Done)
            }
            ClaimAnswer::Held(_) | ClaimAnswer::Ended => Ok(Then::Done),
            ClaimAnswer::SubmissionChanged => {
                let detail = "another submission was claimed for this attempt before";
                self.park_changed(hand_in, "submission-changed", detail).await
            }
            ClaimAnswer::PlanChanged => {
                let detail = "another plan was named for this attempt before";
                self.park_changed(hand_in, "plan-changed", detail).await
            }
            ClaimAnswer::KillsWorkers => {
                let detail = format!(
                    "{} runs never ended, the last of them alone in its worker",
                    SUSPECT_AFTER + 1
                );
                self.park_claim(about, "kills-worker", &detail).await?;
                Ok(Then::Done)
            }
        }
    }

    async fn park_changed(
        &self,
        hand_in: &HandIn,
        reason: &'static str,
        detail: &str,
    ) -> Result<Then, DeliveryError> {
        self.park(&intake::apart(hand_in, reason, detail)).await?;
        Ok(Then::Done)
    }

    /// Sets a message aside, and counts it unless it lies there already.
    pub(super) async fn park(&self, parked: &NewParked) -> Result<(), JournalError> {
        if self.journal.within(self.journal.park(parked)).await? {
            self.metrics.parked(parked.reason);
        }
        Ok(())
    }

    /// Parks a claim that nobody holds, and counts it unless it was parked already.
    async fn park_claim(
        &self,
        about: (&JobId, u32),
        reason: &'static str,
        detail: &str,
    ) -> Result<(), JournalError> {
        let parking = self.journal.park_claimed(about, reason, detail);
        if self.journal.within(parking).await? {
            self.metrics.parked(reason);
        }
        Ok(())
    }

    /// Answers a delivery for which there is no plan here.
    pub(super) async fn park_unplanned(
        &self,
        hand_in: &HandIn,
        lane: Lane,
        (reason, detail): (&'static str, &str),
    ) -> Result<Then, DeliveryError> {
        let claim = intake::unplanned(hand_in, lane);
        let parking = self
            .journal
            .claim_unplanned(&claim, (reason, detail), retry::without_plan);
        match self.journal.within(parking).await? {
            Some(answer) => self.not_held(hand_in, answer).await,
            None => {
                tracing::warn!(reason, detail, "a submission is parked");
                self.metrics.parked(reason);
                Ok(Then::Done)
            }
        }
    }

    /// Sets aside a message that cannot be graded. Where a claim keeps it, the claim is parked: it would be overdue for ever.
    pub(super) async fn set_aside(
        &self,
        parked: NewParked,
        claimed: Option<(JobId, u32)>,
    ) -> Result<Then, DeliveryError> {
        let (reason, detail) = (parked.reason, &parked.detail);
        tracing::warn!(reason, detail, "a message is parked");
        match &claimed {
            Some((job_id, attempt)) => self.park_claim((job_id, *attempt), reason, detail).await?,
            None => self.park(&parked).await?,
        }
        Ok(Then::Done)
    }

    /// Parks a claim that is held, since what it keeps cannot be read: nothing was judged.
    pub(super) async fn park_held(
        &self,
        of: Written,
        chain: Chain,
        (reason, detail): Unusable,
    ) -> Result<Then, DeliveryError> {
        tracing::warn!(reason, detail, "a submission is parked");
        let ending = Ending {
            of,
            state: EndingState::Parked { reason, detail },
            outcome: "error",
            error: None,
            chain,
            at: self.clock.now(),
        };
        if self.writer.end(ending, Vec::new()).await?.is_committed() {
            self.metrics.parked(reason);
        }
        Ok(Then::Done)
    }
}
