//! Outcomes that are to be settled although no message of them comes: those that waited, and those whose message was lost.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::claims::milliseconds;
use super::market::Market;
use super::time::Time;
use crate::journal::JournalError;

/// Whose turn it was last: the next page begins behind it, whatever became of those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// What is approved comes first.
    unapproved: bool,
    at: Timestamp,
    verification: Uuid,
}

/// A page of the outcomes that are to be settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Their messages, in the order in which they are to be applied.
    pub messages: Vec<Vec<u8>>,
    /// Behind which the next page begins; `None` after the last.
    pub next: Option<Turn>,
}

/// Decisions that nobody has settled, and up to when was looked for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// The oldest first.
    pub due: Due,
    /// Nothing that was decided before is unsettled, but for what stands in this page and in those after it; some minutes early,
    /// for transactions that commit late.
    pub looked_until: Turn,
}

impl Market {
    /// Outcomes that waited and may be applied now, at most `limit` behind `after`: approved ones, then those that waited only
    /// for the end of a pause or for room in the hour; the oldest of each first.
    ///
    /// # Errors
    /// Where the database cannot be asked.
    pub async fn due_held(&self, after: Option<Turn>, limit: u16) -> Result<Due, JournalError> {
        let after = after.unwrap_or(Turn::BEGINNING);
        let rows = sqlx::query(
            "SELECT message, approved_at IS NULL AS unapproved, held_at AS at, verification_id FROM assay.held
             WHERE released_at IS NULL AND (reason <> 'price' OR approved_at IS NOT NULL)
               AND NOT EXISTS (SELECT FROM assay.switch WHERE name = 'pause' AND is_on)
               AND (approved_at IS NULL, held_at, verification_id) > ($1, $2, $3)
             ORDER BY approved_at IS NULL, held_at, verification_id LIMIT $4",
        )
        .bind(after.unapproved)
        .bind(Time(after.at))
        .bind(after.verification)
        .bind(i64::from(limit))
        .fetch_all(&self.journal.pool())
        .await?;
        due(&rows, limit)
    }

    /// Decisions made longer than `age` ago that are neither settled nor held nor an exception, at most `limit` behind `after`;
    /// one that a person has closed is not looked at again.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn unsettled(
        &self,
        after: Option<Turn>,
        age: Duration,
        limit: u16,
    ) -> Result<Unsettled, JournalError> {
        let after = after.unwrap_or(Turn::BEGINNING);
        let reading = async {
            let looked_until: Time =
                sqlx::query_scalar("SELECT now() - $1 * interval '1 ms' - interval '5 minutes'")
                    .bind(milliseconds(age))
                    .fetch_one(&self.journal.pool())
                    .await?;
            // The time by itself, too: the index knows nothing else. An exception is known by its message: a forged one may name
            // whatever verification it likes.
            let rows = sqlx::query(
                "SELECT d.message, false AS unapproved, d.decided_at AS at, d.verification_id FROM assay.decision d
                 WHERE d.decided_at >= $1 AND (d.decided_at, d.verification_id) > ($1, $2)
                   AND d.decided_at < now() - $3 * interval '1 ms'
                   AND NOT EXISTS (SELECT FROM assay.settlement s WHERE s.verification_id = d.verification_id)
                   AND NOT EXISTS (SELECT FROM assay.held h WHERE h.verification_id = d.verification_id
                                   AND h.released_at IS NULL)
                   AND NOT EXISTS (SELECT FROM assay.exception e WHERE e.digest = sha256(d.message))
                 ORDER BY d.decided_at, d.verification_id LIMIT $4",
            )
            .bind(Time(after.at))
            .bind(after.verification)
            .bind(milliseconds(age))
            .bind(i64::from(limit))
            .fetch_all(&self.journal.pool())
            .await?;
            Ok(Unsettled {
                due: due(&rows, limit)?,
                looked_until: Turn {
                    at: looked_until.0,
                    ..Turn::BEGINNING
                },
            })
        };
        self.journal.within(reading).await
    }
}

impl Turn {
    /// Before all that was ever decided.
    const BEGINNING: Self = Self {
        unapproved: false,
        at: Timestamp::UNIX_EPOCH,
        verification: Uuid::nil(),
    };
}

fn due(rows: &[PgRow], limit: u16) -> Result<Due, JournalError> {
    let messages = rows
        .iter()
        .map(|row| row.try_get("message"))
        .collect::<Result<Vec<_>, _>>()?;
    let turn = |row: &PgRow| {
        Ok::<_, JournalError>(Turn {
            unapproved: row.try_get("unapproved")?,
            at: row.try_get::<Time, _>("at")?.0,
            verification: row.try_get("verification_id")?,
        })
    };
    let next = match rows.last() {
        Some(last) if rows.len() >= usize::from(limit) => Some(turn(last)?),
        Some(_) | None => None,
    };
    Ok(Due { messages, next })
}
