//! What an audit reads: verifications with all that stands beside them, each batch as it was at one moment.

use std::collections::HashMap;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::PgJournal;
use super::audited::{Audited, AuditedDecision, Moved, Scope, Sealed, SettlementRow};
use super::erasures::{Erasure, erasure};
use super::journal::{SELECT_VERIFICATION, count, digest, log_entry, verification};
use super::time::Time;
use crate::checkpoint::Leaf;
use crate::entry::{LogEntry, VerificationId};
use crate::journal::JournalError;

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
    let mut hand_ins = by_id(
        &sqlx::query(
            "SELECT v.id AS verification_id, h.message
             FROM assay.verification v JOIN assay.hand_in h USING (job_id, attempt) WHERE v.id = ANY ($1)",
        )
        .bind(ids)
        .fetch_all(&mut *connection)
        .await?,
        |row| Ok(row.try_get::<Vec<u8>, _>("message")?),
    )?;
    let mut tombstones: HashMap<Uuid, Vec<Result<Erasure, JournalError>>> = HashMap::new();
    let found = sqlx::query(
        "SELECT v.id AS verification_id, e.*
         FROM assay.verification v JOIN assay.erasure e ON e.job_id = v.job_id AND (e.attempt IS NULL OR e.attempt = v.attempt)
         WHERE v.id = ANY ($1) ORDER BY e.id",
    )
    .bind(ids)
    .fetch_all(&mut *connection)
    .await?;
    for row in &found {
        tombstones
            .entry(row.try_get("verification_id")?)
            .or_default()
            .push(erasure(row));
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
                    hand_in: hand_ins.remove(&id).transpose()?,
                    erasures: tombstones
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
