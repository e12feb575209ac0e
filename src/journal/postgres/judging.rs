//! Calls of models: kept, found again, added up.

use std::collections::HashSet;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::PgJournal;
use super::journal::{attempt, count, digest};
use super::time::Time;
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::job::JobId;
use crate::journal::JournalError;
use crate::model_call::{ModelCall, NoRoom, Reservation, Spent, TokenUsage};

impl PgJournal {
    pub(super) async fn insert_call(
        &self,
        (verification, job_id, of_attempt): (VerificationId, &JobId, u32),
        call: &ModelCall,
    ) -> Result<(), JournalError> {
        sqlx::query(
            "INSERT INTO assay.model_call
                 (id, verification_id, job_id, attempt, grader, criteria, sample, model_asked, model, judge_mode,
                  parameters, prompt, prompt_digest, answer, answer_digest, finish, rejected, prompt_tokens,
                  answer_tokens, tokens_estimated, cost_microcents, key, reused, started_at, ended_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                     $22, $23, $24, $25)",
        )
        .bind(call.id)
        .bind(verification.uuid())
        .bind(job_id.as_str())
        .bind(attempt(of_attempt)?)
        .bind(&call.grader)
        .bind(&call.criteria)
        .bind(i64::from(call.sample))
        .bind(&call.model_asked)
        .bind(&call.model)
        .bind(&call.judge_mode)
        .bind(call.parameters.to_string())
        .bind(call.prompt.as_deref().map(str::as_bytes))
        .bind(call.prompt_digest.as_bytes())
        .bind(call.answer.as_deref().map(str::as_bytes))
        .bind(call.answer_digest.as_ref().map(|digest| digest.as_bytes().as_slice()))
        .bind(call.finish.as_str())
        .bind(&call.rejected)
        .bind(call.usage.map(|usage| signed(usage.prompt_tokens)))
        .bind(call.usage.map(|usage| signed(usage.completion_tokens)))
        .bind(call.usage_estimated)
        .bind(call.cost_microcents.map(signed))
        .bind(call.key.as_bytes())
        .bind(call.reused)
        .bind(Time(call.started_at))
        .bind(Time(call.ended_at))
        .execute(&self.pool())
        .await?;
        Ok(())
    }

    pub(super) async fn select_paid_call(
        &self,
        (job_id, of_attempt): (&JobId, u32),
        key: Digest,
    ) -> Result<Option<(VerificationId, ModelCall)>, JournalError> {
        let row = sqlx::query(
            "SELECT * FROM assay.model_call
             WHERE job_id = $1 AND attempt = $2 AND key = $3 AND finish = 'complete' AND rejected IS NULL
                 AND answer IS NOT NULL
             ORDER BY id DESC LIMIT 1",
        )
        .bind(job_id.as_str())
        .bind(attempt(of_attempt)?)
        .bind(key.as_bytes())
        .fetch_optional(&self.pool())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let of = row.try_get::<Uuid, _>("verification_id")?.into();
        let call = model_call(&row)?;
        Ok(call.is_reusable().then_some((of, call)))
    }

    pub(super) async fn select_calls(&self, id: VerificationId) -> Result<Vec<ModelCall>, JournalError> {
        let rows = sqlx::query("SELECT * FROM assay.model_call WHERE verification_id = $1 ORDER BY id")
            .bind(id.uuid())
            .fetch_all(&self.pool())
            .await?;
        rows.iter().map(model_call).collect()
    }

    /// Which of these verifications have asked a model.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn with_calls(&self, ids: &[VerificationId]) -> Result<HashSet<VerificationId>, JournalError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        self.within(async {
            let found: Vec<Uuid> = sqlx::query_scalar(
                "SELECT v.id FROM unnest($1) v (id)
                 WHERE EXISTS (SELECT FROM assay.model_call c WHERE c.verification_id = v.id)",
            )
            .bind(ids)
            .fetch_all(&self.pool())
            .await?;
            Ok(found.into_iter().map(VerificationId::from).collect())
        })
        .await
    }

    pub(super) async fn select_spent(&self, job_id: &JobId) -> Result<Spent, JournalError> {
        let row = sqlx::query(
            "WITH cost AS (
                SELECT job_id, started_at, cost_microcents FROM assay.model_call WHERE cost_microcents > 0
                UNION ALL SELECT job_id, started_at, cost_microcents FROM assay.call_begun)
             SELECT (SELECT coalesce(sum(cost_microcents), 0)::bigint FROM cost WHERE job_id = $1) AS on_job,
                    (SELECT coalesce(sum(cost_microcents), 0)::bigint FROM cost
                     WHERE started_at >= date_trunc('day', now(), 'UTC')) AS today",
        )
        .bind(job_id.as_str())
        .fetch_one(&self.pool())
        .await?;
        Ok(Spent {
            on_job: unsigned(row.try_get("on_job")?)?,
            today: unsigned(row.try_get("today")?)?,
        })
    }

    pub(super) async fn note_begun(
        &self,
        job_id: &JobId,
        reservation: &Reservation,
    ) -> Result<Option<NoRoom>, JournalError> {
        let row = sqlx::query("SELECT * FROM assay.reserve_spending($1, $2, $3, $4, $5)")
            .bind(reservation.call)
            .bind(job_id.as_str())
            .bind(signed(reservation.more))
            .bind(reservation.max_on_job.map(signed))
            .bind(reservation.max_today.map(signed))
            .fetch_one(&self.pool())
            .await?;
        if row.try_get("is_reserved")? {
            return Ok(None);
        }
        Ok(Some(NoRoom {
            spent: Spent {
                on_job: unsigned(row.try_get("on_job")?)?,
                today: unsigned(row.try_get("today")?)?,
            },
            under_way_on_job: unsigned(row.try_get("under_way_on_job")?)?,
        }))
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> Result<u64, JournalError> {
    u64::try_from(number).map_err(|_| JournalError::Damaged(format!("a count of {number}")))
}

fn model_call(row: &PgRow) -> Result<ModelCall, JournalError> {
    let text = |column: &str| -> Result<Option<String>, JournalError> {
        let bytes: Option<Vec<u8>> = row.try_get(column)?;
        bytes
            .map(|bytes| {
                String::from_utf8(bytes).map_err(|_| JournalError::Damaged(format!("{column} is no text")))
            })
            .transpose()
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
    let parameters: &str = row.try_get("parameters")?;
    let finish: &str = row.try_get("finish")?;
    let has_answer = row.try_get::<Option<&[u8]>, _>("answer_digest")?.is_some();
    Ok(ModelCall {
        id: row.try_get::<Uuid, _>("id")?,
        grader: row.try_get("grader")?,
        criteria: row.try_get("criteria")?,
        sample: count(row, "sample")?,
        model_asked: row.try_get("model_asked")?,
        model: row.try_get("model")?,
        judge_mode: row.try_get("judge_mode")?,
        parameters: serde_json::from_str(parameters)
            .map_err(|_| JournalError::Damaged("parameters that are no JSON".to_owned()))?,
        prompt: text("prompt")?,
        prompt_digest: digest(row, "prompt_digest")?,
        answer: text("answer")?,
        answer_digest: has_answer.then(|| digest(row, "answer_digest")).transpose()?,
        finish: finish
            .parse()
            .map_err(|_| JournalError::Damaged(format!("finish `{finish}`")))?,
        rejected: row.try_get("rejected")?,
        usage,
        usage_estimated: row.try_get("tokens_estimated")?,
        cost_microcents: tokens("cost_microcents")?,
        key: digest(row, "key")?,
        reused: row.try_get("reused")?,
        started_at: row.try_get::<Time, _>("started_at")?.0,
        ended_at: row.try_get::<Time, _>("ended_at")?.0,
    })
}
