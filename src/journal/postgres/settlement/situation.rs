//! What settlement finds, with the rows locked that it may change: all that the transition table asks.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::words::{Effect, HoldReason, word};
use crate::entry::VerificationId;
use crate::job::Job;
use crate::journal::JournalError;
use crate::journal::postgres::market::Market;
use crate::message::OutcomeMessage;
use crate::outcome::Outcome;

/// Serialises those who count what was paid in the last hour; any number that nobody else uses.
const RATE_LOCK: i64 = 0x6173_7361_7920_7061;

/// An outcome whose receipt was checked, about to be applied.
#[derive(Debug, Clone, Copy)]
pub struct Checked<'a> {
    /// What was decided.
    pub message: &'a OutcomeMessage,
    /// The message as it came: it must be the one that the worker stored with the decision.
    pub body: &'a [u8],
    /// Whose account takes the fee.
    pub platform_user: Option<&'a str>,
    /// Whether payments are counted by the hour.
    pub rated: bool,
}

/// What settlement finds, with the job's row locked: all that the transition table asks.
#[derive(Debug, Clone)]
pub struct Situation {
    /// Whether this decision was applied before.
    pub applied: bool,
    /// The message that the worker stored with the decision.
    pub decided: Decided,
    /// The job, locked.
    pub job: Option<Job>,
    /// What was applied of the decision that this one overturns.
    pub superseded: Option<Applied>,
    /// Another decision was applied that overturns this one, or the one that this one overturns.
    pub overturned: bool,
    /// Balances in cents of the users whom it may concern, locked.
    pub balances: BTreeMap<String, i64>,
    /// Payments are paused.
    pub paused: bool,
    /// The outcome waits, or waited until it became an exception: for what, and whether somebody has approved it.
    pub held: Option<(HoldReason, bool)>,
    /// Cents paid in the last hour; 0 where they are not counted.
    pub paid_last_hour: i64,
    /// Others wait until there is room in the hour.
    pub others_wait: bool,
}

/// How a message stands to the table of decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// It is the one that was stored with the decision.
    Same,
    /// The decision was stored with another one.
    Other,
    /// No such decision was stored.
    Unknown,
}

/// A decision that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The job.
    pub job_id: String,
    /// What it did.
    pub effect: Effect,
    /// Who was paid or refunded.
    pub user: Option<String>,
    /// Cents that he got.
    pub amount_cents: i64,
    /// Who took the fee.
    pub fee_user: Option<String>,
    /// Cents of it.
    pub fee_cents: i64,
}

impl Market {
    /// What settlement would find if this outcome came now, stored as it is; nothing is locked, nothing changes.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn foresee(&self, outcome: Checked<'_>) -> Result<Situation, JournalError> {
        self.journal
            .within(async {
                let mut connection = self.journal.pool().acquire().await?;
                let found = self.look(&mut connection, outcome, "").await?;
                Ok(Situation {
                    decided: Decided::Same,
                    ..found
                })
            })
            .await
    }

    /// Locks the job and then, in the order of their ids, the users. What others have committed before the lock was had is
    /// seen, because every statement looks anew (READ COMMITTED).
    pub(super) async fn look(
        &self,
        connection: &mut PgConnection,
        Checked {
            message,
            body,
            platform_user,
            rated,
        }: Checked<'_>,
        lock: &'static str,
    ) -> Result<Situation, JournalError> {
        let job = self.job_row(connection, &message.job_id, lock).await?;
        let pays = message.outcome == Outcome::Verified;
        if rated && pays && !lock.is_empty() {
            sqlx::query("SELECT pg_advisory_xact_lock($1)")
                .bind(RATE_LOCK)
                .execute(&mut *connection)
                .await?;
        }
        let row = sqlx::query(
            "SELECT EXISTS (SELECT FROM assay.settlement WHERE verification_id = $1) AS applied,
                    (SELECT message = $3 FROM assay.decision WHERE verification_id = $1) AS same,
                    EXISTS (SELECT FROM assay.settlement WHERE supersedes IN ($1, $2)) AS overturned,
                    coalesce((SELECT is_on FROM assay.switch WHERE name = 'pause'), false) AS paused,
                    held.reason AS held, held.approved_at IS NOT NULL AS approved,
                    CASE WHEN $4 THEN (SELECT coalesce(sum(amount_cents + fee_cents), 0)::bigint FROM assay.settlement
                                       WHERE effect = 'paid' AND settled_at > now() - interval '1 hour') ELSE 0 END AS paid,
                    $4 AND EXISTS (SELECT FROM assay.held WHERE reason = 'rate' AND released_at IS NULL
                                   AND approved_at IS NULL) AS others_wait,
                    s.job_id, s.effect, s.paid_user, s.amount_cents, s.fee_user, s.fee_cents
             FROM (SELECT 1) one
             LEFT JOIN assay.settlement s ON s.verification_id = $2
             LEFT JOIN assay.held ON held.verification_id = $1",
        )
        .bind(message.verification_id.uuid())
        .bind(message.supersedes.map(VerificationId::uuid))
        .bind(body)
        .bind(rated && pays)
        .fetch_one(&mut *connection)
        .await?;
        let superseded = match row.try_get::<Option<String>, _>("job_id")? {
            Some(job_id) => Some(Applied {
                job_id,
                effect: word(row.try_get("effect")?, Effect::ALL, Effect::as_str)?,
                user: row.try_get("paid_user")?,
                amount_cents: row.try_get("amount_cents")?,
                fee_user: row.try_get("fee_user")?,
                fee_cents: row.try_get("fee_cents")?,
            }),
            None => None,
        };
        let held = match row.try_get::<Option<&str>, _>("held")? {
            Some(reason) => Some((
                word(reason, HoldReason::ALL, HoldReason::as_str)?,
                row.try_get::<bool, _>("approved")?,
            )),
            None => None,
        };
        let mut concerned: Vec<&str> = Vec::new();
        if let Some(job) = &job {
            concerned.push(&job.sender);
            concerned.extend(job.receiver.as_deref());
            concerned.extend(platform_user.filter(|_| pays));
        }
        if let Some(applied) = &superseded {
            concerned.extend(applied.user.as_deref());
            concerned.extend(applied.fee_user.as_deref());
        }
        Ok(Situation {
            applied: row.try_get("applied")?,
            decided: match row.try_get::<Option<bool>, _>("same")? {
                Some(true) => Decided::Same,
                Some(false) => Decided::Other,
                None => Decided::Unknown,
            },
            overturned: row.try_get("overturned")?,
            balances: self.user_rows(connection, &concerned, lock).await?,
            paused: row.try_get("paused")?,
            held,
            paid_last_hour: row.try_get("paid")?,
            others_wait: row.try_get("others_wait")?,
            superseded,
            job,
        })
    }

    async fn user_rows(
        &self,
        connection: &mut PgConnection,
        users: &[&str],
        lock: &'static str,
    ) -> Result<BTreeMap<String, i64>, JournalError> {
        let select = format!(
            "SELECT id::text AS id, balance_cents FROM users WHERE users.id = ANY({})
             ORDER BY users.id {lock}",
            self.user_id.many("$1")
        );
        let rows = sqlx::query(AssertSqlSafe(select))
            .bind(users)
            .fetch_all(connection)
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get("id")?, row.try_get("balance_cents")?)))
            .collect()
    }
}
