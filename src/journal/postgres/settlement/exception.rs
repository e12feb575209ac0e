//! Outcomes that were not applied: noted once for a person, with their message, and tried again when he says so.

use sqlx::postgres::PgConnection;

use super::words::{NewException, Settled};
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::journal::JournalError;
use crate::journal::postgres::brakes::close;
use crate::journal::postgres::market::Market;

/// Most bytes of a message that are kept with an exception, and most characters of a text.
const KEPT_BYTES: usize = 1024 * 1024;
const KEPT_CHARS: usize = 2000;

/// An open exception that is tried once more.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    /// Its number.
    pub exception: i64,
    /// Who tries.
    pub by: &'a str,
}

impl Market {
    /// Notes an outcome that never came to its transaction, e.g. because its receipt is forged. One that is `tried` again and
    /// was an exception for another reason before is closed as that.
    ///
    /// # Errors
    /// [`JournalError::NoOpenException`] if the one that is tried is open no longer; where the database cannot be written.
    pub async fn note_exception(
        &self,
        about: (Option<VerificationId>, Option<&str>),
        exception: &NewException,
        body: &[u8],
        tried: Option<Tried<'_>>,
    ) -> Result<(), JournalError> {
        let noting = async {
            let mut transaction = self.journal.pool().begin().await?;
            let retrial = Retrial::begin(&mut transaction, tried).await?;
            note_exception(&mut transaction, about, exception, body).await?;
            // Forged or not, a decision that waited under this id with this message waits no longer.
            sqlx::query(
                "UPDATE assay.held SET released_at = now() WHERE message = $1 AND released_at IS NULL",
            )
            .bind(body)
            .execute(&mut *transaction)
            .await?;
            if let Some(retrial) = retrial {
                let settled = Settled::Exception(exception.reason);
                retrial.end(&mut transaction, &settled).await?;
            }
            transaction.commit().await?;
            Ok(())
        };
        self.journal.within(noting).await
    }
}

/// An exception that is tried again, locked as long as the transaction lasts.
pub(super) struct Retrial<'a> {
    tried: Tried<'a>,
    reason: String,
}

impl<'a> Retrial<'a> {
    /// Locks the exception first of all: nobody closes it while it is tried.
    pub(super) async fn begin(
        connection: &mut PgConnection,
        tried: Option<Tried<'a>>,
    ) -> Result<Option<Self>, JournalError> {
        let Some(tried) = tried else {
            return Ok(None);
        };
        let reason = sqlx::query_scalar(
            "SELECT reason FROM assay.exception WHERE id = $1 AND closed_at IS NULL FOR UPDATE",
        )
        .bind(tried.exception)
        .fetch_optional(connection)
        .await?
        .ok_or(JournalError::NoOpenException(tried.exception))?;
        Ok(Some(Self { tried, reason }))
    }

    /// Closes it, unless it is what it was.
    pub(super) async fn end(
        self,
        connection: &mut PgConnection,
        settled: &Settled,
    ) -> Result<(), JournalError> {
        if !matches!(settled, Settled::Exception(reason) if *reason == self.reason) {
            let Tried { exception, by } = self.tried;
            let became = format!("tried again: {}", settled.as_str());
            close(connection, exception, by, &became).await?;
        }
        Ok(())
    }
}

/// The same message for the same reason is noted once, until somebody closes it.
pub(super) async fn note_exception(
    connection: &mut PgConnection,
    (verification_id, job_id): (Option<VerificationId>, Option<&str>),
    exception: &NewException,
    body: &[u8],
) -> Result<(), JournalError> {
    sqlx::query(
        "INSERT INTO assay.exception (verification_id, job_id, reason, detail, message, digest)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (digest, reason) WHERE closed_at IS NULL DO NOTHING",
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
