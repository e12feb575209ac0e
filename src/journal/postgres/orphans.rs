//! Rows that speak of what is not there.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::PgJournal;
use super::audited::Scope;
use crate::entry::VerificationId;
use crate::journal::JournalError;

/// Rows that speak of a verification that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The verification that is missing.
    pub verification_id: VerificationId,
    /// The job, where the row says it.
    pub job_id: Option<String>,
    /// What speaks of it.
    pub told_by: OrphanOf,
}

/// What speaks of a verification that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrphanOf {
    /// A decision.
    Decision,
    /// Entries of the log.
    Log,
    /// A checkpoint, by number.
    Checkpoint(u64),
    /// Something settled without a decision.
    Settlement,
    /// A claim that it holds, or that it ended.
    Claim,
    /// A claim says that it decided; there is no decision.
    DecidedClaim,
    /// Somebody published its decision, which is not there.
    Published,
    /// A set was applied in which it overturns something; there is no decision.
    AppliedSet,
    /// A payment waits for its decision, which is not there.
    Held,
}

impl PgJournal {
    /// What speaks of verifications that are not there.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn orphans(&self, scope: &Scope, limit: u32) -> Result<Vec<Orphan>, JournalError> {
        // Without the usual limit of time: these go through whole tables. Of a single job only what an index finds.
        let rows = sqlx::query(
            "(SELECT d.verification_id AS id, d.job_id, 'decision' AS of, NULL::bigint AS checkpoint FROM assay.decision d
              WHERE ($1::text IS NULL OR d.job_id = $1) AND d.decided_at >= coalesce($2, '-infinity'::timestamptz)
                AND NOT EXISTS (SELECT FROM assay.verification v WHERE v.id = d.verification_id) LIMIT $3)
             UNION ALL
             (SELECT s.verification_id, s.job_id, 'settlement', NULL FROM assay.settlement s
              WHERE ($1::text IS NULL OR s.job_id = $1) AND s.settled_at >= coalesce($2, '-infinity'::timestamptz)
                AND NOT EXISTS (SELECT FROM assay.decision d WHERE d.verification_id = s.verification_id) LIMIT $3)
             UNION ALL
             (SELECT c.verification_id, c.job_id, 'claim', NULL FROM assay.claim c
              WHERE ($1::text IS NULL OR c.job_id = $1) AND c.received_at >= coalesce($2, '-infinity'::timestamptz)
                AND c.verification_id IS NOT NULL
                AND NOT EXISTS (SELECT FROM assay.verification v WHERE v.id = c.verification_id) LIMIT $3)
             UNION ALL
             (SELECT c.verification_id, c.job_id, 'decided-claim', NULL FROM assay.claim c
              WHERE ($1::text IS NULL OR c.job_id = $1) AND c.received_at >= coalesce($2, '-infinity'::timestamptz)
                AND c.state = 'decided'
                AND EXISTS (SELECT FROM assay.verification v WHERE v.id = c.verification_id AND v.cause <> 'submission')
                AND NOT EXISTS (SELECT FROM assay.decision d WHERE d.verification_id = c.verification_id) LIMIT $3)
             UNION ALL
             (SELECT o.verification_id, v.job_id, 'published', NULL
              FROM assay.dispute_outcome o LEFT JOIN assay.verification v ON v.id = o.verification_id
              WHERE ($1::text IS NULL OR v.job_id = $1) AND o.decided_at >= coalesce($2, '-infinity'::timestamptz)
                AND NOT EXISTS (SELECT FROM assay.decision d WHERE d.verification_id = o.verification_id) LIMIT $3)
             UNION ALL
             (SELECT i.verification_id, i.job_id, 'applied-set', NULL
              FROM assay.dispute_item i JOIN assay.dispute_set s ON s.name = i.set_name AND s.state = 'applied'
              JOIN assay.verification again ON again.id = i.verification_id AND again.outcome IN ('verified', 'retry')
              JOIN assay.verification before ON before.id = i.disputes AND before.outcome <> again.outcome
              WHERE ($1::text IS NULL OR i.job_id = $1) AND s.ended_at >= coalesce($2, '-infinity'::timestamptz)
                AND NOT EXISTS (SELECT FROM assay.dispute_outcome o WHERE o.verification_id = i.verification_id)
                AND NOT EXISTS (SELECT FROM assay.decision d WHERE d.verification_id = i.verification_id) LIMIT $3)
             UNION ALL
             (SELECT h.verification_id, h.job_id, 'held', NULL FROM assay.held h
              WHERE ($1::text IS NULL OR h.job_id = $1) AND h.held_at >= coalesce($2, '-infinity'::timestamptz)
                AND NOT EXISTS (SELECT FROM assay.decision d WHERE d.verification_id = h.verification_id) LIMIT $3)
             UNION ALL
             (SELECT l.verification_id, min(l.job_id), 'log', NULL FROM assay.log l
              WHERE $1::text IS NULL AND l.created_at >= coalesce($2, '-infinity'::timestamptz)
                AND NOT EXISTS (SELECT FROM assay.verification v WHERE v.id = l.verification_id)
              GROUP BY l.verification_id LIMIT $3)
             UNION ALL
             (SELECT l.verification_id, NULL, 'checkpoint', l.checkpoint FROM assay.checkpoint_leaf l
              WHERE $1::text IS NULL
                AND ($2 IS NULL OR EXISTS (SELECT FROM assay.checkpoint c WHERE c.number = l.checkpoint AND c.made_at >= $2))
                AND NOT EXISTS (SELECT FROM assay.verification v WHERE v.id = l.verification_id) LIMIT $3)",
        )
        .bind(scope.job())
        .bind(scope.since())
        .bind(i64::from(limit))
        .fetch_all(&self.pool())
        .await?;
        rows.iter().map(orphan).collect()
    }
}

fn orphan(row: &PgRow) -> Result<Orphan, JournalError> {
    let told_by = match row.try_get("of")? {
        "decision" => OrphanOf::Decision,
        "settlement" => OrphanOf::Settlement,
        "log" => OrphanOf::Log,
        "claim" => OrphanOf::Claim,
        "decided-claim" => OrphanOf::DecidedClaim,
        "published" => OrphanOf::Published,
        "applied-set" => OrphanOf::AppliedSet,
        "held" => OrphanOf::Held,
        _ => OrphanOf::Checkpoint(u64::try_from(row.try_get::<i64, _>("checkpoint")?).unwrap_or(0)),
    };
    Ok(Orphan {
        verification_id: row.try_get::<Uuid, _>("id")?.into(),
        job_id: row.try_get("job_id")?,
        told_by,
    })
}
