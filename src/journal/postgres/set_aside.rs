//! Claims that are set aside for a person, with the submissions that they keep.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::PgJournal;
use super::claims::{ClaimAnswer, milliseconds, stored_outcome, take_over};
use super::journal::attempt;
use super::standing::Standing;
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::job::JobId;
use crate::journal::JournalError;

/// A hand-in that no plan judges.
#[derive(Debug, Clone)]
pub struct Unplanned {
    /// The job.
    pub job_id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// Digest of what was handed in.
    pub submission: Digest,
    /// Digest of how the message names its plan.
    pub plan_choice: Digest,
    /// The message, with the whole job.
    pub message: Arc<Vec<u8>>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Whether the message comes from the judges' lane.
    pub has_judge: bool,
}

impl PgJournal {
    /// Sets aside a submission that nobody grades: its claim's last run never ended, or what it keeps cannot be read. `false`:
    /// it has ended already, or somebody is at it.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn park_claimed(
        &self,
        (job_id, number): (&JobId, u32),
        reason: &str,
        detail: &str,
    ) -> Result<bool, JournalError> {
        let mut transaction = self.pool().begin().await?;
        let row = sqlx::query(
            "SELECT verification_id FROM assay.claim
             WHERE job_id = $1 AND attempt = $2 AND (state = 'waiting' OR state = 'running' AND due_at < now())
             FOR UPDATE",
        )
        .bind(job_id.as_str())
        .bind(attempt(number)?)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else { return Ok(false) };
        let last: Option<Uuid> = row.try_get("verification_id")?;
        let parked = (job_id, number);
        park_locked(&mut transaction, parked, last.map(Into::into), (reason, detail)).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Sets aside a hand-in that no plan judges, its claim keeping it: then there is no answer. Where the same attempt was
    /// claimed before, its claim answers as it does whoever wants it. A claim that another worker had a plan for waits, as
    /// after trouble of ours: `wait` says how long after so many tries, if at all.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn claim_unplanned(
        &self,
        unplanned: &Unplanned,
        (reason, detail): (&str, &str),
        wait: impl Fn(u32) -> Option<Duration>,
    ) -> Result<Option<ClaimAnswer>, JournalError> {
        let (job_id, number) = (&unplanned.job_id, unplanned.attempt);
        let mut transaction = self.pool().begin().await?;
        let (last, answer) = match insert_unplanned(&mut transaction, unplanned).await? {
            Some(standing) => {
                let answer = match standing.answer(unplanned)? {
                    ClaimAnswer::Held(held) => {
                        let after = standing.holder.and_then(|_| wait(held.tries));
                        if let Some(after) = after {
                            put_off(&mut transaction, (job_id, number), standing.holder, after).await?;
                        }
                        after.map(ClaimAnswer::Busy)
                    }
                    ClaimAnswer::Ended if standing.state == "decided" => {
                        let stored = stored_outcome(&mut transaction, job_id, number).await?;
                        Some(stored.map_or(ClaimAnswer::Ended, |stored| {
                            ClaimAnswer::Decided(Box::new(stored))
                        }))
                    }
                    answer => Some(answer),
                };
                (standing.holder, answer)
            }
            None => (None, None),
        };
        if answer.is_none() {
            park_locked(&mut transaction, (job_id, number), last, (reason, detail)).await?;
        }
        transaction.commit().await?;
        Ok(answer)
    }
}

/// Claims what no plan judges; where it is claimed already, says what stands there, its row locked.
async fn insert_unplanned(
    connection: &mut PgConnection,
    unplanned: &Unplanned,
) -> Result<Option<Standing>, JournalError> {
    let Unplanned {
        job_id,
        attempt: number,
        submission,
        plan_choice,
        message,
        traceparent,
        ..
    } = unplanned;
    let inserted = sqlx::query(
        "WITH fresh AS (
            INSERT INTO assay.claim (job_id, attempt, submission, plan_choice, traceparent, state)
            VALUES ($1, $2, $3, $4, $6, 'waiting') ON CONFLICT (job_id, attempt) DO NOTHING
            RETURNING job_id, attempt
         )
         INSERT INTO assay.hand_in (job_id, attempt, message) SELECT job_id, attempt, $5 FROM fresh",
    )
    .bind(job_id.as_str())
    .bind(attempt(*number)?)
    .bind(submission.as_bytes())
    .bind(plan_choice.as_bytes())
    .bind(message.as_slice())
    .bind(traceparent)
    .execute(&mut *connection)
    .await?;
    match inserted.rows_affected() {
        0 => Standing::look(connection, job_id, *number).await,
        _ => Ok(None),
    }
}

/// Sets aside a claim whose row is locked; `last` is the run that held it, and may never have ended.
async fn park_locked(
    connection: &mut PgConnection,
    (job_id, number): (&JobId, u32),
    last: Option<VerificationId>,
    (reason, detail): (&str, &str),
) -> Result<(), JournalError> {
    if let Some(last) = last {
        take_over(connection, last, None).await?;
    }
    sqlx::query(
        "WITH claimed AS (
            UPDATE assay.claim SET state = 'parked', due_at = NULL, holder = NULL
            WHERE job_id = $1 AND attempt = $2 RETURNING job_id, attempt
         )
         INSERT INTO assay.parked (job_id, attempt, reason, detail, digest)
         SELECT job_id, attempt, $3, $4, sha256(convert_to(job_id || chr(10) || attempt, 'UTF8')) FROM claimed
         ON CONFLICT (digest, reason) WHERE closed_at IS NULL DO NOTHING",
    )
    .bind(job_id.as_str())
    .bind(attempt(number)?)
    .bind(reason)
    .bind(detail)
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets a claim whose row is locked wait, and counts the try.
async fn put_off(
    connection: &mut PgConnection,
    (job_id, number): (&JobId, u32),
    last: Option<VerificationId>,
    after: Duration,
) -> Result<(), JournalError> {
    if let Some(last) = last {
        take_over(connection, last, None).await?;
    }
    sqlx::query(
        "UPDATE assay.claim
         SET state = 'waiting', due_at = now() + $3 * interval '1 millisecond', holder = NULL, for_judge = false,
             tries = tries + 1
         WHERE job_id = $1 AND attempt = $2",
    )
    .bind(job_id.as_str())
    .bind(attempt(number)?)
    .bind(milliseconds(after))
    .execute(connection)
    .await?;
    Ok(())
}
