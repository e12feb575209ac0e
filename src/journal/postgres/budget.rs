//! Shares of the pool's budget, on the database's clock.

use async_trait::async_trait;
use sqlx::Row as _;

use super::PgJournal;
use super::claims::milliseconds;
use crate::causes::in_full;
use crate::journal::JournalError;
use crate::pacing::{Ask, Grant, Held, LEASE, LeaseError, Leases, grant};

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

    async fn ask_once(&self, ask: &Ask) -> Result<Grant, JournalError> {
        let mut transaction = self.journal.pool().begin().await?;
        sqlx::query("INSERT INTO assay.budget (name) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(&self.budget)
            .execute(&mut *transaction)
            .await?;
        // One asks at a time: what is free for one is not free for another.
        sqlx::query("SELECT FROM assay.budget WHERE name = $1 FOR UPDATE")
            .bind(&self.budget)
            .execute(&mut *transaction)
            .await?;
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
}

#[async_trait]
impl Leases for PgLeases {
    async fn ask(&self, ask: &Ask) -> Result<Grant, LeaseError> {
        self.journal
            .within(self.ask_once(ask))
            .await
            .map_err(|error| LeaseError(in_full(&error)))
    }
}
