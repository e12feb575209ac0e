//! What people do about settlement by hand: pause it, approve what waits, close exceptions. Each act is noted with who
//! and why.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::market::Market;
use super::time::Time;
use crate::entry::VerificationId;
use crate::journal::JournalError;

/// Whether settlement is paused, and who said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// Verified outcomes wait.
    pub paused: bool,
    /// Who switched last.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// An outcome that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldRow {
    /// The decision.
    pub verification_id: VerificationId,
    /// The job.
    pub job_id: String,
    /// `paused`, `price` or `rate`.
    pub reason: String,
    /// The job's price in cents.
    pub amount_cents: i64,
    /// Since when.
    pub held_at: Timestamp,
    /// Who has approved it; it is applied as soon as settlement is not paused.
    pub approved_by: Option<String>,
}

/// An outcome that was not applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExceptionRow {
    /// Its number.
    pub id: i64,
    /// The decision, as the message says; forged ones lie.
    pub verification_id: Option<VerificationId>,
    /// The job, as the message says.
    pub job_id: Option<String>,
    /// Why, in a word.
    pub reason: String,
    /// Why, in full.
    pub detail: String,
    /// When.
    pub raised_at: Timestamp,
    /// When somebody closed it.
    pub closed_at: Option<Timestamp>,
    /// Who.
    pub closed_by: Option<String>,
    /// Why.
    pub closed_reason: Option<String>,
}

impl Market {
    /// Pauses payments, or lets them go on.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn set_pause(&self, paused: bool, by: &str, reason: &str) -> Result<(), JournalError> {
        let mut transaction = self.journal.pool().begin().await?;
        sqlx::query(
            "INSERT INTO assay.switch (name, is_on, by, reason) VALUES ('pause', $1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET is_on = $1, by = $2, reason = $3, at = now()",
        )
        .bind(paused)
        .bind(by)
        .bind(reason)
        .execute(&mut *transaction)
        .await?;
        let what = if paused { "pause" } else { "resume" };
        note_act(&mut transaction, what, &["settlement".to_owned()], by, reason).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The switch as it stands; `None` where nobody ever paused.
    ///
    /// # Errors
    /// Where the database cannot be asked.
    pub async fn pause(&self) -> Result<Option<Pause>, JournalError> {
        let row = sqlx::query("SELECT is_on, by, reason, at FROM assay.switch WHERE name = 'pause'")
            .fetch_optional(&self.journal.pool())
            .await?;
        row.map(|row| {
            Ok(Pause {
                paused: row.try_get("is_on")?,
                by: row.try_get("by")?,
                reason: row.try_get("reason")?,
                at: row.try_get::<Time, _>("at")?.0,
            })
        })
        .transpose()
    }

    /// The outcomes that wait, the oldest first.
    ///
    /// # Errors
    /// Where the database cannot be asked.
    pub async fn held(&self) -> Result<Vec<HeldRow>, JournalError> {
        let rows = sqlx::query(
            "SELECT verification_id, job_id, reason, amount_cents, held_at, approved_by FROM assay.held
             WHERE released_at IS NULL ORDER BY held_at, verification_id",
        )
        .fetch_all(&self.journal.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(HeldRow {
                    verification_id: row.try_get::<Uuid, _>("verification_id")?.into(),
                    job_id: row.try_get("job_id")?,
                    reason: row.try_get("reason")?,
                    amount_cents: row.try_get("amount_cents")?,
                    held_at: row.try_get::<Time, _>("held_at")?.0,
                    approved_by: row.try_get("approved_by")?,
                })
            })
            .collect()
    }

    /// Approves what waits under these ids, of verifications or of jobs. Returns the verifications that were approved.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn approve(
        &self,
        ids: &[String],
        by: &str,
        reason: &str,
    ) -> Result<Vec<VerificationId>, JournalError> {
        let mut transaction = self.journal.pool().begin().await?;
        let approved: Vec<Uuid> = sqlx::query_scalar(
            "UPDATE assay.held SET approved_by = $2, approved_at = now()
             WHERE released_at IS NULL AND approved_at IS NULL
               AND (verification_id::text = ANY($1) OR job_id = ANY($1))
             RETURNING verification_id",
        )
        .bind(ids)
        .bind(by)
        .fetch_all(&mut *transaction)
        .await?;
        let targets: Vec<_> = approved.iter().map(Uuid::to_string).collect();
        note_act(&mut transaction, "approve", &targets, by, reason).await?;
        transaction.commit().await?;
        Ok(approved.into_iter().map(VerificationId::from).collect())
    }

    /// The exceptions, the oldest first; the closed ones too if `all`.
    ///
    /// # Errors
    /// Where the database cannot be asked.
    pub async fn exceptions(&self, all: bool) -> Result<Vec<ExceptionRow>, JournalError> {
        let rows = sqlx::query(
            "SELECT id, verification_id, job_id, reason, detail, raised_at, closed_at, closed_by, closed_reason
             FROM assay.exception WHERE $1 OR closed_at IS NULL ORDER BY id",
        )
        .bind(all)
        .fetch_all(&self.journal.pool())
        .await?;
        rows.iter().map(exception).collect()
    }

    /// The message of an open exception.
    ///
    /// # Errors
    /// Where the database cannot be asked.
    pub async fn exception_message(&self, id: i64) -> Result<Option<Vec<u8>>, JournalError> {
        // The exception keeps no more than the beginning of a long one; the decision has it whole.
        let message = sqlx::query_scalar(
            "SELECT coalesce((SELECT d.message FROM assay.decision d
                              WHERE d.verification_id = e.verification_id AND sha256(d.message) = e.digest), e.message)
             FROM assay.exception e WHERE e.id = $1 AND e.closed_at IS NULL",
        )
        .bind(id)
        .fetch_optional(&self.journal.pool())
        .await?;
        Ok(message)
    }

    /// Closes an exception; it stays in the table. `false` if there is no such open one.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn close_exception(&self, id: i64, by: &str, reason: &str) -> Result<bool, JournalError> {
        let mut transaction = self.journal.pool().begin().await?;
        let closed = close(&mut transaction, id, by, reason).await?;
        transaction.commit().await?;
        Ok(closed)
    }
}

/// Closes an open exception, and notes who did.
pub(super) async fn close(
    connection: &mut PgConnection,
    id: i64,
    by: &str,
    reason: &str,
) -> Result<bool, JournalError> {
    let closed = sqlx::query(
        "UPDATE assay.exception SET closed_at = now(), closed_by = $2, closed_reason = $3
         WHERE id = $1 AND closed_at IS NULL",
    )
    .bind(id)
    .bind(by)
    .bind(reason)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if closed == 0 {
        return Ok(false);
    }
    note_act(connection, "close-exception", &[id.to_string()], by, reason).await?;
    Ok(true)
}

async fn note_act(
    connection: &mut PgConnection,
    what: &str,
    targets: &[String],
    by: &str,
    reason: &str,
) -> Result<(), JournalError> {
    sqlx::query("INSERT INTO assay.act (what, target, by, reason) SELECT $1, target, $3, $4 FROM unnest($2) AS t (target)")
        .bind(what)
        .bind(targets)
        .bind(by)
        .bind(reason)
        .execute(connection)
        .await?;
    Ok(())
}

fn exception(row: &PgRow) -> Result<ExceptionRow, JournalError> {
    Ok(ExceptionRow {
        id: row.try_get("id")?,
        verification_id: row
            .try_get::<Option<Uuid>, _>("verification_id")?
            .map(VerificationId::from),
        job_id: row.try_get("job_id")?,
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
        raised_at: row.try_get::<Time, _>("raised_at")?.0,
        closed_at: row.try_get::<Option<Time>, _>("closed_at")?.map(|time| time.0),
        closed_by: row.try_get("closed_by")?,
        closed_reason: row.try_get("closed_reason")?,
    })
}
