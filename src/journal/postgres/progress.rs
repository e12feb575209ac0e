//! How far a job has come in the pool, for whoever watches it.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::PgJournal;
use super::journal::count;
use super::time::Time;
use crate::entry::VerificationId;
use crate::job::JobId;
use crate::journal::JournalError;

/// `insufficient_privilege`: this role may not read the table (`PostgreSQL` 15, appendix A).
const NOT_ALLOWED: &str = "42501";

/// How far the latest hand-in of a job has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The attempt, where it is known.
    pub attempt: Option<u32>,
    /// How far it has come.
    pub stage: Stage,
}

/// How far a hand-in has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// A worker holds it.
    Running,
    /// It comes back.
    Waiting {
        /// When, at the latest; none for the moment in which it is being parked.
        due_at: Option<Timestamp>,
        /// Runs that ended in trouble of ours.
        tries: u32,
        /// Whether it waits for a judge.
        for_judge: bool,
    },
    /// It is decided.
    Decided {
        /// By which verification.
        by: VerificationId,
        /// `verified` or `retry`.
        outcome: String,
    },
    /// It waits for a person.
    Parked {
        /// Its number among the parked.
        id: i64,
        /// Why, in kebab-case.
        reason: String,
        /// Why, for the operator.
        detail: String,
    },
    /// It was closed without a decision.
    Closed {
        /// By whom and why, where a person did it.
        by: Option<(String, String)>,
    },
}

impl Stage {
    /// Whether nothing more becomes of the hand-in by itself.
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Running | Self::Waiting { .. } => false,
            Self::Decided { .. } | Self::Parked { .. } | Self::Closed { .. } => true,
        }
    }
}

/// What settlement has made of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Nothing that stands in its tables.
    NotYet,
    /// It was applied.
    Applied {
        /// What it did, in kebab-case.
        effect: String,
        /// Who was paid or refunded.
        user: Option<String>,
        /// Cents of it.
        amount_cents: i64,
        /// Who took the fee.
        fee_user: Option<String>,
        /// Cents of it.
        fee_cents: i64,
    },
    /// It waits, for this reason.
    Held(String),
    /// It is an exception: nothing moved.
    Exception {
        /// Its number among the exceptions.
        id: i64,
        /// Why, in kebab-case.
        reason: String,
        /// Why, for the operator.
        detail: String,
    },
    /// This role may not read settlement's tables.
    Hidden,
}

impl PgJournal {
    /// How far the job's latest hand-in has come; none where the pool knows nothing of the job.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn progress(&self, job_id: &JobId) -> Result<Option<Progress>, JournalError> {
        let claim = sqlx::query(
            "SELECT c.attempt, c.state, c.due_at, c.tries, c.for_judge, d.verification_id, d.outcome,
                    p.id, p.reason, p.detail, p.closed_by, p.closed_reason
             FROM assay.claim c
             LEFT JOIN assay.decision d
                 ON d.job_id = c.job_id AND d.attempt = c.attempt AND d.trigger = 'submission'
             LEFT JOIN LATERAL (
                 SELECT * FROM assay.parked
                 WHERE c.state IN ('parked', 'closed') AND job_id = c.job_id AND attempt = c.attempt AND message IS NULL
                 ORDER BY id DESC LIMIT 1
             ) p ON true
             WHERE c.job_id = $1 ORDER BY c.attempt DESC LIMIT 1",
        )
        .bind(job_id.as_str())
        .fetch_optional(&self.pool())
        .await?;
        if let Some(row) = claim {
            return Ok(Some(Progress {
                attempt: Some(count(&row, "attempt")?),
                stage: stage(&row)?,
            }));
        }
        let unclaimed = sqlx::query(
            "SELECT attempt, id, reason, detail FROM assay.parked
             WHERE job_id = $1 AND closed_at IS NULL ORDER BY id DESC LIMIT 1",
        )
        .bind(job_id.as_str())
        .fetch_optional(&self.pool())
        .await?;
        let Some(row) = unclaimed else { return Ok(None) };
        let attempt: Option<i32> = row.try_get("attempt")?;
        Ok(Some(Progress {
            attempt: attempt.and_then(|attempt| u32::try_from(attempt).ok()),
            stage: parked(&row)?,
        }))
    }

    /// What settlement has made of a decision.
    ///
    /// # Errors
    /// Where the database refuses, except for want of rights.
    pub async fn settlement_of(&self, decision: VerificationId) -> Result<Settlement, JournalError> {
        match self.look_at_settlement(decision).await {
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NOT_ALLOWED) => {
                Ok(Settlement::Hidden)
            }
            found => Ok(found?),
        }
    }

    async fn look_at_settlement(&self, decision: VerificationId) -> Result<Settlement, sqlx::Error> {
        let applied = sqlx::query("SELECT * FROM assay.settlement WHERE verification_id = $1")
            .bind(decision.uuid())
            .fetch_optional(&self.pool())
            .await?;
        if let Some(row) = applied {
            return Ok(Settlement::Applied {
                effect: row.try_get("effect")?,
                user: row.try_get("paid_user")?,
                amount_cents: row.try_get("amount_cents")?,
                fee_user: row.try_get("fee_user")?,
                fee_cents: row.try_get("fee_cents")?,
            });
        }
        let held = sqlx::query_scalar(
            "SELECT reason FROM assay.held WHERE verification_id = $1 AND released_at IS NULL",
        )
        .bind(decision.uuid())
        .fetch_optional(&self.pool())
        .await?;
        if let Some(reason) = held {
            return Ok(Settlement::Held(reason));
        }
        let exception = sqlx::query(
            "SELECT id, reason, detail FROM assay.exception
             WHERE verification_id = $1 AND closed_at IS NULL ORDER BY id DESC LIMIT 1",
        )
        .bind(decision.uuid())
        .fetch_optional(&self.pool())
        .await?;
        Ok(match exception {
            Some(row) => Settlement::Exception {
                id: row.try_get("id")?,
                reason: row.try_get("reason")?,
                detail: row.try_get("detail")?,
            },
            None => Settlement::NotYet,
        })
    }
}

fn stage(row: &PgRow) -> Result<Stage, JournalError> {
    let state: &str = row.try_get("state")?;
    Ok(match state {
        "running" => Stage::Running,
        "waiting" => Stage::Waiting {
            due_at: row.try_get::<Option<Time>, _>("due_at")?.map(|due_at| due_at.0),
            tries: count(row, "tries")?,
            for_judge: row.try_get("for_judge")?,
        },
        "decided" => Stage::Decided {
            by: row.try_get::<Uuid, _>("verification_id")?.into(),
            outcome: row.try_get("outcome")?,
        },
        "parked" => parked(row)?,
        "closed" => {
            let by: Option<String> = row.try_get("closed_by")?;
            let why: Option<String> = row.try_get("closed_reason")?;
            Stage::Closed { by: by.zip(why) }
        }
        other => return Err(JournalError::Damaged(format!("claim state `{other}`"))),
    })
}

fn parked(row: &PgRow) -> Result<Stage, JournalError> {
    Ok(Stage::Parked {
        id: row.try_get("id")?,
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
    })
}
