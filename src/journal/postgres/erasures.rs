//! Removing content on a lawful request. What is removed, and under which conditions, says `assay.erase` in the migration
//! `0003_evidence.sql`: the database writes the tombstone in the same statement.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::PgJournal;
use super::time::Time;
use crate::job::JobId;
use crate::journal::JournalError;

/// The tombstone of an erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Erasure {
    /// The job.
    pub job_id: String,
    /// The attempt; none: all of them.
    pub attempt: Option<i32>,
    /// Who erased, by their own word.
    pub by: String,
    /// The database role that erased.
    pub role: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl Erasure {
    /// Whether it was about this attempt of this job.
    pub fn covers(&self, job_id: &JobId, attempt: u32) -> bool {
        self.job_id == job_id.as_str()
            && self
                .attempt
                .is_none_or(|erased| u32::try_from(erased) == Ok(attempt))
    }
}

/// What an erasure removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// Verifications concerned.
    pub verifications: i64,
    /// Log entries whose content is gone.
    pub entries: i64,
    /// Evidence files that are to be deleted, or never were kept.
    pub files: i64,
}

/// Why nothing was erased.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EraseError {
    /// Somebody works on it.
    #[error("{0} is under way: erase it when it has ended (`assay log {0} --follow` tells when)")]
    UnderWay(JobId),
    /// The role may not.
    #[error("this database role may not erase: run `assay erase` with the URL of the tables' owner")]
    NotAllowed,
    /// The database said otherwise.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl PgJournal {
    /// Removes the content of a job, or of one attempt. The evidence store's blobs are deleted by the next pass over what is
    /// doomed.
    ///
    /// # Errors
    /// A job that is under way, a role that may not, a database that cannot be written.
    pub async fn erase(
        &self,
        job_id: &JobId,
        attempt: Option<u32>,
        (by, reason): (&str, &str),
    ) -> Result<Erased, EraseError> {
        let attempt = attempt.map(super::journal::attempt).transpose()?;
        let erasing = async {
            let row = sqlx::query("SELECT * FROM assay.erase($1, $2, $3, $4)")
                .bind(job_id.as_str())
                .bind(attempt)
                .bind(by)
                .bind(reason)
                .fetch_one(&self.pool())
                .await?;
            Ok(Erased {
                verifications: row.try_get("verifications")?,
                entries: row.try_get("entries")?,
                files: row.try_get("files")?,
            })
        };
        self.within(erasing).await.map_err(|error| {
            let JournalError::Statement(sqlx::Error::Database(told)) = &error else {
                return error.into();
            };
            match told.code().as_deref() {
                Some("55006") => EraseError::UnderWay(job_id.clone()),
                Some("42501") => EraseError::NotAllowed,
                _ => error.into(),
            }
        })
    }

    /// The tombstones of a job, or of all of them, the oldest first.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn erasures(&self, job_id: Option<&JobId>) -> Result<Vec<Erasure>, JournalError> {
        let rows = sqlx::query(
            "SELECT job_id, attempt, by, role, reason, at FROM assay.erasure WHERE $1::text IS NULL OR job_id = $1 ORDER BY id",
        )
        .bind(job_id.map(JobId::as_str))
        .fetch_all(&self.pool())
        .await?;
        rows.iter().map(erasure).collect()
    }
}

fn erasure(row: &PgRow) -> Result<Erasure, JournalError> {
    Ok(Erasure {
        job_id: row.try_get("job_id")?,
        attempt: row.try_get("attempt")?,
        by: row.try_get("by")?,
        role: row.try_get("role")?,
        reason: row.try_get("reason")?,
        at: row.try_get::<Time, _>("at")?.0,
    })
}
