//! Begins verifications of disputes: never on what was erased, and known to run as long as they do.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::PgJournal;
use super::disputes::NewDispute;
use super::erasures::{Erasure, erasure};
use crate::entry::VerificationId;
use crate::journal::{JournalError, NewVerification};

/// Held while a verification of a dispute runs: ends with its connection, so also with its process. `assay.erase` asks for it.
#[derive(Debug)]
pub struct DisputeLock {
    _connection: PgConnection,
}

/// Why a verification of a dispute was not begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeginDisputeError {
    /// What was handed in was erased after the decision.
    #[error("{0}")]
    Erased(Box<Erasure>),
    /// The database could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl PgJournal {
    /// Begins a verification of a dispute, with who asked for it and why. It is known to run as long as the lock is held.
    ///
    /// # Errors
    /// [`BeginDisputeError::Erased`] where what was handed in is not there any more, else trouble with the database.
    pub async fn begin_dispute(
        &self,
        new: &NewVerification,
        dispute: &NewDispute,
    ) -> Result<DisputeLock, BeginDisputeError> {
        let begun = self.within(async {
            // Of its own, not of the pool: as many verifications as there are run side by side.
            let mut lock = PgConnection::connect_with(&self.0.options).await?;
            sqlx::query("SELECT pg_advisory_lock(hashtextextended('assay-dispute ' || $1::text, 0))")
                .bind(new.id.uuid())
                .execute(&mut lock)
                .await?;
            let mut connection = self.pool().acquire().await?;
            let mut transaction = connection.begin().await?;
            if let Some(erasure) = erased(&mut transaction, dispute.disputes).await? {
                transaction.rollback().await?;
                return Ok(Err(erasure));
            }
            super::journal::begin(&mut transaction, new).await?;
            sqlx::query(
                "INSERT INTO assay.dispute (verification_id, disputes, set_name, by, reason) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(new.id.uuid())
            .bind(dispute.disputes.uuid())
            .bind(&dispute.set)
            .bind(&dispute.by)
            .bind(&dispute.reason)
            .execute(&mut *transaction)
            .await?;
            if let Some(set) = &dispute.set {
                sqlx::query(
                    "UPDATE assay.dispute_item SET verification_id = $3, error = NULL WHERE set_name = $1 AND disputes = $2",
                )
                .bind(set)
                .bind(dispute.disputes.uuid())
                .bind(new.id.uuid())
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await?;
            Ok(Ok(DisputeLock { _connection: lock }))
        });
        begun
            .await?
            .map_err(|erasure| BeginDisputeError::Erased(Box::new(erasure)))
    }
}

/// The erasure of what that decision was about. From here to the end of the transaction nobody erases it.
async fn erased(
    transaction: &mut PgConnection,
    disputes: VerificationId,
) -> Result<Option<Erasure>, JournalError> {
    sqlx::query(
        "SELECT pg_advisory_xact_lock_shared(hashtextextended('assay-erase ' || job_id, 0))
         FROM assay.decision WHERE verification_id = $1",
    )
    .bind(disputes.uuid())
    .execute(&mut *transaction)
    .await?;
    let row = sqlx::query(
        "SELECT e.* FROM assay.erasure e JOIN assay.decision d USING (job_id)
         WHERE d.verification_id = $1 AND d.decided_at <= e.at AND (e.attempt IS NULL OR e.attempt = d.attempt)
         ORDER BY e.id LIMIT 1",
    )
    .bind(disputes.uuid())
    .fetch_optional(transaction)
    .await?;
    row.as_ref().map(erasure).transpose()
}
