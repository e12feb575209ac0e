//! What every driver of the journal does, on `PostgreSQL`.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::PgJournal;
use super::time::Time;
use crate::digest::Digest;
use crate::entry::{Audience, Entry, EntryType, LogEntry, VerificationId, chain_start};
use crate::job::JobId;
use crate::journal::{
    Cause, Chain, Journal, JournalError, Link, NewVerification, VerificationRow, ending_words,
};
use crate::model_call::{ModelCall, NoRoom, Reservation, Spent};
use crate::outcome::Decision;
use crate::plan::PlanRef;
use crate::verdict::GradeError;

/// A verification with the end of its chain: as recorded when it ended, else as the log has it.
pub(super) const SELECT_VERIFICATION: &str = "
    SELECT v.*, coalesce(v.entries, last.seq + 1, 0) AS length, coalesce(v.head, last.hash) AS last_hash
    FROM assay.verification v
    LEFT JOIN LATERAL (
        SELECT seq, hash FROM assay.log WHERE verification_id = v.id ORDER BY seq DESC LIMIT 1
    ) last ON true ";

#[async_trait]
impl Journal for PgJournal {
    async fn begin(&self, new: &NewVerification) -> Result<(), JournalError> {
        begin(&mut *self.pool().acquire().await?, new).await
    }

    async fn append(&self, id: VerificationId, entries: Vec<Entry>) -> Result<(), JournalError> {
        let mut transaction = self.pool().begin().await?;
        // Appends of the same verification take turns.
        let VerificationRow {
            job_id,
            entries: length,
            head,
            ..
        } = under_way(&mut transaction, id).await?;
        let mut chain = Chain { length, head };
        for entry in entries {
            let Link {
                seq,
                entry,
                salt,
                hash,
            } = chain.push(entry);
            sqlx::query(
                "INSERT INTO assay.log (job_id, verification_id, seq, type, content, audience, created_at, salt, hash)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .bind(job_id.as_str())
            .bind(id.uuid())
            .bind(i32::try_from(seq).map_err(|_| JournalError::Damaged("a chain without end".to_owned()))?)
            .bind(entry.kind.as_str())
            .bind(&entry.content)
            .bind(entry.audience.as_str())
            .bind(Time(entry.created_at))
            .bind(salt.as_slice())
            .bind(hash.as_bytes())
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    async fn conclude(
        &self,
        id: VerificationId,
        decision: &Result<Decision, GradeError>,
        at: Timestamp,
    ) -> Result<(), JournalError> {
        let (outcome, content) = ending_words(decision)?;
        let mut transaction = self.pool().begin().await?;
        conclude(&mut transaction, id, (outcome, &content), at).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn verifications(&self, job_id: &JobId) -> Result<Vec<VerificationRow>, JournalError> {
        let select = format!("{SELECT_VERIFICATION} WHERE v.job_id = $1 ORDER BY v.started_at, v.id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(select))
            .bind(job_id.as_str())
            .fetch_all(&self.pool())
            .await?;
        rows.iter().map(verification).collect()
    }

    async fn entries_from(&self, id: VerificationId, seq: u32) -> Result<Vec<LogEntry>, JournalError> {
        let rows =
            sqlx::query("SELECT * FROM assay.log WHERE verification_id = $1 AND seq >= $2 ORDER BY seq")
                .bind(id.uuid())
                .bind(i64::from(seq))
                .fetch_all(&self.pool())
                .await?;
        rows.iter().map(log_entry).collect()
    }

    async fn keep_call(
        &self,
        about: (VerificationId, &JobId, u32),
        call: &ModelCall,
    ) -> Result<(), JournalError> {
        self.within(self.insert_call(about, call)).await
    }

    async fn paid_call(
        &self,
        hand_in: (&JobId, u32),
        key: Digest,
    ) -> Result<Option<(VerificationId, ModelCall)>, JournalError> {
        self.within(self.select_paid_call(hand_in, key)).await
    }

    async fn model_calls(&self, id: VerificationId) -> Result<Vec<ModelCall>, JournalError> {
        self.within(self.select_calls(id)).await
    }

    async fn spent(&self, job_id: &JobId) -> Result<Spent, JournalError> {
        self.within(self.select_spent(job_id)).await
    }

    async fn reserve_spending(
        &self,
        job_id: &JobId,
        reservation: &Reservation,
    ) -> Result<Option<NoRoom>, JournalError> {
        self.within(self.note_begun(job_id, reservation)).await
    }

    async fn jobs(&self, limit: u32) -> Result<Vec<JobId>, JournalError> {
        let rows = sqlx::query_scalar::<_, String>(
            "SELECT job_id FROM assay.verification GROUP BY job_id ORDER BY max(started_at) DESC, job_id LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool())
        .await?;
        Ok(rows.into_iter().map(JobId::new).collect())
    }
}

/// Begins a verification.
pub(super) async fn begin(connection: &mut PgConnection, new: &NewVerification) -> Result<(), JournalError> {
    sqlx::query(
        "INSERT INTO assay.verification (id, job_id, attempt, cause, plan_name, plan_digest, submission, started_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(new.id.uuid())
    .bind(new.job_id.as_str())
    .bind(attempt(new.attempt)?)
    .bind(new.cause.as_str())
    .bind(&new.plan.name)
    .bind(new.plan.digest.as_bytes())
    .bind(new.submission.as_bytes())
    .bind(Time(new.started_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// The verification, locked until the transaction ends.
async fn under_way(
    transaction: &mut PgConnection,
    id: VerificationId,
) -> Result<VerificationRow, JournalError> {
    let running =
        sqlx::query("SELECT id FROM assay.verification WHERE id = $1 AND ended_at IS NULL FOR UPDATE")
            .bind(id.uuid())
            .fetch_optional(&mut *transaction)
            .await?;
    if running.is_none() {
        return Err(JournalError::NotUnderWay(id));
    }
    let row = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{SELECT_VERIFICATION} WHERE v.id = $1"
    )))
    .bind(id.uuid())
    .fetch_one(transaction)
    .await?;
    verification(&row)
}

/// Ends a verification with its outcome, and the decision or the error as JSON; within a transaction.
pub(super) async fn conclude(
    transaction: &mut PgConnection,
    id: VerificationId,
    (outcome, content): (&str, &str),
    at: Timestamp,
) -> Result<(), JournalError> {
    let VerificationRow { entries, head, .. } = under_way(transaction, id).await?;
    sqlx::query(
        "UPDATE assay.verification SET ended_at = $2, outcome = $3, decision = $4, entries = $5, head = $6
         WHERE id = $1",
    )
    .bind(id.uuid())
    .bind(Time(at))
    .bind(outcome)
    .bind(content)
    .bind(i64::from(entries))
    .bind(head.as_bytes())
    .execute(transaction)
    .await?;
    Ok(())
}

pub(super) fn attempt(attempt: u32) -> Result<i32, JournalError> {
    i32::try_from(attempt).map_err(|_| JournalError::Damaged(format!("attempt {attempt}")))
}

pub(super) fn verification(row: &PgRow) -> Result<VerificationRow, JournalError> {
    let id = VerificationId::from(row.try_get::<Uuid, _>("id")?);
    let job_id = JobId::new(row.try_get::<String, _>("job_id")?);
    let attempt = count(row, "attempt")?;
    let cause: Cause = word(row, "cause")?;
    let plan = PlanRef {
        name: row.try_get("plan_name")?,
        digest: digest(row, "plan_digest")?,
    };
    let submission = digest(row, "submission")?;
    let head = match row.try_get::<Option<&[u8]>, _>("last_hash")? {
        Some(_) => digest(row, "last_hash")?,
        None => chain_start(
            id,
            &job_id,
            attempt,
            cause.as_str(),
            (&plan.name, plan.digest),
            submission,
        ),
    };
    Ok(VerificationRow {
        id,
        job_id,
        attempt,
        cause,
        plan,
        submission,
        started_at: row.try_get::<Time, _>("started_at")?.0,
        outcome: row.try_get("outcome")?,
        entries: count(row, "length")?,
        head,
    })
}

pub(super) fn log_entry(row: &PgRow) -> Result<LogEntry, JournalError> {
    let kind: EntryType = word(row, "type")?;
    let audience: Audience = word(row, "audience")?;
    Ok(LogEntry {
        id: row.try_get("id")?,
        job_id: JobId::new(row.try_get::<String, _>("job_id")?),
        verification_id: VerificationId::from(row.try_get::<Uuid, _>("verification_id")?),
        seq: count(row, "seq")?,
        entry: Entry {
            kind,
            content: row.try_get("content")?,
            audience,
            created_at: row.try_get::<Time, _>("created_at")?.0,
        },
        salt: fixed(row, "salt")?,
        hash: digest(row, "hash")?,
        erased: match row.try_get::<Option<&[u8]>, _>("content_digest")? {
            Some(_) => Some(digest(row, "content_digest")?),
            None => None,
        },
    })
}

pub(super) fn digest(row: &PgRow, column: &str) -> Result<Digest, JournalError> {
    fixed::<32>(row, column).map(Digest::from)
}

fn fixed<const LENGTH: usize>(row: &PgRow, column: &str) -> Result<[u8; LENGTH], JournalError> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes
        .try_into()
        .map_err(|_| JournalError::Damaged(format!("{column} of {} bytes", bytes.len())))
}

pub(super) fn count(row: &PgRow, column: &str) -> Result<u32, JournalError> {
    let number: i32 = row.try_get(column)?;
    u32::try_from(number).map_err(|_| JournalError::Damaged(format!("{column} {number}")))
}

fn word<T: std::str::FromStr>(row: &PgRow, column: &str) -> Result<T, JournalError> {
    let text: &str = row.try_get(column)?;
    text.parse()
        .map_err(|_| JournalError::Damaged(format!("{column} `{text}`")))
}
