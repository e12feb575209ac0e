//! Decisions whose message settlement never saw.

use std::time::Duration;

use jiff::Timestamp;

use super::claims::milliseconds;
use super::market::Market;
use super::time::Time;
use crate::journal::JournalError;

/// Decisions that nobody has settled, and up to when was looked for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// Their messages, the oldest first.
    pub messages: Vec<Vec<u8>>,
    /// Nothing decided before is unsettled, but for these; some minutes early, for transactions that commit late.
    pub looked_until: Timestamp,
}

impl Market {
    /// Decisions made since `since` and longer than `age` ago that are neither settled nor held nor an exception; one that
    /// a person has closed is not looked at again.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn unsettled(
        &self,
        since: Option<Timestamp>,
        age: Duration,
        limit: i64,
    ) -> Result<Unsettled, JournalError> {
        let reading = async {
            let looked_until: Time =
                sqlx::query_scalar("SELECT now() - $1 * interval '1 ms' - interval '5 minutes'")
                    .bind(milliseconds(age))
                    .fetch_one(&self.journal.pool())
                    .await?;
            // An exception is known by its message: a forged one may name whatever verification it likes.
            let messages = sqlx::query_scalar(
                "SELECT d.message FROM assay.decision d
                 WHERE d.decided_at >= coalesce($1, '-infinity'::timestamptz) AND d.decided_at < now() - $2 * interval '1 ms'
                   AND NOT EXISTS (SELECT FROM assay.settlement s WHERE s.verification_id = d.verification_id)
                   AND NOT EXISTS (SELECT FROM assay.held h WHERE h.verification_id = d.verification_id
                                   AND h.released_at IS NULL)
                   AND NOT EXISTS (SELECT FROM assay.exception e WHERE e.digest = sha256(d.message))
                 ORDER BY d.decided_at LIMIT $3",
            )
            .bind(since.map(Time))
            .bind(milliseconds(age))
            .bind(limit)
            .fetch_all(&self.journal.pool())
            .await?;
            Ok(Unsettled {
                messages,
                looked_until: looked_until.0,
            })
        };
        self.journal.within(reading).await
    }
}
