//! Calls of models in the desk's journal.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::JournalError;
use super::sqlite::{SqliteJournal, parsed, time};
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::job::JobId;
use crate::model_call::{ModelCall, NoRoom, Reservation, Spent, TokenUsage};

/// Microseconds of a day of UTC, which knows no leap seconds here.
const DAY: i64 = 86_400_000_000;

/// What was spent on the job `?1` and since the day `?2` began, calls under way counted at what they may cost.
macro_rules! spending {
    () => {
        "WITH cost AS (
            SELECT job_id, started_at, cost_microcents, false AS is_under_way FROM model_call WHERE cost_microcents > 0
            UNION ALL SELECT job_id, started_at, cost_microcents, true FROM call_begun),
         spending AS (
            SELECT coalesce(sum(cost_microcents) FILTER (WHERE job_id = ?1), 0) AS on_job,
                   coalesce(sum(cost_microcents) FILTER (WHERE started_at >= ?2), 0) AS today,
                   coalesce(sum(cost_microcents) FILTER (WHERE job_id = ?1 AND is_under_way), 0) AS under_way
            FROM cost WHERE job_id = ?1 OR started_at >= ?2) "
    };
}

fn day_of(now: Timestamp) -> i64 {
    let now = now.as_microsecond();
    now - now.rem_euclid(DAY)
}

impl SqliteJournal {
    pub(super) async fn insert_call(
        &self,
        (verification, job_id, attempt): (VerificationId, &JobId, u32),
        call: &ModelCall,
    ) -> Result<(), JournalError> {
        let criteria = serde_json::to_string(&call.criteria)
            .map_err(|error| JournalError::Damaged(error.to_string()))?;
        sqlx::query(
            "INSERT INTO model_call
                 (id, verification_id, job_id, attempt, grader, criteria, sample, model_asked, model, judge_mode,
                  parameters, prompt, prompt_digest, answer, answer_digest, finish, rejected, prompt_tokens,
                  answer_tokens, tokens_estimated, cost_microcents, key, reused, started_at, ended_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(call.id.to_string())
        .bind(verification.to_string())
        .bind(job_id.as_str())
        .bind(attempt)
        .bind(&call.grader)
        .bind(criteria)
        .bind(call.sample)
        .bind(&call.model_asked)
        .bind(&call.model)
        .bind(&call.judge_mode)
        .bind(call.parameters.to_string())
        .bind(call.prompt.as_deref().map(str::as_bytes))
        .bind(call.prompt_digest.to_string())
        .bind(call.answer.as_deref().map(str::as_bytes))
        .bind(call.answer_digest.map(|digest| digest.to_string()))
        .bind(call.finish.as_str())
        .bind(&call.rejected)
        .bind(call.usage.map(|usage| signed(usage.prompt_tokens)))
        .bind(call.usage.map(|usage| signed(usage.completion_tokens)))
        .bind(call.usage_estimated)
        .bind(call.cost_microcents.map(signed))
        .bind(call.key.to_string())
        .bind(call.reused.map(|id| id.to_string()))
        .bind(call.started_at.as_microsecond())
        .bind(call.ended_at.as_microsecond())
        .execute(self.pool())
        .await?;
        Ok(())
    }

    pub(super) async fn select_paid_call(
        &self,
        (job_id, attempt): (&JobId, u32),
        key: Digest,
    ) -> Result<Option<(VerificationId, ModelCall)>, JournalError> {
        let row = sqlx::query(
            "SELECT * FROM model_call
             WHERE job_id = ? AND attempt = ? AND key = ? AND finish = 'complete' AND rejected IS NULL
                 AND answer IS NOT NULL
             ORDER BY id DESC LIMIT 1",
        )
        .bind(job_id.as_str())
        .bind(attempt)
        .bind(key.to_string())
        .fetch_optional(self.pool())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let (of, call) = (parsed(&row, "verification_id")?, model_call(&row)?);
        Ok(call.is_reusable().then_some((of, call)))
    }

    pub(super) async fn select_calls(&self, id: VerificationId) -> Result<Vec<ModelCall>, JournalError> {
        let rows = sqlx::query("SELECT * FROM model_call WHERE verification_id = ? ORDER BY id")
            .bind(id.to_string())
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(model_call).collect()
    }

    pub(super) async fn select_spent(&self, job_id: &JobId) -> Result<Spent, JournalError> {
        Ok(self.spent_and_under_way(job_id).await?.spent)
    }

    async fn spent_and_under_way(&self, job_id: &JobId) -> Result<NoRoom, JournalError> {
        let row = sqlx::query(concat!(
            spending!(),
            "SELECT on_job, today, under_way FROM spending"
        ))
        .bind(job_id.as_str())
        .bind(day_of(Timestamp::now()))
        .fetch_one(self.pool())
        .await?;
        Ok(NoRoom {
            spent: Spent {
                on_job: unsigned(row.try_get("on_job")?)?,
                today: unsigned(row.try_get("today")?)?,
            },
            under_way_on_job: unsigned(row.try_get("under_way")?)?,
        })
    }

    pub(super) async fn note_begun(
        &self,
        job_id: &JobId,
        reservation: &Reservation,
    ) -> Result<Option<NoRoom>, JournalError> {
        let now = Timestamp::now();
        // One statement, and SQLite lets one write at a time: each sees those before it.
        let noted = sqlx::query(concat!(
            spending!(),
            "INSERT INTO call_begun (id, job_id, cost_microcents, started_at)
             SELECT ?3, ?1, ?4, ?5 FROM spending
             WHERE coalesce(on_job + ?4 <= ?6, true) AND coalesce(today + ?4 <= ?7, true)"
        ))
        .bind(job_id.as_str())
        .bind(day_of(now))
        .bind(reservation.call.to_string())
        .bind(signed(reservation.more))
        .bind(now.as_microsecond())
        .bind(reservation.max_on_job.map(signed))
        .bind(reservation.max_today.map(signed))
        .execute(self.pool())
        .await?;
        if noted.rows_affected() == 1 {
            return Ok(None);
        }
        self.spent_and_under_way(job_id).await.map(Some)
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> Result<u64, JournalError> {
    u64::try_from(number).map_err(|_| JournalError::Damaged(format!("a count of {number}")))
}

fn model_call(row: &SqliteRow) -> Result<ModelCall, JournalError> {
    let text = |column: &str| -> Result<Option<String>, JournalError> {
        let bytes: Option<Vec<u8>> = row.try_get(column)?;
        bytes
            .map(|bytes| {
                String::from_utf8(bytes).map_err(|_| JournalError::Damaged(format!("{column} is no text")))
            })
            .transpose()
    };
    let json = |column: &str| -> Result<serde_json::Value, JournalError> {
        serde_json::from_str(row.try_get(column)?)
            .map_err(|_| JournalError::Damaged(format!("{column} that is no JSON")))
    };
    let tokens = |column: &str| -> Result<Option<u64>, JournalError> {
        let number: Option<i64> = row.try_get(column)?;
        number.map(unsigned).transpose()
    };
    let usage = match (tokens("prompt_tokens")?, tokens("answer_tokens")?) {
        (Some(prompt_tokens), Some(completion_tokens)) => Some(TokenUsage {
            prompt_tokens,
            completion_tokens,
        }),
        _ => None,
    };
    let has = |column: &str| -> Result<bool, JournalError> {
        Ok(row.try_get::<Option<&str>, _>(column)?.is_some())
    };
    Ok(ModelCall {
        id: parsed(row, "id")?,
        grader: row.try_get("grader")?,
        criteria: serde_json::from_value(json("criteria")?)
            .map_err(|error| JournalError::Damaged(error.to_string()))?,
        sample: row.try_get("sample")?,
        model_asked: row.try_get("model_asked")?,
        model: row.try_get("model")?,
        judge_mode: row.try_get("judge_mode")?,
        parameters: json("parameters")?,
        prompt: text("prompt")?,
        prompt_digest: parsed(row, "prompt_digest")?,
        answer: text("answer")?,
        answer_digest: has("answer_digest")?
            .then(|| parsed(row, "answer_digest"))
            .transpose()?,
        finish: parsed(row, "finish")?,
        rejected: row.try_get("rejected")?,
        usage,
        usage_estimated: row.try_get("tokens_estimated")?,
        cost_microcents: tokens("cost_microcents")?,
        key: parsed(row, "key")?,
        reused: has("reused")?.then(|| parsed(row, "reused")).transpose()?,
        started_at: time(row, "started_at")?,
        ended_at: time(row, "ended_at")?,
    })
}
