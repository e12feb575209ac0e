//! The chain of checkpoints, as audits read it.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::PgJournal;
use super::audit::leaf;
use super::claims::milliseconds;
use super::journal::digest;
use super::time::Time;
use crate::checkpoint::{Checkpoint, Leaf, SealedErasures};
use crate::journal::JournalError;

impl PgJournal {
    /// Checkpoints after `after`, at most `limit`, in their order.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn checkpoints(&self, after: u64, limit: u32) -> Result<Vec<Checkpoint>, JournalError> {
        let rows = sqlx::query("SELECT * FROM assay.checkpoint WHERE number > $1 ORDER BY number LIMIT $2")
            .bind(number(after)?)
            .bind(i64::from(limit))
            .fetch_all(&self.pool())
            .await?;
        rows.iter().map(checkpoint).collect()
    }

    /// Checkpoints after `after`, at most `limit`, in their order; a row that no version of ours writes is an error of its own.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn audited_checkpoints(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, Result<Checkpoint, JournalError>)>, JournalError> {
        let rows = sqlx::query("SELECT * FROM assay.checkpoint WHERE number > $1 ORDER BY number LIMIT $2")
            .bind(number(after)?)
            .bind(i64::from(limit))
            .fetch_all(&self.pool())
            .await?;
        rows.iter()
            .map(|row| {
                let number: i64 = row.try_get("number")?;
                Ok((u64::try_from(number).unwrap_or(0), checkpoint(row)))
            })
            .collect()
    }

    /// The checkpoint of that number.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn checkpoint(&self, of: u64) -> Result<Option<Checkpoint>, JournalError> {
        let row = sqlx::query("SELECT * FROM assay.checkpoint WHERE number = $1")
            .bind(number(of)?)
            .fetch_optional(&self.pool())
            .await?;
        row.as_ref().map(checkpoint).transpose()
    }

    /// The number of the last checkpoint made before `at`; 0 where there is none.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn checkpoint_before(&self, at: Timestamp) -> Result<u64, JournalError> {
        let number: Option<i64> =
            sqlx::query_scalar("SELECT max(number) FROM assay.checkpoint WHERE made_at < $1")
                .bind(Time(at))
                .fetch_one(&self.pool())
                .await?;
        Ok(number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0))
    }

    /// What a checkpoint covers, in the order of its tree; within, an error where a row is none that a version of ours writes.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn leaves(&self, of: u64) -> Result<Result<Vec<Leaf>, JournalError>, JournalError> {
        let rows = sqlx::query("SELECT * FROM assay.checkpoint_leaf WHERE checkpoint = $1 ORDER BY place")
            .bind(number(of)?)
            .fetch_all(&self.pool())
            .await?;
        Ok(rows.iter().map(leaf).collect())
    }

    /// Verifications that ended, or were published, longer than `age` ago and stand so in no checkpoint.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn count_unsealed(&self, age: Duration) -> Result<u64, JournalError> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM assay.verification v
             WHERE (ended_at < now() - $1 * interval '1 ms'
                    AND NOT EXISTS (SELECT FROM assay.checkpoint_leaf l WHERE l.verification_id = v.id))
                OR id IN (SELECT d.verification_id FROM assay.decision d
                          WHERE d.trigger = 'dispute' AND d.decided_at < now() - $1 * interval '1 ms'
                            AND NOT EXISTS (SELECT FROM assay.checkpoint_leaf l
                                            WHERE l.verification_id = d.verification_id AND l.decision IS NOT NULL))",
        )
        .bind(milliseconds(age))
        .fetch_one(&self.pool())
        .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

pub(super) fn number(number: u64) -> Result<i64, JournalError> {
    i64::try_from(number).map_err(|_| JournalError::Damaged(format!("checkpoint {number}")))
}

pub(super) fn checkpoint(row: &PgRow) -> Result<Checkpoint, JournalError> {
    let counted = |column| -> Result<u64, JournalError> {
        let number: i64 = row.try_get(column)?;
        u64::try_from(number).map_err(|_| JournalError::Damaged(format!("{column} {number}")))
    };
    Ok(Checkpoint {
        number: counted("number")?,
        deployment: row.try_get("deployment")?,
        previous: match row.try_get::<Option<&[u8]>, _>("previous")? {
            Some(_) => Some(digest(row, "previous")?),
            None => None,
        },
        count: counted("count")?,
        total: counted("total")?,
        root: digest(row, "root")?,
        erasures: match row.try_get::<Option<i64>, _>("erasures")? {
            Some(_) => Some(SealedErasures {
                count: counted("erasures")?,
                digest: digest(row, "erasures_digest")?,
            }),
            None => None,
        },
        made_at: row.try_get::<Time, _>("made_at")?.0,
        kid: row.try_get("kid")?,
        signature: row.try_get("signature")?,
    })
}
