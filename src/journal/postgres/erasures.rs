//! Removing content on a lawful request. What is removed, and under which conditions, says `assay.erase` in the migration
//! `0003_evidence.sql`: the database writes the tombstone in the same statement.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use super::PgJournal;
use super::time::Time;
use crate::checkpoint::SealedErasures;
use crate::digest::{Digest, FieldHasher};
use crate::job::JobId;
use crate::journal::JournalError;

/// The tombstone of an erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Erasure {
    /// The job.
    pub job_id: String,
    /// The attempt; none: all of them.
    pub attempt: Option<i32>,
    /// Senders' own plans that went with it, by digest.
    pub plans: Vec<Digest>,
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
    /// The digest of this tombstone and of all before it, whose own is `before`: checkpoints seal it.
    pub fn chained(&self, before: Option<Digest>) -> Digest {
        let hasher = FieldHasher::new("assay-erasure-v1")
            .optional(before.map(|digest| digest.to_string()).as_deref())
            .text(&self.job_id)
            .optional(self.attempt.map(|attempt| attempt.to_string()).as_deref())
            .text(&self.by)
            .text(&self.role)
            .text(&self.reason)
            .number(self.at.as_microsecond());
        self.plans
            .iter()
            .fold(hasher, |hasher, plan| hasher.bytes(plan.as_bytes()))
            .finish()
    }

    /// Whether it was about this attempt of this job.
    pub fn covers(&self, job_id: &JobId, attempt: u32) -> bool {
        self.job_id == job_id.as_str()
            && self
                .attempt
                .is_none_or(|erased| u32::try_from(erased) == Ok(attempt))
    }
}

impl fmt::Display for Erasure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            by, role, at, reason, ..
        } = self;
        write!(f, "erased by {by} (role {role}) at {at}, because: {reason}")
    }
}

/// What there is of a job, or of one attempt, that an erasure would remove: counts of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasable {
    /// Verifications with their logs.
    pub verifications: i64,
    /// Messages that claims keep.
    pub hand_ins: i64,
    /// Messages that were set aside.
    pub parked: i64,
    /// Outcome messages that settlement did not apply.
    pub exceptions: i64,
}

impl Erasable {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.verifications + self.hand_ins + self.parked + self.exceptions == 0
    }
}

/// A sender's own plan that outlives an erasure: attempts that were not erased were judged by it, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SharedPlan {
    /// Its digest.
    pub plan: Digest,
    /// How many verifications of others it judged.
    pub verifications: i64,
    /// The job of one of them.
    pub job_id: String,
    /// And the attempt.
    pub attempt: i32,
}

/// What an erasure removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// Verifications concerned.
    pub verifications: i64,
    /// Log entries whose content is gone.
    pub entries: i64,
    /// Evidence files that are to be deleted, or never were kept.
    pub files: i64,
    /// Senders' own plans that judged nobody else, by digest.
    pub plans: Vec<Digest>,
}

/// Why nothing was erased.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EraseError {
    /// Somebody works on it.
    #[error("{0} is under way: erase it when it has ended (`assay log {0} --follow` tells when)")]
    UnderWay(JobId),
    /// It is judged again.
    #[error(
        "{job_id} is in dispute: verification {verification} of it runs. Erase it when that has ended, or stop that \
         `assay reverify` first"
    )]
    InDispute {
        /// The job.
        job_id: JobId,
        /// The verification that runs.
        verification: String,
    },
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
    /// A job that is under way or in dispute, a role that may not, a database that cannot be written.
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
                plans: digests(&row)?,
            })
        };
        self.within(erasing).await.map_err(|error| {
            let JournalError::Statement(sqlx::Error::Database(told)) = &error else {
                return error.into();
            };
            match told.code().as_deref() {
                Some("55006") => EraseError::UnderWay(job_id.clone()),
                Some("55P03") => EraseError::InDispute {
                    job_id: job_id.clone(),
                    verification: told.message().to_owned(),
                },
                Some("42501") => EraseError::NotAllowed,
                _ => error.into(),
            }
        })
    }

    /// What there is to erase of a job, or of one attempt.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn erasable(&self, job_id: &JobId, attempt: Option<u32>) -> Result<Erasable, JournalError> {
        let attempt = attempt.map(super::journal::attempt).transpose()?;
        let counting = async {
            // An exception is known by its message alone, so it counts for the job, whatever the attempt.
            let row = sqlx::query(
                "SELECT (SELECT count(*) FROM assay.verification
                         WHERE job_id = $1 AND ($2::int4 IS NULL OR attempt = $2)) AS verifications,
                        (SELECT count(*) FROM assay.hand_in
                         WHERE job_id = $1 AND ($2::int4 IS NULL OR attempt = $2)) AS hand_ins,
                        (SELECT count(*) FROM assay.parked
                         WHERE job_id = $1 AND ($2::int4 IS NULL OR attempt IS NULL OR attempt = $2)) AS parked,
                        (SELECT count(*) FROM assay.exception WHERE job_id = $1 AND $2::int4 IS NULL) AS exceptions",
            )
            .bind(job_id.as_str())
            .bind(attempt)
            .fetch_one(&self.pool())
            .await?;
            Ok(Erasable {
                verifications: row.try_get("verifications")?,
                hand_ins: row.try_get("hand_ins")?,
                parked: row.try_get("parked")?,
                exceptions: row.try_get("exceptions")?,
            })
        };
        self.within(counting).await
    }

    /// The kept plans of senders that judged a job, or one attempt of it, and hand-ins of others that were not erased.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn shared_plans(
        &self,
        job_id: &JobId,
        attempt: Option<u32>,
    ) -> Result<Vec<SharedPlan>, JournalError> {
        let attempt = attempt.map(super::journal::attempt).transpose()?;
        let reading = async {
            let rows = sqlx::query(
                "SELECT DISTINCT ON (p.digest) p.digest, other.job_id, other.attempt,
                        count(*) OVER (PARTITION BY p.digest) AS verifications
                 FROM (SELECT DISTINCT plan_digest FROM assay.verification
                       WHERE job_id = $1 AND ($2::int4 IS NULL OR attempt = $2) AND plan_name = 'inline') judged
                 JOIN assay.plan p ON p.digest = judged.plan_digest
                 JOIN LATERAL assay.judged_inline(p.digest) other
                   ON NOT (other.job_id = $1 AND ($2::int4 IS NULL OR other.attempt = $2))
                 ORDER BY p.digest, other.started_at, other.id",
            )
            .bind(job_id.as_str())
            .bind(attempt)
            .fetch_all(&self.pool())
            .await?;
            rows.iter()
                .map(|row| {
                    Ok(SharedPlan {
                        plan: super::journal::digest(row, "digest")?,
                        verifications: row.try_get("verifications")?,
                        job_id: row.try_get("job_id")?,
                        attempt: row.try_get("attempt")?,
                    })
                })
                .collect()
        };
        self.within(reading).await
    }

    /// Numbers of the parked messages that name no job, since nobody could read them: an erasure does not find them.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn parked_of_nobody(&self) -> Result<Vec<i64>, JournalError> {
        let reading = async {
            let select =
                "SELECT id FROM assay.parked WHERE job_id IS NULL AND message IS NOT NULL ORDER BY id";
            Ok(sqlx::query_scalar(select).fetch_all(&self.pool()).await?)
        };
        self.within(reading).await
    }

    /// The tombstones of a job, or of all of them, the oldest first.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn erasures(&self, job_id: Option<&JobId>) -> Result<Vec<Erasure>, JournalError> {
        let rows = sqlx::query(
            "SELECT job_id, attempt, plans, by, role, reason, at FROM assay.erasure WHERE $1::text IS NULL OR job_id = $1 ORDER BY id",
        )
        .bind(job_id.map(JobId::as_str))
        .fetch_all(&self.pool())
        .await?;
        rows.iter().map(erasure).collect()
    }
}

/// What a checkpoint seals of erasures: those that the one before has sealed, and `new` ones.
pub(super) fn chained_erasures(sealed: Option<SealedErasures>, new: &[Erasure]) -> Option<SealedErasures> {
    new.iter().fold(sealed, |sealed, erasure| {
        Some(SealedErasures {
            count: sealed.map_or(0, |sealed| sealed.count) + 1,
            digest: erasure.chained(sealed.map(|sealed| sealed.digest)),
        })
    })
}

/// The tombstones but for the first `count`, in the order in which they were recorded: one erasure ends before the next gets its
/// number, so that no earlier one appears later.
pub(super) async fn erasures_after(
    connection: &mut PgConnection,
    count: u64,
) -> Result<Vec<Erasure>, JournalError> {
    let rows = sqlx::query("SELECT * FROM assay.erasure ORDER BY id OFFSET $1")
        .bind(i64::try_from(count).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    rows.iter().map(erasure).collect()
}

fn digests(row: &PgRow) -> Result<Vec<Digest>, JournalError> {
    let plans: Vec<Vec<u8>> = row.try_get("plans")?;
    let digest = |bytes: Vec<u8>| {
        <[u8; 32]>::try_from(bytes)
            .map(Digest::from)
            .map_err(|bytes| JournalError::Damaged(format!("a digest of {} bytes", bytes.len())))
    };
    plans.into_iter().map(digest).collect()
}

pub(super) fn erasure(row: &PgRow) -> Result<Erasure, JournalError> {
    Ok(Erasure {
        job_id: row.try_get("job_id")?,
        attempt: row.try_get("attempt")?,
        plans: digests(row)?,
        by: row.try_get("by")?,
        role: row.try_get("role")?,
        reason: row.try_get("reason")?,
        at: row.try_get::<Time, _>("at")?.0,
    })
}
