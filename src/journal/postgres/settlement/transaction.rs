//! One outcome, applied in one transaction.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::exception::{Retrial, Tried, note_exception};
use super::situation::{Checked, Situation};
use super::words::{Change, HoldReason, Settled, Transition};
use crate::entry::VerificationId;
use crate::journal::JournalError;
use crate::journal::postgres::journal::attempt;
use crate::journal::postgres::market::Market;
use crate::message::OutcomeMessage;

/// The clause by which rows are locked.
const FOR_UPDATE: &str = "FOR UPDATE";

/// Times that a transaction is begun anew at once because of others that ran at the same time.
const AT_ONCE: u32 = 8;

impl Market {
    /// Applies an outcome, once: in one transaction, with the job's row locked, as `table` says. Where an exception is `tried`
    /// again, the same transaction closes it, unless it is one still.
    ///
    /// # Errors
    /// [`JournalError::Refused`] where the database will never have it, [`JournalError::NoOpenException`] if the one that is
    /// tried is open no longer, else trouble that passes; nothing has changed.
    pub async fn settle(
        &self,
        outcome: Checked<'_>,
        tried: Option<Tried<'_>>,
        table: impl Fn(&Situation) -> Transition,
    ) -> Result<Settled, JournalError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.journal.within(self.try_settle(outcome, tried, &table)).await {
                Err(error) if attempt < AT_ONCE && met_another(&error) => {}
                Err(JournalError::Statement(error)) if is_refusal(&error) => {
                    return Err(JournalError::Refused(error));
                }
                result => return result,
            }
        }
    }

    async fn try_settle(
        &self,
        outcome: Checked<'_>,
        tried: Option<Tried<'_>>,
        table: &impl Fn(&Situation) -> Transition,
    ) -> Result<Settled, JournalError> {
        let id = outcome.message.verification_id.uuid();
        let mut transaction = self.journal.pool().begin().await?;
        let retrial = Retrial::begin(&mut transaction, tried).await?;
        let situation = self.look(&mut transaction, outcome, FOR_UPDATE).await?;
        let settled = match table(&situation) {
            Transition::AlreadyApplied => Settled::Already,
            Transition::Apply(change) => {
                self.apply(&mut transaction, outcome.message, &change).await?;
                Settled::Applied(change.effect)
            }
            Transition::Hold { reason, price_cents } => {
                hold(&mut transaction, outcome, reason, price_cents).await?;
                Settled::Held(reason)
            }
            Transition::Except(exception) => {
                let (message, body) = (outcome.message, outcome.body);
                let about = (Some(message.verification_id), Some(message.job_id.as_str()));
                note_exception(&mut transaction, about, &exception, body).await?;
                Settled::Exception(exception.reason)
            }
        };
        if situation.held.is_some() && !matches!(settled, Settled::Held(_)) {
            sqlx::query(
                "UPDATE assay.held SET released_at = now() WHERE verification_id = $1 AND released_at IS NULL",
            )
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        }
        if let Some(retrial) = retrial {
            retrial.end(&mut transaction, &settled).await?;
        }
        transaction.commit().await?;
        Ok(settled)
    }

    async fn apply(
        &self,
        connection: &mut PgConnection,
        message: &OutcomeMessage,
        change: &Change,
    ) -> Result<(), JournalError> {
        // First of all, for its primary key and UNIQUE(supersedes) are what nothing gets past twice.
        sqlx::query(
            "INSERT INTO assay.settlement (verification_id, job_id, attempt, supersedes, outcome, effect, paid_user,
                                           amount_cents, fee_user, fee_cents)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(message.verification_id.uuid())
        .bind(message.job_id.as_str())
        .bind(attempt(message.attempt)?)
        .bind(message.supersedes.map(VerificationId::uuid))
        .bind(message.outcome.as_str())
        .bind(change.effect.as_str())
        .bind(&change.user)
        .bind(change.amount_cents)
        .bind(&change.fee_user)
        .bind(change.fee_cents)
        .execute(&mut *connection)
        .await?;
        if !change.movements.is_empty() {
            self.move_money(connection, &change.movements).await?;
        }
        let update = format!(
            "UPDATE jobs SET {}, updated_at = now() WHERE id = {}",
            change.effect.assignments(),
            self.job_id.one("$1")
        );
        sqlx::query(AssertSqlSafe(update))
            .bind(message.job_id.as_str())
            .execute(connection)
            .await?;
        Ok(())
    }
}

/// What waits already goes on waiting, for what it waits now; what was released as an exception waits once more.
async fn hold(
    connection: &mut PgConnection,
    Checked { message, body, .. }: Checked<'_>,
    reason: HoldReason,
    price_cents: i64,
) -> Result<(), JournalError> {
    sqlx::query(
        "INSERT INTO assay.held (verification_id, job_id, reason, amount_cents, message) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (verification_id) DO UPDATE SET reason = excluded.reason, released_at = NULL
         WHERE held.reason <> excluded.reason OR held.released_at IS NOT NULL",
    )
    .bind(message.verification_id.uuid())
    .bind(message.job_id.as_str())
    .bind(reason.as_str())
    .bind(price_cents)
    .bind(body)
    .execute(connection)
    .await?;
    Ok(())
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    let code = error.as_database_error()?.code()?;
    Some(code.into_owned())
}

/// Another transaction was in the way: serialization failure, deadlock, or the same decision applied side by side.
fn met_another(error: &JournalError) -> bool {
    let JournalError::Statement(error) = error else {
        return false;
    };
    match sqlstate(error).as_deref() {
        Some("40001" | "40P01") => true,
        Some("23505") => error
            .as_database_error()
            .is_some_and(|error| error.table() == Some("settlement")),
        _ => false,
    }
}

/// The data do not fit, or a trigger of the marketplace says no (classes 22, 23 and P0): the same again tomorrow.
fn is_refusal(error: &sqlx::Error) -> bool {
    sqlstate(error).is_some_and(|code| ["22", "23", "P0"].iter().any(|class| code.starts_with(class)))
}
