//! Settlement's transaction: lock, look, ask the transition table, do what it says. One for each outcome.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::market::{Market, Movement};
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::job::Job;
use crate::journal::JournalError;
use crate::message::OutcomeMessage;
use crate::outcome::Outcome;

/// Serialises those who count what was paid in the last hour; any number that nobody else uses.
const RATE_LOCK: i64 = 0x6173_7361_7920_7061;

/// The clause by which rows are locked.
const FOR_UPDATE: &str = "FOR UPDATE";

/// Times that a transaction is begun anew at once because of others that ran at the same time.
const AT_ONCE: u32 = 8;

/// An outcome whose receipt was checked, about to be applied.
#[derive(Debug, Clone, Copy)]
pub struct Checked<'a> {
    /// What was decided.
    pub message: &'a OutcomeMessage,
    /// The message as it came: it must be the one that the worker stored with the decision.
    pub body: &'a [u8],
    /// Whose account takes the fee.
    pub platform_user: Option<&'a str>,
    /// Whether payments are counted by the hour.
    pub rated: bool,
}

/// What settlement finds, with the job's row locked: all that the transition table asks.
#[derive(Debug, Clone)]
pub struct Situation {
    /// Whether this decision was applied before.
    pub applied: bool,
    /// The message that the worker stored with the decision.
    pub decided: Decided,
    /// The job, locked.
    pub job: Option<Job>,
    /// What was applied of the decision that this one overturns.
    pub superseded: Option<Applied>,
    /// Another decision was applied that overturns this one, or the one that this one overturns.
    pub overturned: bool,
    /// Balances in cents of the users whom it may concern, locked.
    pub balances: BTreeMap<String, i64>,
    /// Payments are paused.
    pub paused: bool,
    /// The outcome waits already: for whom, and whether somebody has approved it.
    pub held: Option<(HoldReason, bool)>,
    /// Cents paid in the last hour; 0 where they are not counted.
    pub paid_last_hour: i64,
    /// Others wait until there is room in the hour.
    pub others_wait: bool,
}

/// How a message stands to the table of decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// It is the one that was stored with the decision.
    Same,
    /// The decision was stored with another one.
    Other,
    /// No such decision was stored.
    Unknown,
}

/// A decision that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The job.
    pub job_id: String,
    /// What it did.
    pub effect: Effect,
    /// Who was paid or refunded.
    pub user: Option<String>,
    /// Cents that he got.
    pub amount_cents: i64,
    /// Who took the fee.
    pub fee_user: Option<String>,
    /// Cents of it.
    pub fee_cents: i64,
}

/// What applying a decision did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The receiver was paid.
    Paid,
    /// The job is open again.
    Requeued,
    /// The job has failed, the sender has his money back.
    Failed,
    /// A payment was taken back, the job is open again.
    ReversedRequeued,
    /// A payment was taken back, the job has failed, the sender has his money back.
    ReversedFailed,
}

impl Effect {
    /// Every effect.
    pub const ALL: [Self; 5] = [
        Self::Paid,
        Self::Requeued,
        Self::Failed,
        Self::ReversedRequeued,
        Self::ReversedFailed,
    ];

    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Requeued => "requeued",
            Self::Failed => "failed",
            Self::ReversedRequeued => "reversed-requeued",
            Self::ReversedFailed => "reversed-failed",
        }
    }

    /// What it does to the job's row. Literals, since a marketplace's status may be an enum of its own.
    fn assignments(self) -> &'static str {
        match self {
            Self::Paid => "status = 'verified'",
            Self::Requeued | Self::ReversedRequeued => {
                "status = 'queued', attempt_count = attempt_count + 1, held_by_agent_id = NULL, receiver = NULL,
                 receiver_agent_id = NULL, accepted_at = NULL, deadline_at = NULL, output_text = NULL,
                 output_attachments = DEFAULT"
            }
            Self::Failed | Self::ReversedFailed => "status = 'failed', attempt_count = attempt_count + 1",
        }
    }
}

/// Why an outcome waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldReason {
    /// Settlement is paused.
    Paused,
    /// The price is above what is paid without asking.
    Price,
    /// Too much was paid in the last hour.
    Rate,
}

impl HoldReason {
    const ALL: [Self; 3] = [Self::Paused, Self::Price, Self::Rate];

    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Price => "price",
            Self::Rate => "rate",
        }
    }
}

/// What the transition table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// Nothing: it was applied before.
    AlreadyApplied,
    /// The job's row and the money change.
    Apply(Change),
    /// It waits.
    Hold {
        /// For what.
        reason: HoldReason,
        /// The job's price in cents.
        price_cents: i64,
    },
    /// A person looks at it; nothing moves.
    Except(NewException),
}

/// A change of job and money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it does, and what it does to the job.
    pub effect: Effect,
    /// The money that moves.
    pub movements: Vec<Movement>,
    /// Who is paid, refunded, or has to give back.
    pub user: Option<String>,
    /// Cents of it.
    pub amount_cents: i64,
    /// Who takes the fee, or gives it back.
    pub fee_user: Option<String>,
    /// Cents of it.
    pub fee_cents: i64,
}

/// An exception to be noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewException {
    /// A word, in kebab-case.
    pub reason: &'static str,
    /// More about it.
    pub detail: String,
}

/// What became of an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It was applied.
    Applied(Effect),
    /// It had been applied before.
    Already,
    /// It waits.
    Held(HoldReason),
    /// It is an exception: a person looks at it.
    Exception(&'static str),
}

impl Market {
    /// Applies an outcome, once: in one transaction, with the job's row locked, as `table` says.
    ///
    /// # Errors
    /// [`JournalError::Refused`] where the database will never have it, else trouble that passes; nothing has changed.
    pub async fn settle(
        &self,
        outcome: Checked<'_>,
        table: impl Fn(&Situation) -> Transition,
    ) -> Result<Settled, JournalError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.journal.within(self.try_settle(outcome, &table)).await {
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
        table: &impl Fn(&Situation) -> Transition,
    ) -> Result<Settled, JournalError> {
        let id = outcome.message.verification_id.uuid();
        let mut transaction = self.journal.pool().begin().await?;
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
            sqlx::query("UPDATE assay.held SET released_at = now() WHERE verification_id = $1")
                .bind(id)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(settled)
    }

    /// Locks the job and then, in the order of their ids, the users. What others have committed before the lock was had is
    /// seen, because every statement looks anew (READ COMMITTED).
    async fn look(
        &self,
        connection: &mut PgConnection,
        Checked {
            message,
            body,
            platform_user,
            rated,
        }: Checked<'_>,
        lock: &'static str,
    ) -> Result<Situation, JournalError> {
        let job = self.job_row(connection, &message.job_id, lock).await?;
        let pays = message.outcome == Outcome::Verified;
        if rated && pays && !lock.is_empty() {
            sqlx::query("SELECT pg_advisory_xact_lock($1)")
                .bind(RATE_LOCK)
                .execute(&mut *connection)
                .await?;
        }
        let row = sqlx::query(
            "SELECT EXISTS (SELECT FROM assay.settlement WHERE verification_id = $1) AS applied,
                    (SELECT message = $3 FROM assay.decision WHERE verification_id = $1) AS same,
                    EXISTS (SELECT FROM assay.settlement WHERE supersedes IN ($1, $2)) AS overturned,
                    coalesce((SELECT is_on FROM assay.switch WHERE name = 'pause'), false) AS paused,
                    held.reason AS held, held.approved_at IS NOT NULL AS approved,
                    CASE WHEN $4 THEN (SELECT coalesce(sum(amount_cents + fee_cents), 0)::bigint FROM assay.settlement
                                       WHERE effect = 'paid' AND settled_at > now() - interval '1 hour') ELSE 0 END AS paid,
                    $4 AND EXISTS (SELECT FROM assay.held WHERE reason = 'rate' AND released_at IS NULL
                                   AND approved_at IS NULL) AS others_wait,
                    s.job_id, s.effect, s.paid_user, s.amount_cents, s.fee_user, s.fee_cents
             FROM (SELECT 1) one
             LEFT JOIN assay.settlement s ON s.verification_id = $2
             LEFT JOIN assay.held ON held.verification_id = $1 AND held.released_at IS NULL",
        )
        .bind(message.verification_id.uuid())
        .bind(message.supersedes.map(VerificationId::uuid))
        .bind(body)
        .bind(rated && pays)
        .fetch_one(&mut *connection)
        .await?;
        let superseded = match row.try_get::<Option<String>, _>("job_id")? {
            Some(job_id) => Some(Applied {
                job_id,
                effect: word(row.try_get("effect")?, Effect::ALL, Effect::as_str)?,
                user: row.try_get("paid_user")?,
                amount_cents: row.try_get("amount_cents")?,
                fee_user: row.try_get("fee_user")?,
                fee_cents: row.try_get("fee_cents")?,
            }),
            None => None,
        };
        let held = match row.try_get::<Option<&str>, _>("held")? {
            Some(reason) => Some((
                word(reason, HoldReason::ALL, HoldReason::as_str)?,
                row.try_get::<bool, _>("approved")?,
            )),
            None => None,
        };
        let mut concerned: Vec<&str> = Vec::new();
        if let Some(job) = &job {
            concerned.push(&job.sender);
            concerned.extend(job.receiver.as_deref());
            concerned.extend(platform_user.filter(|_| pays));
        }
        if let Some(applied) = &superseded {
            concerned.extend(applied.user.as_deref());
            concerned.extend(applied.fee_user.as_deref());
        }
        Ok(Situation {
            applied: row.try_get("applied")?,
            decided: match row.try_get::<Option<bool>, _>("same")? {
                Some(true) => Decided::Same,
                Some(false) => Decided::Other,
                None => Decided::Unknown,
            },
            overturned: row.try_get("overturned")?,
            balances: self.user_rows(connection, &concerned, lock).await?,
            paused: row.try_get("paused")?,
            held,
            paid_last_hour: row.try_get("paid")?,
            others_wait: row.try_get("others_wait")?,
            superseded,
            job,
        })
    }

    async fn user_rows(
        &self,
        connection: &mut PgConnection,
        users: &[&str],
        lock: &'static str,
    ) -> Result<BTreeMap<String, i64>, JournalError> {
        let select = format!(
            "SELECT id::text AS id, balance_cents FROM users WHERE users.id = ANY({})
             ORDER BY users.id {lock}",
            self.user_id.many("$1")
        );
        let rows = sqlx::query(AssertSqlSafe(select))
            .bind(users)
            .fetch_all(connection)
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get("id")?, row.try_get("balance_cents")?)))
            .collect()
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
        .bind(super::journal::attempt(message.attempt)?)
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

    /// What settlement would find if this outcome came now, stored as it is; nothing is locked, nothing changes.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn foresee(&self, outcome: Checked<'_>) -> Result<Situation, JournalError> {
        self.journal
            .within(async {
                let mut connection = self.journal.pool().acquire().await?;
                let found = self.look(&mut connection, outcome, "").await?;
                Ok(Situation {
                    decided: Decided::Same,
                    ..found
                })
            })
            .await
    }

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

async fn hold(
    connection: &mut PgConnection,
    Checked { message, body, .. }: Checked<'_>,
    reason: HoldReason,
    price_cents: i64,
) -> Result<(), JournalError> {
    sqlx::query(
        "INSERT INTO assay.held (verification_id, job_id, reason, amount_cents, message) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (verification_id) DO UPDATE SET reason = excluded.reason
         WHERE held.reason <> excluded.reason AND held.released_at IS NULL",
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

/// Most bytes of a message that are kept with an exception, and most characters of a text.
const KEPT_BYTES: usize = 1024 * 1024;
const KEPT_CHARS: usize = 2000;

/// The same message for the same reason is noted once.
async fn note_exception(
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

fn word<T: Copy, const COUNT: usize>(
    text: &str,
    all: [T; COUNT],
    as_str: fn(T) -> &'static str,
) -> Result<T, JournalError> {
    all.into_iter()
        .find(|word| as_str(*word) == text)
        .ok_or_else(|| JournalError::Damaged(format!("the word `{text}`")))
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
