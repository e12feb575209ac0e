//! What an audit reads: verifications with all that stands beside them, each batch as it was at one moment.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::PgJournal;
use super::journal::{SELECT_VERIFICATION, count, digest, log_entry, verification};
use super::time::Time;
use crate::checkpoint::Leaf;
use crate::entry::{LogEntry, VerificationId};
use crate::job::JobId;
use crate::journal::{JournalError, VerificationRow};

/// Which verifications are audited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every one.
    All,
    /// Those that began since then.
    Since(Timestamp),
    /// Those of a job.
    Job(JobId),
}

impl Scope {
    pub(super) fn job(&self) -> Option<&str> {
        match self {
            Self::Job(job) => Some(job.as_str()),
            Self::All | Self::Since(_) => None,
        }
    }

    pub(super) fn since(&self) -> Option<Time> {
        match self {
            Self::Since(since) => Some(Time(*since)),
            Self::All | Self::Job(_) => None,
        }
    }
}

/// A row of `assay.decision`, nothing of it believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedDecision {
    /// The job, by the row.
    pub job_id: String,
    /// The attempt, by the row.
    pub attempt: u32,
    /// `submission` or `dispute`, by the row.
    pub trigger: String,
    /// The decision that it overturns, by the row.
    pub supersedes: Option<VerificationId>,
    /// Whether a decision of that id on the same job stands in the table; true where it overturns none.
    pub superseded_exists: bool,
    /// The answer, by the row.
    pub outcome: String,
    /// The message as it was published.
    pub message: Vec<u8>,
}

/// A row of `assay.settlement`, as far as it must fit its decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettlementRow {
    /// The job.
    pub job_id: String,
    /// The attempt.
    pub attempt: u32,
    /// The answer that was applied.
    pub outcome: String,
    /// The decision that was overturned with it.
    pub supersedes: Option<VerificationId>,
    /// What moved.
    pub moved: Moved,
    /// What had moved on the decision that was overturned.
    pub before: Option<Moved>,
}

/// Money that a settlement moved, by its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// What became of the job, as [`Effect`](crate::journal::Effect) writes it.
    pub effect: String,
    /// Who was paid or refunded, or had to give back.
    pub paid_user: Option<String>,
    /// Cents of it.
    pub amount_cents: i64,
    /// Who took the fee, or gave it back.
    pub fee_user: Option<String>,
    /// Cents of it.
    pub fee_cents: i64,
}

/// A checkpoint by number, a place in its tree, and what was sealed there.
pub type Sealed = (u64, u32, Leaf);

/// A verification with all that says something of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Audited {
    /// Its row.
    pub row: VerificationRow,
    /// When it ended; none while it runs.
    pub ended_at: Option<Timestamp>,
    /// Length of the chain, as recorded when it ended.
    pub recorded_entries: Option<u32>,
    /// Who took it over, and whether that is a verification of the same attempt.
    pub taken_over_by: Option<(VerificationId, bool)>,
    /// Its log.
    pub entries: Vec<LogEntry>,
    /// Its decision.
    pub decision: Option<AuditedDecision>,
    /// What was settled on it.
    pub settlement: Option<SettlementRow>,
    /// The checkpoints that sealed it, its place there, and what was sealed, in their order.
    pub sealed: Vec<Sealed>,
}

impl PgJournal {
    /// How many verifications are in the scope.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn count_audited(&self, scope: &Scope) -> Result<u64, JournalError> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM assay.verification
             WHERE ($1::text IS NULL OR job_id = $1) AND started_at >= coalesce($2, '-infinity'::timestamptz)",
        )
        .bind(scope.job())
        .bind(scope.since())
        .fetch_one(&self.pool())
        .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// The ids of the scope's verifications in their order, at most `limit` after `after`.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn audited_ids(
        &self,
        scope: &Scope,
        after: Option<VerificationId>,
        limit: u32,
    ) -> Result<Vec<VerificationId>, JournalError> {
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "SELECT id FROM assay.verification
             WHERE ($1::text IS NULL OR job_id = $1) AND started_at >= coalesce($2, '-infinity'::timestamptz)
               AND id > coalesce($3, '00000000-0000-0000-0000-000000000000'::uuid)
             ORDER BY id LIMIT $4",
        )
        .bind(scope.job())
        .bind(scope.since())
        .bind(after.map(VerificationId::uuid))
        .bind(i64::from(limit))
        .fetch_all(&self.pool())
        .await?;
        Ok(ids.into_iter().map(VerificationId::from).collect())
    }

    /// These verifications with everything beside them, all as of one moment; a row that no version of ours writes is given
    /// back as an error of its own verification.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn audited(
        &self,
        ids: &[VerificationId],
    ) -> Result<Vec<(VerificationId, Result<Audited, JournalError>)>, JournalError> {
        self.within(async {
            let pool = self.pool();
            let mut transaction = pool
                .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                .await?;
            let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
            let read = read(&mut transaction, &ids).await?;
            transaction.rollback().await?;
            Ok(read)
        })
        .await
    }
}

async fn read(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<(VerificationId, Result<Audited, JournalError>)>, JournalError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT v.*, t.id IS NOT NULL AND t.job_id = v.job_id AND t.attempt = v.attempt AS successor_fits
         FROM ({SELECT_VERIFICATION} WHERE v.id = ANY ($1)) v LEFT JOIN assay.verification t ON t.id = v.taken_over_by
         ORDER BY v.id"
    )))
    .bind(ids)
    .fetch_all(&mut *connection)
    .await?;
    let mut logs: HashMap<Uuid, Vec<Result<LogEntry, JournalError>>> = HashMap::new();
    let log =
        sqlx::query("SELECT * FROM assay.log WHERE verification_id = ANY ($1) ORDER BY verification_id, seq")
            .bind(ids)
            .fetch_all(&mut *connection)
            .await?;
    for row in &log {
        logs.entry(row.try_get("verification_id")?)
            .or_default()
            .push(log_entry(row));
    }
    let mut decisions = by_id(
        &sqlx::query(
            "SELECT d.*, d.supersedes IS NULL OR EXISTS (
                 SELECT FROM assay.decision s WHERE s.verification_id = d.supersedes AND s.job_id = d.job_id
             ) AS superseded_exists
             FROM assay.decision d WHERE d.verification_id = ANY ($1)",
        )
        .bind(ids)
        .fetch_all(&mut *connection)
        .await?,
        decision,
    )?;
    let mut settlements = by_id(
        &sqlx::query(
            "SELECT s.*, p.effect AS before_effect, p.paid_user AS before_paid_user, p.amount_cents AS before_amount_cents,
                    p.fee_user AS before_fee_user, p.fee_cents AS before_fee_cents
             FROM assay.settlement s LEFT JOIN assay.settlement p ON p.verification_id = s.supersedes
             WHERE s.verification_id = ANY ($1)",
        )
            .bind(ids)
            .fetch_all(&mut *connection)
            .await?,
        settlement,
    )?;
    let mut leaves: HashMap<Uuid, Vec<Result<Sealed, JournalError>>> = HashMap::new();
    let found = sqlx::query(
        "SELECT * FROM assay.checkpoint_leaf WHERE verification_id = ANY ($1) ORDER BY checkpoint",
    )
    .bind(ids)
    .fetch_all(&mut *connection)
    .await?;
    for row in &found {
        leaves
            .entry(row.try_get("verification_id")?)
            .or_default()
            .push(sealed(row));
    }
    rows.iter()
        .map(|row| {
            let id: Uuid = row.try_get("id")?;
            let audited = || {
                Ok(Audited {
                    row: verification(row)?,
                    ended_at: row.try_get::<Option<Time>, _>("ended_at")?.map(|time| time.0),
                    recorded_entries: match row.try_get::<Option<i32>, _>("entries")? {
                        Some(_) => Some(count(row, "entries")?),
                        None => None,
                    },
                    taken_over_by: match row.try_get::<Option<Uuid>, _>("taken_over_by")? {
                        Some(by) => Some((by.into(), row.try_get("successor_fits")?)),
                        None => None,
                    },
                    entries: logs
                        .remove(&id)
                        .unwrap_or_default()
                        .into_iter()
                        .collect::<Result<_, _>>()?,
                    decision: decisions.remove(&id).transpose()?,
                    settlement: settlements.remove(&id).transpose()?,
                    sealed: leaves
                        .remove(&id)
                        .unwrap_or_default()
                        .into_iter()
                        .collect::<Result<_, _>>()?,
                })
            };
            let mut audited = audited;
            Ok((VerificationId::from(id), audited()))
        })
        .collect()
}

/// Rows by their verification; each on its own, so that one that cannot be read speaks of its own verification only.
fn by_id<T>(
    rows: &[PgRow],
    parse: impl Fn(&PgRow) -> Result<T, JournalError>,
) -> Result<HashMap<Uuid, Result<T, JournalError>>, JournalError> {
    rows.iter()
        .map(|row| Ok((row.try_get("verification_id")?, parse(row))))
        .collect()
}

fn decision(row: &PgRow) -> Result<AuditedDecision, JournalError> {
    Ok(AuditedDecision {
        job_id: row.try_get("job_id")?,
        attempt: count(row, "attempt")?,
        trigger: row.try_get("trigger")?,
        supersedes: row
            .try_get::<Option<Uuid>, _>("supersedes")?
            .map(VerificationId::from),
        superseded_exists: row.try_get("superseded_exists")?,
        outcome: row.try_get("outcome")?,
        message: row.try_get("message")?,
    })
}

fn settlement(row: &PgRow) -> Result<SettlementRow, JournalError> {
    Ok(SettlementRow {
        job_id: row.try_get("job_id")?,
        attempt: count(row, "attempt")?,
        outcome: row.try_get("outcome")?,
        supersedes: row
            .try_get::<Option<Uuid>, _>("supersedes")?
            .map(VerificationId::from),
        moved: moved(row, "")?,
        before: match row.try_get::<Option<&str>, _>("before_effect")? {
            Some(_) => Some(moved(row, "before_")?),
            None => None,
        },
    })
}

fn moved(row: &PgRow, of: &str) -> Result<Moved, JournalError> {
    let column = |name: &str| format!("{of}{name}");
    Ok(Moved {
        effect: row.try_get(column("effect").as_str())?,
        paid_user: row.try_get(column("paid_user").as_str())?,
        amount_cents: row.try_get(column("amount_cents").as_str())?,
        fee_user: row.try_get(column("fee_user").as_str())?,
        fee_cents: row.try_get(column("fee_cents").as_str())?,
    })
}

fn sealed(row: &PgRow) -> Result<Sealed, JournalError> {
    let number: i64 = row.try_get("checkpoint")?;
    let number = u64::try_from(number).map_err(|_| JournalError::Damaged(format!("checkpoint {number}")))?;
    Ok((number, count(row, "place")?, leaf(row)?))
}

/// A row of `assay.checkpoint_leaf`, but for its checkpoint and place.
pub(super) fn leaf(row: &PgRow) -> Result<Leaf, JournalError> {
    Ok(Leaf {
        verification_id: row.try_get::<Uuid, _>("verification_id")?.into(),
        head: digest(row, "head")?,
        state: row.try_get("state")?,
        decision: match row.try_get::<Option<&[u8]>, _>("decision")? {
            Some(_) => Some(digest(row, "decision")?),
            None => None,
        },
    })
}
