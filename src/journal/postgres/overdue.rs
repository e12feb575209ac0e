//! What the sweeper brings back: claims whose lease or wait has ended, and submitted jobs of the marketplace whose message was
//! lost.

use std::time::Duration;

use sqlx::Row as _;

use super::PgJournal;
use super::claims::milliseconds;
use crate::job::JobId;
use crate::journal::JournalError;

/// A claim that nobody works on although it should have ended, with its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// The job.
    pub job_id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// The submitted-job message.
    pub message: Vec<u8>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// A job that the marketplace has as submitted and that no message told us of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnclaimedJob {
    /// The job.
    pub job_id: JobId,
    /// Its attempt.
    pub attempt: u32,
}

impl PgJournal {
    /// Claims that are overdue by more than `grace`: some of those that are it the longest, so that not every sweeper takes
    /// the same; those that wait for a judge, or all others. They still have to be claimed: somebody else may be faster.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn overdue(
        &self,
        grace: Duration,
        for_judge: bool,
        limit: u32,
    ) -> Result<Vec<Overdue>, JournalError> {
        let rows = sqlx::query(
            "WITH longest AS (
                SELECT job_id, attempt, traceparent FROM assay.claim
                WHERE due_at < now() - $1 * interval '1 millisecond' AND state IN ('running', 'waiting')
                  AND (state = 'waiting' AND for_judge) = $2
                ORDER BY due_at LIMIT 4 * $3
             ), chosen AS (SELECT * FROM longest ORDER BY random() LIMIT $3)
             SELECT job_id, attempt, message, traceparent FROM chosen JOIN assay.hand_in USING (job_id, attempt)",
        )
        .bind(milliseconds(grace))
        .bind(for_judge)
        .bind(i64::from(limit))
        .fetch_all(&self.pool())
        .await?;
        let overdue = rows.iter().map(|row| {
            Ok(Overdue {
                job_id: JobId::new(row.try_get::<String, _>("job_id")?),
                attempt: super::journal::count(row, "attempt")?,
                message: row.try_get("message")?,
                traceparent: row.try_get("traceparent")?,
            })
        });
        overdue.collect()
    }

    /// Closes what was parked as lost and has been claimed since: its message came after all.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn close_found(&self) -> Result<u64, JournalError> {
        let closed = sqlx::query(
            "UPDATE assay.parked p
             SET closed_at = now(), closed_as = 'closed', closed_by = 'assay',
                 closed_reason = 'its message came after all'
             FROM assay.claim c
             WHERE p.closed_at IS NULL AND p.reason = 'message-lost' AND c.job_id = p.job_id AND c.attempt = p.attempt",
        )
        .execute(&self.pool())
        .await?;
        Ok(closed.rows_affected())
    }

    /// Jobs that the marketplace has as submitted since more than `since` and that nobody has claimed: their message was lost,
    /// or waits in a queue longer than that.
    ///
    /// # Errors
    /// Where the database refuses, e.g. because it has no marketplace.
    pub async fn unclaimed_jobs(
        &self,
        since: Duration,
        limit: u32,
    ) -> Result<Vec<UnclaimedJob>, JournalError> {
        let rows = sqlx::query(
            "SELECT j.id::text, j.attempt_count FROM jobs j
             WHERE j.status = 'submitted' AND j.updated_at < now() - $1 * interval '1 millisecond'
               AND NOT EXISTS (SELECT FROM assay.claim c WHERE c.job_id = j.id::text AND c.attempt = j.attempt_count)
               AND NOT EXISTS (SELECT FROM assay.parked p
                               WHERE p.job_id = j.id::text AND p.attempt = j.attempt_count)
             ORDER BY j.updated_at LIMIT $2",
        )
        .bind(milliseconds(since))
        .bind(i64::from(limit))
        .fetch_all(&self.pool())
        .await?;
        let jobs = rows.iter().map(|row| {
            Ok(UnclaimedJob {
                job_id: JobId::new(row.try_get::<String, _>("id")?),
                attempt: super::journal::count(row, "attempt_count")?,
            })
        });
        jobs.collect()
    }
}
