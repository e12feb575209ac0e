//! What stands in a claim, and what whoever wants it is told. Pure, but for looking at the row, and counting a lone run in it.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::PgJournal;
use super::claims::{ClaimAnswer, Held, NewClaim, NotFound, SUSPECT_AFTER};
use super::ending::Written;
use super::journal::{attempt, count, digest};
use super::set_aside::Unplanned;
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::job::JobId;
use crate::journal::JournalError;

/// A delayed message may come back this much before its time by the database's clock.
pub(super) const EARLY: Duration = Duration::from_secs(1);

/// The claim as it stands.
pub(super) struct Standing {
    submission: Digest,
    plan_choice: Digest,
    pub(super) state: String,
    pub(super) holder: Option<VerificationId>,
    left: Duration,
    pub(super) starts: u32,
    tries: u32,
    not_found: Option<NotFound>,
    received_ago: Duration,
    for_judge: bool,
}

/// What somebody wants a claim for.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    submission: Digest,
    plan_choice: Digest,
    has_judge: bool,
}

impl From<&NewClaim> for Asked {
    fn from(new: &NewClaim) -> Self {
        Self {
            submission: new.verification.submission,
            plan_choice: new.plan_choice,
            has_judge: new.has_judge,
        }
    }
}

impl From<&Unplanned> for Asked {
    fn from(unplanned: &Unplanned) -> Self {
        Self {
            submission: unplanned.submission,
            plan_choice: unplanned.plan_choice,
            has_judge: unplanned.has_judge,
        }
    }
}

impl PgJournal {
    /// Counts the run of a suspect, now that it is alone in its worker: where it does not end, the submission is what kills.
    /// `false`: the claim is no longer held.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn begins_alone(&self, of: &Written) -> Result<bool, JournalError> {
        let counted = sqlx::query(
            "UPDATE assay.claim SET starts = $4
             WHERE job_id = $1 AND attempt = $2 AND verification_id = $3 AND state = 'running'",
        )
        .bind(of.job_id.as_str())
        .bind(attempt(of.attempt)?)
        .bind(of.id.uuid())
        .bind(i64::from(SUSPECT_AFTER + 1))
        .execute(&self.pool())
        .await?;
        Ok(counted.rows_affected() > 0)
    }
}

impl Standing {
    /// Looks at a claim, and locks its row: nobody writes for it until the transaction ends.
    pub(super) async fn look(
        connection: &mut PgConnection,
        job_id: &JobId,
        number: u32,
    ) -> Result<Option<Self>, JournalError> {
        let row = sqlx::query(
            "SELECT *, ceil(extract(epoch FROM due_at - now()) * 1000)::bigint AS left_ms,
                    ceil(extract(epoch FROM now() - first_not_found) * 1000)::bigint AS not_found_ms,
                    ceil(extract(epoch FROM now() - received_at) * 1000)::bigint AS received_ms
             FROM assay.claim WHERE job_id = $1 AND attempt = $2 FOR UPDATE",
        )
        .bind(job_id.as_str())
        .bind(attempt(number)?)
        .fetch_optional(connection)
        .await?;
        row.as_ref().map(Self::of).transpose()
    }

    fn of(row: &PgRow) -> Result<Self, JournalError> {
        let millis = |column| -> Result<Duration, JournalError> {
            let millis: Option<i64> = row.try_get(column)?;
            Ok(Duration::from_millis(
                millis.and_then(|millis| u64::try_from(millis).ok()).unwrap_or(0),
            ))
        };
        let missing: Option<&[u8]> = row.try_get("not_found_file")?;
        Ok(Self {
            submission: digest(row, "submission")?,
            plan_choice: digest(row, "plan_choice")?,
            state: row.try_get("state")?,
            holder: row
                .try_get::<Option<Uuid>, _>("verification_id")?
                .map(VerificationId::from),
            left: millis("left_ms")?,
            starts: count(row, "starts")?,
            tries: count(row, "tries")?,
            not_found: match missing {
                Some(_) => Some(NotFound {
                    file: digest(row, "not_found_file")?,
                    times: count(row, "not_found")?,
                    since: millis("not_found_ms")?,
                }),
                None => None,
            },
            received_ago: millis("received_ms")?,
            for_judge: row.try_get("for_judge")?,
        })
    }

    /// What whoever holds it now is told of earlier runs.
    pub(super) fn held(&self, starts: u32) -> Held {
        Held {
            starts,
            tries: self.tries,
            not_found: self.not_found,
            took_over: None,
            received_ago: self.received_ago,
            kept: None,
        }
    }

    /// What whoever wants the claim is told, before anything is written; `Held` where it may be taken.
    pub(super) fn answer(&self, asked: impl Into<Asked>) -> Result<ClaimAnswer, JournalError> {
        let asked = asked.into();
        if self.submission != asked.submission {
            return Ok(ClaimAnswer::SubmissionChanged);
        }
        match self.state.as_str() {
            "running" | "waiting" if self.plan_choice != asked.plan_choice => Ok(ClaimAnswer::PlanChanged),
            "running" if !self.left.is_zero() => Ok(ClaimAnswer::Busy(self.left)),
            "waiting" if self.left > EARLY && self.for_judge && !asked.has_judge => Ok(ClaimAnswer::ForJudge),
            "waiting" if self.left > EARLY && !self.for_judge => Ok(ClaimAnswer::Busy(self.left)),
            "running" | "waiting" if self.starts > SUSPECT_AFTER => Ok(ClaimAnswer::KillsWorkers),
            "running" | "waiting" => Ok(ClaimAnswer::Held(Held {
                took_over: self.holder.filter(|_| self.state == "running"),
                ..self.held(self.starts + 1)
            })),
            // A message that changed its plan after the decision changes nothing any more.
            "decided" | "parked" | "closed" => Ok(ClaimAnswer::Ended),
            other => Err(JournalError::Damaged(format!("claim state `{other}`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::job::JobId;
    use crate::journal::{Cause, NewVerification};
    use crate::plan::PlanRef;

    fn new(submission: &[u8], plan: &[u8]) -> NewClaim {
        NewClaim {
            verification: NewVerification {
                id: VerificationId::new(),
                job_id: JobId::new("j"),
                attempt: 0,
                cause: Cause::Submission,
                plan: PlanRef {
                    name: "p".into(),
                    digest: Digest::of(b"plan"),
                },
                submission: Digest::of(submission),
                started_at: Timestamp::UNIX_EPOCH,
            },
            plan_choice: Digest::of(plan),
            message: Arc::default(),
            traceparent: None,
            has_judge: false,
        }
    }

    fn standing(state: &str, left_seconds: u64, starts: u32) -> Standing {
        Standing {
            submission: Digest::of(b"s"),
            plan_choice: Digest::of(b"p"),
            state: state.to_owned(),
            holder: Some(VerificationId::new()),
            left: Duration::from_secs(left_seconds),
            starts,
            tries: 2,
            not_found: None,
            received_ago: Duration::ZERO,
            for_judge: false,
        }
    }

    #[test]
    fn a_claim_is_taken_when_its_lease_or_wait_has_ended() {
        let new = new(b"s", b"p");
        let running = standing("running", 0, 1);
        let taken = running.answer(&new).unwrap();
        assert!(
            matches!(&taken, ClaimAnswer::Held(held) if held.starts == 2 && held.tries == 2 && held.took_over == running.holder)
        );
        let waited = standing("waiting", 1, 0).answer(&new).unwrap();
        assert!(matches!(waited, ClaimAnswer::Held(held) if held.starts == 1 && held.took_over.is_none()));
        for (state, left) in [("running", 1), ("waiting", 2)] {
            let busy = standing(state, left, 1).answer(&new).unwrap();
            assert_eq!(busy, ClaimAnswer::Busy(Duration::from_secs(left)), "{state}");
        }
    }

    #[test]
    fn what_waits_for_a_judge_is_taken_by_the_judges_lane_at_once_and_by_nobody_else() {
        let waiting = Standing {
            for_judge: true,
            ..standing("waiting", 900, 0)
        };
        let judged = NewClaim {
            has_judge: true,
            ..new(b"s", b"p")
        };
        assert!(matches!(waiting.answer(&judged), Ok(ClaimAnswer::Held(_))));
        assert!(matches!(
            waiting.answer(&new(b"s", b"p")),
            Ok(ClaimAnswer::ForJudge)
        ));
        assert!(matches!(
            standing("waiting", 900, 0).answer(&judged),
            Ok(ClaimAnswer::Busy(_))
        ));
    }

    #[test]
    fn other_content_of_the_same_attempt_is_a_changed_submission_in_every_state() {
        for state in ["running", "waiting", "decided", "parked", "closed"] {
            let answer = standing(state, 9, 0).answer(&new(b"other", b"p")).unwrap();
            assert_eq!(answer, ClaimAnswer::SubmissionChanged, "{state}");
        }
        let answer = standing("running", 9, 0).answer(&new(b"s", b"other")).unwrap();
        assert_eq!(answer, ClaimAnswer::PlanChanged);
        let answer = standing("decided", 9, 0).answer(&new(b"s", b"other")).unwrap();
        assert_eq!(answer, ClaimAnswer::Ended);
    }

    #[test]
    fn what_never_ended_in_three_runs_runs_alone_and_then_no_more() {
        let new = new(b"s", b"p");
        let alone = standing("running", 0, SUSPECT_AFTER).answer(&new).unwrap();
        assert!(matches!(alone, ClaimAnswer::Held(held) if held.starts > SUSPECT_AFTER));
        let after = standing("running", 0, SUSPECT_AFTER + 1).answer(&new).unwrap();
        assert_eq!(after, ClaimAnswer::KillsWorkers);
    }
}
