//! Claims one submission, whatever stands there already.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::group::insert_claims;
use super::{ClaimAnswer, Held, NewClaim, SUSPECT_AFTER, StoredOutcome, milliseconds};
use crate::entry::VerificationId;
use crate::job::JobId;
use crate::journal::postgres::journal::attempt;
use crate::journal::postgres::standing::{EARLY, Standing};
use crate::journal::postgres::time::Time;
use crate::journal::postgres::{PgJournal, is_passing};
use crate::journal::{JournalError, NewVerification};
use crate::outcome::Outcome;

impl PgJournal {
    /// Claims one submission, whatever stands there.
    pub(super) async fn claim_one(
        &self,
        holder: &str,
        lease: Duration,
        new: &NewClaim,
    ) -> Result<ClaimAnswer, JournalError> {
        let mut pause = Duration::from_millis(50);
        loop {
            match self.within(self.readmit(holder, lease, new)).await {
                Err(error) if is_passing(&error) => {
                    tokio::time::sleep(pause).await;
                    pause = (2 * pause).min(Duration::from_secs(2));
                }
                answer => return answer,
            }
        }
    }

    async fn readmit(
        &self,
        holder: &str,
        lease: Duration,
        new: &NewClaim,
    ) -> Result<ClaimAnswer, JournalError> {
        let NewVerification {
            id,
            job_id,
            attempt: number,
            ..
        } = &new.verification;
        let mut transaction = self.pool().begin().await?;
        let standing = Standing::look(&mut transaction, job_id, *number).await?;
        let Some(standing) = standing else {
            // It stood in a batch that broke: alone, it is taken or says what is wrong with it.
            drop(transaction);
            let (answer, _) = oneshot::channel();
            let alone = [(new.clone(), answer)];
            let mut connection = self.pool().acquire().await?;
            let fresh = insert_claims(&mut connection, holder, lease, &alone).await?;
            return if fresh.is_empty() {
                Ok(ClaimAnswer::Busy(EARLY))
            } else {
                Ok(ClaimAnswer::Held(Held {
                    starts: 1,
                    ..Held::default()
                }))
            };
        };
        // A statement whose answer was lost may have claimed it for us.
        if standing.holder == Some(*id) && standing.state == "running" {
            let kept = kept(&mut transaction, job_id, *number).await?;
            let held = standing.held(standing.starts);
            return Ok(ClaimAnswer::Held(Held { kept, ..held }));
        }
        match standing.answer(new)? {
            ClaimAnswer::Held(held) => {
                if let Some(old) = held.took_over {
                    take_over(&mut transaction, old, Some(*id)).await?;
                }
                hold(&mut transaction, holder, lease, new).await?;
                let kept = kept(&mut transaction, job_id, *number).await?;
                transaction.commit().await?;
                Ok(ClaimAnswer::Held(Held { kept, ..held }))
            }
            ClaimAnswer::Ended if standing.state == "decided" => {
                let stored = stored_outcome(&mut transaction, job_id, *number).await?;
                Ok(stored.map_or(ClaimAnswer::Ended, |stored| {
                    ClaimAnswer::Decided(Box::new(stored))
                }))
            }
            answer @ (ClaimAnswer::Busy(_)
            | ClaimAnswer::ForJudge
            | ClaimAnswer::Decided(_)
            | ClaimAnswer::Ended
            | ClaimAnswer::SubmissionChanged
            | ClaimAnswer::PlanChanged
            | ClaimAnswer::KillsWorkers) => Ok(answer),
        }
    }
}

/// The message that a claim keeps.
async fn kept(
    connection: &mut PgConnection,
    job_id: &JobId,
    number: u32,
) -> Result<Option<Arc<Vec<u8>>>, JournalError> {
    let message: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT message FROM assay.hand_in WHERE job_id = $1 AND attempt = $2")
            .bind(job_id.as_str())
            .bind(attempt(number)?)
            .fetch_optional(connection)
            .await?;
    Ok(message.map(Arc::new))
}

/// Ends a verification whose lease has ended: into its row goes who took over, if anybody did, and how far its chain had
/// come. Its claim must be locked by an earlier statement: what its owner committed until then is seen only by a later one.
pub(in crate::journal::postgres) async fn take_over(
    connection: &mut PgConnection,
    old: VerificationId,
    new: Option<VerificationId>,
) -> Result<(), JournalError> {
    sqlx::query(
        "UPDATE assay.verification v
         SET ended_at = now(), outcome = 'taken-over', taken_over_by = $2, entries = coalesce(last.seq + 1, 0),
             head = last.hash
         FROM (SELECT 1) one LEFT JOIN LATERAL (
             SELECT seq, hash FROM assay.log WHERE verification_id = $1 ORDER BY seq DESC LIMIT 1
         ) last ON true
         WHERE v.id = $1 AND v.ended_at IS NULL",
    )
    .bind(old.uuid())
    .bind(new.map(VerificationId::uuid))
    .execute(connection)
    .await?;
    Ok(())
}

async fn hold(
    connection: &mut PgConnection,
    holder: &str,
    lease: Duration,
    new: &NewClaim,
) -> Result<(), JournalError> {
    let NewVerification {
        id,
        job_id,
        attempt: number,
        plan,
        submission,
        started_at,
        ..
    } = &new.verification;
    sqlx::query(
        // The run of a suspect counts once it is alone (`begins_alone`): until then others may kill the worker.
        "UPDATE assay.claim
         SET state = 'running', verification_id = $3, holder = $4, starts = least(starts + 1, $6),
             due_at = now() + $5 * interval '1 millisecond'
         WHERE job_id = $1 AND attempt = $2",
    )
    .bind(job_id.as_str())
    .bind(attempt(*number)?)
    .bind(id.uuid())
    .bind(holder)
    .bind(milliseconds(lease))
    .bind(i64::from(SUSPECT_AFTER))
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO assay.verification (id, job_id, attempt, cause, plan_name, plan_digest, submission, worker,
                                         started_at)
         VALUES ($1, $2, $3, 'submission', $4, $5, $6, $7, $8)",
    )
    .bind(id.uuid())
    .bind(job_id.as_str())
    .bind(attempt(*number)?)
    .bind(&plan.name)
    .bind(plan.digest.as_bytes())
    .bind(submission.as_bytes())
    .bind(holder)
    .bind(Time(*started_at))
    .execute(connection)
    .await?;
    Ok(())
}

pub(in crate::journal::postgres) async fn stored_outcome(
    connection: &mut PgConnection,
    job_id: &JobId,
    number: u32,
) -> Result<Option<StoredOutcome>, JournalError> {
    let row = sqlx::query(
        "SELECT * FROM assay.decision WHERE job_id = $1 AND attempt = $2 AND trigger = 'submission'",
    )
    .bind(job_id.as_str())
    .bind(attempt(number)?)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(outcome_of).transpose()
}

/// A row of `assay.decision`.
pub(in crate::journal::postgres) fn outcome_of(row: &PgRow) -> Result<StoredOutcome, JournalError> {
    let outcome: &str = row.try_get("outcome")?;
    Ok(StoredOutcome {
        verification_id: row.try_get::<Uuid, _>("verification_id")?.into(),
        outcome: match outcome {
            "verified" => Outcome::Verified,
            "retry" => Outcome::Retry,
            other => return Err(JournalError::Damaged(format!("outcome `{other}`"))),
        },
        message: row.try_get("message")?,
        traceparent: row.try_get("traceparent")?,
        outbox: None,
    })
}
