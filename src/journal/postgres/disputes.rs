//! Disputes: what was handed in and decided, verifications of it again, and decisions that overturn earlier ones.

use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Row as _};
use uuid::Uuid;

use super::PgJournal;
use super::claims::{StoredOutcome, outcome_of};
use super::journal::{attempt, count};
use super::time::Time;
use crate::entry::VerificationId;
use crate::job::JobId;
use crate::journal::{JournalError, ending_words};
use crate::outcome::{Decision, Outcome};
use crate::receipt::Trigger;
use crate::verdict::GradeError;

/// A decision as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRow {
    /// The verification that decided.
    pub verification_id: VerificationId,
    /// The job.
    pub job_id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// Why it was made.
    pub trigger: Trigger,
    /// The decision that it overturns.
    pub supersedes: Option<VerificationId>,
    /// The decision that overturns it: without one it is the effective one.
    pub superseded_by: Option<VerificationId>,
    /// The outcome message as it was published.
    pub message: Vec<u8>,
    /// When it was made.
    pub decided_at: Timestamp,
}

/// Why something is verified again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDispute {
    /// The decision that it is compared with.
    pub disputes: VerificationId,
    /// The set that it belongs to.
    pub set: Option<String>,
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A decision that overturns another, about to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overturning {
    /// The verification that decided.
    pub verification_id: VerificationId,
    /// The job.
    pub job_id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// The decision that it overturns.
    pub supersedes: VerificationId,
    /// The answer.
    pub outcome: Outcome,
    /// The outcome message with a receipt on which money moves.
    pub message: Vec<u8>,
}

/// What became of decisions that were to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overturned {
    /// All of them are stored.
    Stored,
    /// None is: these overturn decisions that somebody else overturned, or are stored already; without any, the set has
    /// ended meanwhile.
    Refused(Vec<VerificationId>),
}

/// A decision with the one that overturns it.
pub(super) const SELECT_DECISION: &str = "
    SELECT d.*, o.verification_id AS superseded_by
    FROM assay.decision d LEFT JOIN assay.decision o ON o.supersedes = d.verification_id ";

impl PgJournal {
    /// The message of what was handed in at that attempt.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn hand_in(&self, job_id: &JobId, of: u32) -> Result<Option<Vec<u8>>, JournalError> {
        self.within(async {
            let found =
                sqlx::query_scalar("SELECT message FROM assay.hand_in WHERE job_id = $1 AND attempt = $2")
                    .bind(job_id.as_str())
                    .bind(attempt(of)?)
                    .fetch_optional(&self.pool())
                    .await?;
            Ok(found)
        })
        .await
    }

    /// Every decision on the job, attempt by attempt, each before those that overturn it.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn decisions(&self, job_id: &JobId) -> Result<Vec<DecisionRow>, JournalError> {
        self.within(async {
            // One index for decisions of submissions, one for those of disputes.
            let select = format!(
                "{SELECT_DECISION} WHERE d.job_id = $1 AND d.trigger = 'submission' UNION ALL
                 {SELECT_DECISION} WHERE d.job_id = $1 AND d.trigger = 'dispute'
                 ORDER BY attempt, decided_at"
            );
            let rows = sqlx::query(sqlx::AssertSqlSafe(select))
                .bind(job_id.as_str())
                .fetch_all(&self.pool())
                .await?;
            rows.iter().map(decision).collect()
        })
        .await
    }

    /// The decision of that verification.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn decision(&self, id: VerificationId) -> Result<Option<DecisionRow>, JournalError> {
        self.within(async {
            let select = format!("{SELECT_DECISION} WHERE d.verification_id = $1");
            let row = sqlx::query(sqlx::AssertSqlSafe(select))
                .bind(id.uuid())
                .fetch_optional(&self.pool())
                .await?;
            row.as_ref().map(decision).transpose()
        })
        .await
    }

    /// Ends a verification of a dispute, with the preview of its outcome message where it came to a decision.
    ///
    /// # Errors
    /// [`JournalError::NotUnderWay`] where it has ended, else trouble with the database.
    pub async fn end_dispute(
        &self,
        id: VerificationId,
        decision: &Result<Decision, GradeError>,
        preview: Option<&[u8]>,
        at: Timestamp,
    ) -> Result<(), JournalError> {
        let (outcome, content) = ending_words(decision)?;
        self.within(async {
            let mut connection = self.pool().acquire().await?;
            let mut transaction = connection.begin().await?;
            super::journal::conclude(&mut transaction, id, (outcome, &content), at).await?;
            if let Some(message) = preview {
                sqlx::query("INSERT INTO assay.preview (verification_id, message) VALUES ($1, $2)")
                    .bind(id.uuid())
                    .bind(message)
                    .execute(&mut *transaction)
                    .await?;
            }
            if let Err(error) = decision {
                sqlx::query("UPDATE assay.dispute_item SET error = $2 WHERE verification_id = $1")
                    .bind(id.uuid())
                    .bind(format!("{}: {}", error.kind, error.message))
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// The preview of a verification's outcome message.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn preview(&self, id: VerificationId) -> Result<Option<Vec<u8>>, JournalError> {
        self.within(async {
            let found = sqlx::query_scalar("SELECT message FROM assay.preview WHERE verification_id = $1")
                .bind(id.uuid())
                .fetch_optional(&self.pool())
                .await?;
            Ok(found)
        })
        .await
    }

    /// Stores decisions that overturn others, all or none; from then on settlement applies them, even if their messages are
    /// lost. `set`: the set that they are, which is applied with them.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn overturn(
        &self,
        decisions: &[Overturning],
        by: &str,
        set: Option<&str>,
    ) -> Result<Overturned, JournalError> {
        self.within(async {
            let mut connection = self.pool().acquire().await?;
            let mut transaction = connection.begin().await?;
            let mut refused = Vec::new();
            // In one order, so that two who overturn the same decisions wait for each other in no circle.
            let mut decisions: Vec<_> = decisions.iter().collect();
            decisions.sort_by_key(|decision| decision.supersedes.uuid());
            for decision in decisions {
                if !store(&mut transaction, decision, by).await? {
                    refused.push(decision.verification_id);
                }
            }
            if !refused.is_empty() {
                transaction.rollback().await?;
                return Ok(Overturned::Refused(refused));
            }
            if let Some(set) = set
                && !super::dispute_sets::end(&mut transaction, set, "applied", by).await?
            {
                transaction.rollback().await?;
                return Ok(Overturned::Refused(Vec::new()));
            }
            transaction.commit().await?;
            Ok(Overturned::Stored)
        })
        .await
    }

    /// Decisions of disputes whose messages the broker has not confirmed; of one job, where it is given.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn unconfirmed_disputes(
        &self,
        job_id: Option<&JobId>,
    ) -> Result<Vec<StoredOutcome>, JournalError> {
        self.within(async {
            let rows = sqlx::query(
                "SELECT d.* FROM assay.dispute_outcome o JOIN assay.decision d USING (verification_id)
                 WHERE o.confirmed_at IS NULL AND ($1::text IS NULL OR d.job_id = $1) ORDER BY o.decided_at",
            )
            .bind(job_id.map(JobId::as_str))
            .fetch_all(&self.pool())
            .await?;
            rows.iter().map(outcome_of).collect()
        })
        .await
    }

    /// Notes that the broker has confirmed these decisions' messages.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn confirm_dispute(&self, id: VerificationId) -> Result<(), JournalError> {
        self.within(async {
            sqlx::query(
                "UPDATE assay.dispute_outcome SET confirmed_at = now() WHERE verification_id = $1 AND confirmed_at IS NULL",
            )
            .bind(id.uuid())
            .execute(&self.pool())
            .await?;
            Ok(())
        })
        .await
    }
}

/// Stores one; `false` where it, or another that overturns the same, is stored already.
async fn store(
    transaction: &mut PgConnection,
    decision: &Overturning,
    by: &str,
) -> Result<bool, JournalError> {
    // Whoever races waits here for the other's commit, by one of the unique indexes.
    let stored = sqlx::query(
        "INSERT INTO assay.decision (verification_id, job_id, attempt, trigger, supersedes, outcome, message)
         VALUES ($1, $2, $3, 'dispute', $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(decision.verification_id.uuid())
    .bind(decision.job_id.as_str())
    .bind(attempt(decision.attempt)?)
    .bind(decision.supersedes.uuid())
    .bind(decision.outcome.as_str())
    .bind(&decision.message)
    .execute(&mut *transaction)
    .await?;
    if stored.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query("INSERT INTO assay.dispute_outcome (verification_id, published_by) VALUES ($1, $2)")
        .bind(decision.verification_id.uuid())
        .bind(by)
        .execute(transaction)
        .await?;
    Ok(true)
}

pub(super) fn decision(row: &PgRow) -> Result<DecisionRow, JournalError> {
    let id = |column| -> Result<Option<VerificationId>, JournalError> {
        Ok(row.try_get::<Option<Uuid>, _>(column)?.map(VerificationId::from))
    };
    Ok(DecisionRow {
        verification_id: VerificationId::from(row.try_get::<Uuid, _>("verification_id")?),
        job_id: JobId::new(row.try_get::<String, _>("job_id")?),
        attempt: count(row, "attempt")?,
        trigger: match row.try_get("trigger")? {
            "submission" => Trigger::Submission,
            "dispute" => Trigger::Dispute,
            other => return Err(JournalError::Damaged(format!("the trigger `{other}`"))),
        },
        supersedes: id("supersedes")?,
        superseded_by: id("superseded_by")?,
        message: row.try_get("message")?,
        decided_at: row.try_get::<Time, _>("decided_at")?.0,
    })
}
