//! Outcomes on their way to the broker: one row for each statement that decided, until all of its outcomes are confirmed.

use std::time::Duration;

use sqlx::Row as _;
use uuid::Uuid;

use super::PgJournal;
use super::claims::{StoredOutcome, milliseconds, outcome_of};
use super::writer::BATCH;
use crate::entry::VerificationId;
use crate::journal::JournalError;

/// Most outcomes of one row.
pub const LARGEST_OUTBOX_ROW: usize = BATCH;

/// A row of the outbox: outcomes that were decided by one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OutboxId(pub(super) Uuid);

impl OutboxId {
    /// A new one.
    pub(super) fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl PgJournal {
    /// Outcomes that are due to be published again, of as many rows as it takes to have `limit`: up to a row more than that. The
    /// next time of these rows is put off by `after`, so that one sweeper of all takes each.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn unconfirmed(&self, after: Duration, limit: u32) -> Result<Vec<StoredOutcome>, JournalError> {
        self.move_marks(limit).await?;
        let rows = sqlx::query(
            "WITH due AS (
                SELECT id, due_at, cardinality(decisions) AS count FROM assay.outbox
                WHERE due_at < now() ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
             ), counted AS (
                SELECT id, sum(count) OVER (ORDER BY due_at, id) - count AS before FROM due
             ), put_off AS (
                UPDATE assay.outbox o SET due_at = now() + $1 * interval '1 millisecond'
                FROM counted WHERE o.id = counted.id AND counted.before < $2
                RETURNING o.id, o.decisions
             )
             SELECT d.*, put_off.id AS outbox
             FROM put_off CROSS JOIN LATERAL unnest(decisions) AS of_row (verification_id)
             JOIN assay.decision d USING (verification_id)",
        )
        .bind(milliseconds(after))
        .bind(i64::from(limit))
        .fetch_all(&self.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(StoredOutcome {
                    outbox: Some(OutboxId(row.try_get("outbox")?)),
                    ..outcome_of(row)?
                })
            })
            .collect()
    }

    /// Moves what a worker of a version before the outbox has decided, and not confirmed, from its mark on the claim.
    async fn move_marks(&self, limit: u32) -> Result<(), JournalError> {
        sqlx::query(
            "WITH marked AS (
                SELECT job_id, attempt FROM assay.claim WHERE due_at < now() AND state = 'decided'
                ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
             ), moved AS (
                UPDATE assay.claim c SET due_at = NULL
                FROM marked WHERE c.job_id = marked.job_id AND c.attempt = marked.attempt
                RETURNING c.verification_id
             )
             INSERT INTO assay.outbox (id, due_at, decisions)
             SELECT verification_id, now(), ARRAY[verification_id] FROM moved ON CONFLICT (id) DO NOTHING",
        )
        .bind(i64::from(limit))
        .execute(&self.pool())
        .await?;
        Ok(())
    }

    /// Notes that outcomes were confirmed by the broker: they are not published again. Does not wait for the disk: what is
    /// lost with the server is published once more.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn confirmed(&self, outcomes: &[(OutboxId, VerificationId)]) -> Result<(), JournalError> {
        // `ANY ($1)` for the planner: from a table that is nearly empty at most times it would read the whole index.
        sqlx::query(
            "WITH hasty AS MATERIALIZED (
                SELECT set_config('synchronous_commit', 'off', true)
             ), confirmed AS MATERIALIZED (
                SELECT id, array_agg(decision) AS decisions
                FROM hasty, unnest($1::uuid[], $2::uuid[]) AS one (id, decision) GROUP BY id
             ), rest AS (
                SELECT o.id, ARRAY(SELECT unnest(o.decisions) EXCEPT SELECT unnest(c.decisions)) AS decisions
                FROM confirmed c JOIN assay.outbox o USING (id)
                WHERE o.id = ANY ($1) ORDER BY o.id FOR UPDATE OF o
             ), all_confirmed AS (
                DELETE FROM assay.outbox o USING rest
                WHERE o.id = ANY ($1) AND o.id = rest.id AND rest.decisions = '{}'
             )
             UPDATE assay.outbox o SET decisions = rest.decisions
             FROM rest WHERE o.id = ANY ($1) AND o.id = rest.id AND rest.decisions <> '{}'",
        )
        .bind(outcomes.iter().map(|(outbox, _)| outbox.0).collect::<Vec<_>>())
        .bind(outcomes.iter().map(|(_, id)| id.uuid()).collect::<Vec<_>>())
        .execute(&self.pool())
        .await?;
        Ok(())
    }
}
