//! Shares of the pool's budget, on the database's clock.

use async_trait::async_trait;
use sqlx::{Postgres, Row as _, Transaction};

use super::PgJournal;
use super::claims::milliseconds;
use crate::causes::in_full;
use crate::journal::JournalError;
use crate::pacing::{
    AHEAD, Ask, Grant, Held, LEASE, LeaseError, Leases, REMEMBERED, Reserved, Used, grant, wait,
};

/// Most tokens that are counted for a call, so that a sum of them stays a number of the database.
const MOST_TOKENS: u64 = 1 << 40;

/// A budget that the workers of a pool share.
pub struct PgLeases {
    journal: PgJournal,
    budget: String,
}

impl PgLeases {
    /// The shares of the budget with that name, e.g. that of an endpoint.
    pub fn new(journal: PgJournal, budget: String) -> Self {
        Self { journal, budget }
    }

    /// One asks at a time: what is free for one is not free for another.
    async fn locked(&self) -> Result<Transaction<'static, Postgres>, JournalError> {
        let mut transaction = self.journal.pool().begin().await?;
        sqlx::query("INSERT INTO assay.budget (name) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(&self.budget)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("SELECT FROM assay.budget WHERE name = $1 FOR UPDATE")
            .bind(&self.budget)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction)
    }

    async fn ask_once(&self, ask: &Ask) -> Result<Grant, JournalError> {
        let mut transaction = self.locked().await?;
        // The clock and not now(), which stood still while this waited for the lock.
        let rows = sqlx::query(
            "SELECT CASE WHEN until > clock_timestamp() THEN wanted ELSE 0 END AS wanted,
                    greatest(CASE WHEN until > clock_timestamp() THEN share END,
                             CASE WHEN older_until > clock_timestamp() THEN older_share END, 0) AS share
             FROM assay.share WHERE budget = $1 AND holder <> $2",
        )
        .bind(&self.budget)
        .bind(&ask.holder)
        .fetch_all(&mut *transaction)
        .await?;
        let mut others = Vec::with_capacity(rows.len());
        for row in &rows {
            others.push(Held {
                wanted: row.try_get("wanted")?,
                share: row.try_get("share")?,
            });
        }
        let own: Option<(f64, bool)> = sqlx::query_as(
            "SELECT share, older_until > clock_timestamp() FROM assay.share
             WHERE budget = $1 AND holder = $2 AND until > clock_timestamp()",
        )
        .bind(&self.budget)
        .bind(&ask.holder)
        .fetch_optional(&mut *transaction)
        .await?;
        let share = match (own, grant(ask.wanted, &others)) {
            // One larger lease is remembered, so a share that has just become smaller does not become smaller still.
            (Some((held, true)), share) if share < held => held,
            (_, share) => share,
        };
        sqlx::query(
            "INSERT INTO assay.share AS s (budget, holder, wanted, share, until)
             VALUES ($1, $2, $3, $4, clock_timestamp() + $5 * interval '1 millisecond')
             ON CONFLICT (budget, holder) DO UPDATE
             SET wanted = excluded.wanted, share = excluded.share, until = excluded.until,
                 older_share = CASE WHEN excluded.share < s.share THEN s.share ELSE s.older_share END,
                 older_until = CASE WHEN excluded.share < s.share THEN s.until ELSE s.older_until END",
        )
        .bind(&self.budget)
        .bind(&ask.holder)
        .bind(ask.wanted)
        .bind(share)
        .bind(milliseconds(LEASE))
        .execute(&mut *transaction)
        .await?;
        // Processes come and go under names of their own.
        sqlx::query(
            "DELETE FROM assay.share WHERE budget = $1 AND until < clock_timestamp() - interval '1 hour'",
        )
        .bind(&self.budget)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        let holders = 1 + others.iter().filter(|held| held.share > 0.0).count();
        Ok(Grant { share, holders })
    }

    async fn reserve_once(
        &self,
        holder: &str,
        tokens: u64,
        per_minute: u64,
    ) -> Result<Option<Reserved>, JournalError> {
        let mut transaction = self.locked().await?;
        sqlx::query(
            "DELETE FROM assay.tokens
             WHERE budget = $1 AND last < clock_timestamp() - $2 * interval '1 millisecond'",
        )
        .bind(&self.budget)
        .bind(milliseconds(REMEMBERED))
        .execute(&mut *transaction)
        .await?;
        let rows = sqlx::query(
            "SELECT extract(epoch FROM last - clock_timestamp())::double precision AS at, tokens
             FROM assay.tokens WHERE budget = $1 ORDER BY last",
        )
        .bind(&self.budget)
        .fetch_all(&mut *transaction)
        .await?;
        let mut used = Vec::with_capacity(rows.len());
        for row in &rows {
            let tokens: i64 = row.try_get("tokens")?;
            used.push(Used {
                at: row.try_get("at")?,
                tokens: tokens.unsigned_abs(),
            });
        }
        // Whoever waits longer comes first; a process that no longer asks has lost its place.
        let before: Vec<i64> = sqlx::query_scalar(
            "SELECT tokens FROM assay.token_wait AS w WHERE budget = $1 AND holder <> $2 AND until > clock_timestamp()
                 AND since < coalesce((SELECT since FROM assay.token_wait AS own
                     WHERE own.budget = $1 AND own.holder = $2 AND own.until > clock_timestamp()), 'infinity')
             ORDER BY since",
        )
        .bind(&self.budget)
        .bind(holder)
        .fetch_all(&mut *transaction)
        .await?;
        for tokens in before {
            let tokens = tokens.unsigned_abs();
            let at = wait(tokens, per_minute, &used).as_secs_f64();
            used.push(Used { at, tokens });
        }
        let wait = wait(tokens, per_minute, &used);
        let counted = i64::try_from(tokens.min(MOST_TOKENS)).unwrap_or(i64::MAX);
        if wait > AHEAD {
            sqlx::query(
                "INSERT INTO assay.token_wait AS w (budget, holder, tokens, since, until)
                 VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp() + $4 * interval '1 millisecond')
                 ON CONFLICT (budget, holder) DO UPDATE
                 SET tokens = excluded.tokens, until = excluded.until,
                     since = CASE WHEN w.until > excluded.since THEN w.since ELSE excluded.since END",
            )
            .bind(&self.budget)
            .bind(holder)
            .bind(counted)
            .bind(milliseconds(LEASE))
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            return Ok(None);
        }
        sqlx::query(
            "DELETE FROM assay.token_wait WHERE budget = $1 AND (holder = $2 OR until < clock_timestamp())",
        )
        .bind(&self.budget)
        .bind(holder)
        .execute(&mut *transaction)
        .await?;
        let second = sqlx::query_scalar(
            "INSERT INTO assay.tokens AS t (budget, second, last, tokens)
             SELECT $1, floor(extract(epoch FROM at))::bigint, at, $3
             FROM (SELECT clock_timestamp() + $2 * interval '1 microsecond' AS at) AS call
             ON CONFLICT (budget, second) DO UPDATE
             SET last = greatest(t.last, excluded.last), tokens = t.tokens + excluded.tokens
             RETURNING second",
        )
        .bind(&self.budget)
        .bind(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX))
        .bind(counted)
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some(Reserved { second, wait }))
    }

    async fn correct_once(&self, second: i64, by: i64) -> Result<(), JournalError> {
        sqlx::query(
            "UPDATE assay.tokens SET tokens = greatest(tokens + $3, 0) WHERE budget = $1 AND second = $2",
        )
        .bind(&self.budget)
        .bind(second)
        .bind(by)
        .execute(&self.journal.pool())
        .await?;
        Ok(())
    }
}

#[async_trait]
impl Leases for PgLeases {
    async fn ask(&self, ask: &Ask) -> Result<Grant, LeaseError> {
        self.journal
            .within(self.ask_once(ask))
            .await
            .map_err(|error| LeaseError(in_full(&error)))
    }

    async fn reserve(
        &self,
        holder: &str,
        tokens: u64,
        per_minute: u64,
    ) -> Result<Option<Reserved>, LeaseError> {
        self.journal
            .within(self.reserve_once(holder, tokens, per_minute))
            .await
            .map_err(|error| LeaseError(in_full(&error)))
    }

    async fn correct(&self, second: i64, by: i64) -> Result<(), LeaseError> {
        let by = by.clamp(-MOST_TOKENS.cast_signed(), MOST_TOKENS.cast_signed());
        self.journal
            .within(self.correct_once(second, by))
            .await
            .map_err(|error| LeaseError(in_full(&error)))
    }
}
