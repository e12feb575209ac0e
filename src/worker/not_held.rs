//! What becomes of a delivery whose claim is not ours to take, or that nobody here can grade.

use super::Worker;
use super::delivery::{DeliveryError, Then};
use super::intake::{self, HandIn};
use super::retry;
use crate::journal::{ClaimAnswer, SUSPECT_AFTER};

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
                self.journal
                    .within(self.journal.park_claimed(about, "kills-worker", &detail))
                    .await?;
                self.metrics.parked("kills-worker");
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
        let parked = intake::changed(hand_in, reason, detail);
        self.journal.within(self.journal.park(&parked)).await?;
        self.metrics.parked(reason);
        Ok(Then::Done)
    }

    pub(super) async fn park_unplanned(
        &self,
        hand_in: &HandIn,
        reason: &'static str,
        detail: &str,
    ) -> Result<Then, DeliveryError> {
        let claim = intake::unplanned(hand_in);
        let answer = self
            .journal
            .within(self.journal.claim_unplanned(&claim, reason, detail))
            .await?;
        if answer == ClaimAnswer::Ended {
            self.metrics.parked(reason);
        }
        self.not_held(hand_in, answer).await
    }
}
