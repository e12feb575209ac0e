//! Outcomes that were not applied: noted once for a person, with their message.

use sqlx::postgres::PgConnection;

use super::words::NewException;
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::journal::JournalError;
use crate::journal::postgres::market::Market;

/// Most bytes of a message that are kept with an exception, and most characters of a text.
const KEPT_BYTES: usize = 1024 * 1024;
const KEPT_CHARS: usize = 2000;

impl Market {
    /// Notes an outcome that never came to its transaction, e.g. because its receipt is forged.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn note_exception(
        &self,
        about: (Option<VerificationId>, Option<&str>),
        exception: &NewException,
        body: &[u8],
    ) -> Result<(), JournalError> {
        let mut transaction = self.journal.pool().begin().await?;
        note_exception(&mut transaction, about, exception, body).await?;
        // Forged or not, a decision that waited under this id with this message waits no longer.
        sqlx::query("UPDATE assay.held SET released_at = now() WHERE message = $1 AND released_at IS NULL")
            .bind(body)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// The same message for the same reason is noted once.
pub(super) async fn note_exception(
    connection: &mut PgConnection,
    (verification_id, job_id): (Option<VerificationId>, Option<&str>),
    exception: &NewException,
    body: &[u8],
) -> Result<(), JournalError> {
    sqlx::query(
        "INSERT INTO assay.exception (verification_id, job_id, reason, detail, message, digest)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (digest, reason) DO NOTHING",
    )
    .bind(verification_id.map(VerificationId::uuid))
    .bind(job_id.map(storable))
    .bind(exception.reason)
    .bind(storable(&exception.detail))
    .bind(&body[..body.len().min(KEPT_BYTES)])
    .bind(Digest::of(body).as_bytes())
    .execute(connection)
    .await?;
    Ok(())
}

/// A stranger's text as `PostgreSQL` takes it (no NUL) and a terminal shows it (no control characters).
fn storable(text: &str) -> String {
    text.chars()
        .take(KEPT_CHARS)
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}
