//! Calls of models in the desk's journal.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::JournalError;
use super::sqlite::{SqliteJournal, parsed, time};
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::job::JobId;
use crate::model_call::{ModelCall, Spent, TokenUsage};

/// Microseconds of a day of UTC, which knows no leap seconds here.
const DAY: i64 = 86_400_000_000;

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
        let now = Timestamp::now().as_microsecond();
        let day = now - now.rem_euclid(DAY);
        let row = sqlx::query(
            "SELECT (SELECT coalesce(sum(cost_microcents), 0) FROM model_call WHERE job_id = ?) AS on_job,
                    (SELECT coalesce(sum(cost_microcents), 0) FROM model_call WHERE started_at >= ?) AS today",
        )
        .bind(job_id.as_str())
        .bind(day)
        .fetch_one(self.pool())
        .await?;
        Ok(Spent {
            on_job: unsigned(row.try_get("on_job")?)?,
            today: unsigned(row.try_get("today")?)?,
        })
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
