//! Submissions and messages that were set aside for a person.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::PgJournal;
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
    /// Sets a message aside; once, however often it is delivered. `false` if it lies there already.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn park(&self, parked: &NewParked) -> Result<bool, JournalError> {
        let (job_id, number) = match &parked.about {
            Some((job_id, number)) => (Some(job_id.as_str()), Some(attempt(*number)?)),
            None => (None, None),
        };
        let written = sqlx::query(
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
        Ok(written.rows_affected() > 0)
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
                     first_not_found = NULL, not_found_file = NULL
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
