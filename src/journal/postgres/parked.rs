//! Submissions and messages that were set aside for a person.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::PgJournal;
use super::claims::{ClaimAnswer, stored_outcome};
use super::journal::attempt;
use super::time::Time;
use crate::digest::Digest;
use crate::job::JobId;
use crate::journal::JournalError;

/// A message to set aside that no claim keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewParked {
    /// The job and attempt, where the message says them.
    pub about: Option<(JobId, u32)>,
    /// Why, in kebab-case.
    pub reason: &'static str,
    /// Why, for the operator.
    pub detail: String,
    /// What is kept of the message: without the values of variables.
    pub message: Vec<u8>,
    /// Digest of the message as it came.
    pub digest: Digest,
}

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
}

/// A row of the parked table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedRow {
    /// Its number.
    pub id: i64,
    /// The job, where known.
    pub job_id: Option<JobId>,
    /// The attempt, where known.
    pub attempt: Option<u32>,
    /// Why, in kebab-case.
    pub reason: String,
    /// Why, for the operator.
    pub detail: String,
    /// The message, where no claim keeps it.
    pub message: Option<Vec<u8>>,
    /// Since when.
    pub parked_at: Timestamp,
    /// How it ended: when, as what, by whom, why.
    pub closed: Option<(Timestamp, String, String, String)>,
}

impl PgJournal {
    /// Sets a message aside; once, however often it is delivered.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn park(&self, parked: &NewParked) -> Result<(), JournalError> {
        let (job_id, number) = match &parked.about {
            Some((job_id, number)) => (Some(job_id.as_str()), Some(attempt(*number)?)),
            None => (None, None),
        };
        sqlx::query(
            "INSERT INTO assay.parked (job_id, attempt, reason, detail, message, digest)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (digest, reason) WHERE closed_at IS NULL DO NOTHING",
        )
        .bind(job_id)
        .bind(number)
        .bind(parked.reason)
        .bind(&parked.detail)
        .bind(&parked.message)
        .bind(parked.digest.as_bytes())
        .execute(&self.pool())
        .await?;
        Ok(())
    }

    /// Sets aside a submission that nobody grades: its claim's last run never ended, or its plan cannot be read.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn park_claimed(
        &self,
        (job_id, number): (&JobId, u32),
        reason: &str,
        detail: &str,
    ) -> Result<(), JournalError> {
        sqlx::query(
            "WITH claimed AS (
                UPDATE assay.claim SET state = 'parked', due_at = NULL, holder = NULL
                WHERE job_id = $1 AND attempt = $2
                  AND (state = 'waiting' OR state = 'running' AND due_at < now())
                RETURNING job_id, attempt, verification_id
             ), ended AS (
                UPDATE assay.verification v
                SET ended_at = now(), outcome = 'taken-over', entries = coalesce(last.seq + 1, 0), head = last.hash
                FROM claimed LEFT JOIN LATERAL (
                    SELECT seq, hash FROM assay.log WHERE verification_id = claimed.verification_id
                    ORDER BY seq DESC LIMIT 1
                ) last ON true
                WHERE v.id = claimed.verification_id AND v.ended_at IS NULL
             )
             INSERT INTO assay.parked (job_id, attempt, reason, detail, digest)
             SELECT job_id, attempt, $3, $4, sha256(convert_to(job_id || chr(10) || attempt, 'UTF8')) FROM claimed
             ON CONFLICT (digest, reason) WHERE closed_at IS NULL DO NOTHING",
        )
        .bind(job_id.as_str())
        .bind(attempt(number)?)
        .bind(reason)
        .bind(detail)
        .execute(&self.pool())
        .await?;
        Ok(())
    }

    /// Sets aside a hand-in that no plan judges, its claim keeping it; tells what is to be done if it was decided before.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn claim_unplanned(
        &self,
        unplanned: &Unplanned,
        reason: &str,
        detail: &str,
    ) -> Result<ClaimAnswer, JournalError> {
        let Unplanned {
            job_id,
            attempt: number,
            submission,
            plan_choice,
            message,
            traceparent,
        } = unplanned;
        let mut transaction = self.pool().begin().await?;
        sqlx::query(
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
        .execute(&mut *transaction)
        .await?;
        let stored = stored_outcome(&mut transaction, job_id, *number).await?;
        transaction.commit().await?;
        match stored {
            Some(stored) => Ok(ClaimAnswer::Decided(Box::new(stored))),
            None => {
                self.park_claimed((job_id, *number), reason, detail).await?;
                Ok(ClaimAnswer::Ended)
            }
        }
    }

    /// What is parked: open rows, or all; the oldest first.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn parked(&self, closed_too: bool, limit: u32) -> Result<Vec<ParkedRow>, JournalError> {
        let rows = sqlx::query(
            "SELECT * FROM assay.parked WHERE closed_at IS NULL OR $1 ORDER BY parked_at, id LIMIT $2",
        )
        .bind(closed_too)
        .bind(i64::from(limit))
        .fetch_all(&self.pool())
        .await?;
        rows.iter().map(parked_row).collect()
    }

    /// One row, by its number.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn parked_row(&self, id: i64) -> Result<Option<ParkedRow>, JournalError> {
        let row = sqlx::query("SELECT * FROM assay.parked WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool())
            .await?;
        row.as_ref().map(parked_row).transpose()
    }

    /// Rows whose notice on the exchange is still to be published.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn parked_unnoticed(&self, limit: u32) -> Result<Vec<ParkedRow>, JournalError> {
        let rows = sqlx::query(
            "SELECT * FROM assay.parked WHERE noticed_at IS NULL AND closed_at IS NULL ORDER BY id LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool())
        .await?;
        rows.iter().map(parked_row).collect()
    }

    /// Notes that the notice was published.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn parked_noticed(&self, id: i64) -> Result<(), JournalError> {
        sqlx::query("UPDATE assay.parked SET noticed_at = now() WHERE id = $1")
            .bind(id)
            .execute(&self.pool())
            .await?;
        Ok(())
    }

    /// Closes an open row. Where its claim keeps the submission, `retried` brings it back with its counters at zero, and
    /// `closed` closes it for good. `false`: the row was closed already, or its submission cannot come back.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn close_parked(
        &self,
        id: i64,
        retried: bool,
        (by, reason): (&str, &str),
    ) -> Result<bool, JournalError> {
        let mut transaction = self.pool().begin().await?;
        let row = sqlx::query(
            "UPDATE assay.parked SET closed_at = now(), closed_as = $2, closed_by = $3, closed_reason = $4
             WHERE id = $1 AND closed_at IS NULL RETURNING job_id, attempt, message IS NULL AS claimed",
        )
        .bind(id)
        .bind(if retried { "retried" } else { "closed" })
        .bind(by)
        .bind(reason)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else { return Ok(false) };
        let claimed: bool = row.try_get("claimed")?;
        let state = if retried { "waiting" } else { "closed" };
        if claimed {
            let moved = sqlx::query(
                "UPDATE assay.claim
                 SET state = $3, due_at = CASE WHEN $4 THEN now() END, starts = 0, tries = 0, not_found = 0,
                     first_not_found = NULL
                 WHERE job_id = $1 AND attempt = $2 AND state = 'parked'",
            )
            .bind(row.try_get::<Option<String>, _>("job_id")?)
            .bind(row.try_get::<Option<i32>, _>("attempt")?)
            .bind(state)
            .bind(retried)
            .execute(&mut *transaction)
            .await?;
            if moved.rows_affected() == 0 && retried {
                return Ok(false);
            }
        }
        sqlx::query("INSERT INTO assay.act (what, target, by, reason) VALUES ($1, $2, $3, $4)")
            .bind(if retried { "parked retry" } else { "parked close" })
            .bind(id.to_string())
            .bind(by)
            .bind(reason)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// How many rows are open, and for how long the oldest has been parked.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn parked_open(&self) -> Result<(u64, Duration), JournalError> {
        let row = sqlx::query(
            "SELECT count(*) AS open, coalesce(extract(epoch FROM now() - min(parked_at)), 0)::float8 AS seconds
             FROM assay.parked WHERE closed_at IS NULL",
        )
        .fetch_one(&self.pool())
        .await?;
        let seconds: f64 = row.try_get("seconds")?;
        let oldest = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Ok((u64::try_from(row.try_get::<i64, _>("open")?).unwrap_or(0), oldest))
    }
}

fn parked_row(row: &PgRow) -> Result<ParkedRow, JournalError> {
    let attempt: Option<i32> = row.try_get("attempt")?;
    let closed_at: Option<Time> = row.try_get("closed_at")?;
    let text = |column| -> Result<String, JournalError> {
        Ok(row.try_get::<Option<String>, _>(column)?.unwrap_or_default())
    };
    let closed = match closed_at {
        Some(at) => Some((
            at.0,
            text("closed_as")?,
            text("closed_by")?,
            text("closed_reason")?,
        )),
        None => None,
    };
    Ok(ParkedRow {
        id: row.try_get("id")?,
        job_id: row.try_get::<Option<String>, _>("job_id")?.map(JobId::new),
        attempt: attempt.and_then(|attempt| u32::try_from(attempt).ok()),
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
        message: row.try_get("message")?,
        parked_at: row.try_get::<Time, _>("parked_at")?.0,
        closed,
    })
}
