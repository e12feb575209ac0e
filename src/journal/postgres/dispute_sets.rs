//! Sets of verifications again: which decisions they are about, how far each has come, and how the set ended.

use jiff::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Postgres, Row as _};
use uuid::Uuid;

use super::PgJournal;
use super::disputes::{DecisionRow, SELECT_DECISION, decision};
use super::journal::{attempt, conclude, count};
use super::time::Time;
use crate::entry::VerificationId;
use crate::job::JobId;
use crate::journal::JournalError;
use crate::outcome::Outcome;

/// Decisions that are looked at with one statement.
const PAGE: i64 = 500;

/// What effective decisions are looked for, as far as the database can tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selected {
    /// Decided then or later.
    pub since: Option<Timestamp>,
    /// Decided before.
    pub until: Option<Timestamp>,
    /// By a plan of that name.
    pub plan: Option<String>,
    /// With that answer.
    pub outcome: Option<Outcome>,
}

/// A set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisputeSet {
    /// Its name.
    pub name: String,
    /// What was asked for, as JSON.
    pub selection: String,
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// When.
    pub created_at: Timestamp,
    /// How it stands.
    pub state: SetState,
    /// Who applied or cancelled it.
    pub ended_by: Option<String>,
}

/// How a set stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetState {
    /// It moves nothing yet.
    Open,
    /// What changed in it is published.
    Applied,
    /// It never moves anything.
    Cancelled,
}

impl SetState {
    const ALL: [Self; 3] = [Self::Open, Self::Applied, Self::Cancelled];

    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Applied => "applied",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A decision of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisputeItem {
    /// The decision.
    pub disputes: VerificationId,
    /// The job.
    pub job_id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// The latest verification again.
    pub verification_id: Option<VerificationId>,
    /// How that ended: `verified`, `retry`, `error`; none while it runs, or where its process died.
    pub outcome: Option<String>,
    /// Why it came to no decision.
    pub error: Option<String>,
}

/// Held by whoever works on a set: ends with its connection, so also with its process.
#[derive(Debug)]
pub struct SetLock {
    _connection: PoolConnection<Postgres>,
}

impl PgJournal {
    /// The effective decisions that are looked for and that `keep` keeps, the oldest first: id, job and attempt.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn select_decisions(
        &self,
        selected: &Selected,
        keep: impl Fn(&DecisionRow) -> bool,
    ) -> Result<Vec<(VerificationId, JobId, u32)>, JournalError> {
        let select = format!(
            "{SELECT_DECISION} JOIN assay.verification v ON v.id = d.verification_id
             WHERE o.verification_id IS NULL
               AND d.decided_at >= coalesce($1, '-infinity'::timestamptz)
               AND d.decided_at < coalesce($2, 'infinity'::timestamptz)
               AND ($3::text IS NULL OR v.plan_name = $3) AND ($4::text IS NULL OR d.outcome = $4)
               AND (d.decided_at, d.verification_id) > (coalesce($5, '-infinity'::timestamptz), $6)
             ORDER BY d.decided_at, d.verification_id LIMIT $7"
        );
        let (mut kept, mut after) = (Vec::new(), (None, Uuid::nil()));
        loop {
            let page = self
                .within(async {
                    let rows = sqlx::query(sqlx::AssertSqlSafe(select.as_str()))
                        .bind(selected.since.map(Time))
                        .bind(selected.until.map(Time))
                        .bind(&selected.plan)
                        .bind(selected.outcome.map(Outcome::as_str))
                        .bind(after.0.map(Time))
                        .bind(after.1)
                        .bind(PAGE)
                        .fetch_all(&self.pool())
                        .await?;
                    rows.iter().map(decision).collect::<Result<Vec<_>, _>>()
                })
                .await?;
            let Some(last) = page.last() else {
                return Ok(kept);
            };
            after = (Some(last.decided_at), last.verification_id.uuid());
            let wanted = page.into_iter().filter(|row| keep(row));
            kept.extend(wanted.map(|row| (row.verification_id, row.job_id, row.attempt)));
        }
    }

    /// Makes a set of these decisions. `false`: there is one of that name.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn create_set(
        &self,
        name: &str,
        (selection, reason, by): (&str, &str, &str),
        items: &[(VerificationId, JobId, u32)],
    ) -> Result<bool, JournalError> {
        let attempts = items.iter().map(|(_, _, of)| attempt(*of));
        let attempts: Vec<_> = attempts.collect::<Result<_, _>>()?;
        self.within(async {
            let mut connection = self.pool().acquire().await?;
            let mut transaction = connection.begin().await?;
            let made = sqlx::query(
                "INSERT INTO assay.dispute_set (name, selection, reason, by) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            )
            .bind(name)
            .bind(selection)
            .bind(reason)
            .bind(by)
            .execute(&mut *transaction)
            .await?;
            if made.rows_affected() == 0 {
                return Ok(false);
            }
            sqlx::query(
                "INSERT INTO assay.dispute_item (set_name, disputes, place, job_id, attempt)
                 SELECT $1, item.* FROM unnest($2::uuid[], $3::int4[], $4::text[], $5::int4[]) AS item",
            )
            .bind(name)
            .bind(items.iter().map(|(id, _, _)| id.uuid()).collect::<Vec<_>>())
            .bind((0..).take(items.len()).collect::<Vec<i32>>())
            .bind(items.iter().map(|(_, job, _)| job.as_str()).collect::<Vec<_>>())
            .bind(&attempts)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    /// The set of that name, or every set, the latest first.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn dispute_sets(&self, name: Option<&str>) -> Result<Vec<DisputeSet>, JournalError> {
        self.within(async {
            let rows = sqlx::query(
                "SELECT * FROM assay.dispute_set WHERE $1::text IS NULL OR name = $1 ORDER BY created_at DESC, name",
            )
            .bind(name)
            .fetch_all(&self.pool())
            .await?;
            rows.iter()
                .map(|row| {
                    let state: &str = row.try_get("state")?;
                    Ok(DisputeSet {
                        name: row.try_get("name")?,
                        selection: row.try_get("selection")?,
                        reason: row.try_get("reason")?,
                        by: row.try_get("by")?,
                        created_at: row.try_get::<Time, _>("created_at")?.0,
                        state: SetState::ALL
                            .into_iter()
                            .find(|known| known.as_str() == state)
                            .ok_or_else(|| JournalError::Damaged(format!("the state `{state}`")))?,
                        ended_by: row.try_get("ended_by")?,
                    })
                })
                .collect()
        })
        .await
    }

    /// The decisions of a set, in order.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn dispute_items(&self, set: &str) -> Result<Vec<DisputeItem>, JournalError> {
        self.within(async {
            let rows = sqlx::query(
                "SELECT i.*, v.outcome FROM assay.dispute_item i LEFT JOIN assay.verification v ON v.id = i.verification_id
                 WHERE i.set_name = $1 ORDER BY i.place",
            )
            .bind(set)
            .fetch_all(&self.pool())
            .await?;
            rows.iter()
                .map(|row| {
                    Ok(DisputeItem {
                        disputes: VerificationId::from(row.try_get::<Uuid, _>("disputes")?),
                        job_id: JobId::new(row.try_get::<String, _>("job_id")?),
                        attempt: count(row, "attempt")?,
                        verification_id: row
                            .try_get::<Option<Uuid>, _>("verification_id")?
                            .map(VerificationId::from),
                        outcome: row.try_get("outcome")?,
                        error: row.try_get("error")?,
                    })
                })
                .collect()
        })
        .await
    }

    /// Cancels an open set. `false`: it was not open.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn cancel_set(&self, set: &str, by: &str) -> Result<bool, JournalError> {
        self.within(async {
            let mut connection = self.pool().acquire().await?;
            end(&mut connection, set, "cancelled", by).await
        })
        .await
    }

    /// Closes the verification, whose process died: its log says nothing more.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn abandon_dispute(&self, id: VerificationId, at: Timestamp) -> Result<(), JournalError> {
        self.within(async {
            let mut connection = self.pool().acquire().await?;
            let mut transaction = connection.begin().await?;
            let content = r#"{"error":"cancelled","message":"its process died; it was begun anew"}"#;
            match conclude(&mut transaction, id, ("closed", content), at).await {
                Ok(()) => transaction.commit().await?,
                Err(JournalError::NotUnderWay(_)) => transaction.rollback().await?,
                Err(error) => return Err(error),
            }
            Ok(())
        })
        .await
    }

    /// Notes that a decision of a set could not even be begun to be verified again.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn fail_item(
        &self,
        set: &str,
        disputes: VerificationId,
        why: &str,
    ) -> Result<(), JournalError> {
        self.within(async {
            sqlx::query("UPDATE assay.dispute_item SET error = $3 WHERE set_name = $1 AND disputes = $2")
                .bind(set)
                .bind(disputes.uuid())
                .bind(why)
                .execute(&self.pool())
                .await?;
            Ok(())
        })
        .await
    }

    /// Takes the set for this process alone; none where another works on it.
    ///
    /// # Errors
    /// Where the database cannot be asked.
    pub async fn lock_set(&self, set: &str) -> Result<Option<SetLock>, JournalError> {
        self.within(async {
            // Never back into the pool: there the lock would outlive whoever holds it.
            let mut connection = self.pool().acquire().await?;
            connection.close_on_drop();
            let locked = sqlx::query_scalar(
                "SELECT pg_try_advisory_lock(hashtextextended('assay-dispute-set ' || $1, 0))",
            )
            .bind(set)
            .fetch_one(&mut *connection)
            .await?;
            Ok(if locked {
                Some(SetLock {
                    _connection: connection,
                })
            } else {
                None
            })
        })
        .await
    }
}

/// Ends an open set; `false` where it was not open.
pub(super) async fn end(
    connection: &mut PgConnection,
    set: &str,
    state: &str,
    by: &str,
) -> Result<bool, JournalError> {
    let ended = sqlx::query(
        "UPDATE assay.dispute_set SET state = $2, ended_by = $3, ended_at = now() WHERE name = $1 AND state = 'open'",
    )
    .bind(set)
    .bind(state)
    .bind(by)
    .execute(connection)
    .await?;
    Ok(ended.rows_affected() == 1)
}
