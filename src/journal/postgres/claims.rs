//! Claims: who may grade a submission. A claim keeps the submission, its lease runs on the database's clock, and the
//! verification's id is the fencing token of whoever holds it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::journal::{attempt, count};
use super::standing::{EARLY, Standing};
use super::time::Time;
use super::{PgJournal, is_passing};
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::job::JobId;
use crate::journal::{JournalError, NewVerification};
use crate::outcome::Outcome;

/// Runs that never ended, after which a submission is suspected of killing its worker and runs alone.
pub const SUSPECT_AFTER: u32 = 3;

/// Most claims of one statement, and most bytes of their messages.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// A submission that somebody wants to grade.
#[derive(Debug, Clone)]
pub struct NewClaim {
    /// The run that would hold it.
    pub verification: NewVerification,
    /// Digest of how the message names its plan.
    pub plan_choice: Digest,
    /// The message, with the whole job.
    pub message: Arc<Vec<u8>>,
    /// W3C trace context of the message.
    pub traceparent: Option<String>,
    /// Whether the message comes from the judges' lane.
    pub has_judge: bool,
}

/// A claim that is held, and what is known of earlier runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// Runs begun without an end, this one included; more than [`SUSPECT_AFTER`]: it runs alone.
    pub starts: u32,
    /// Runs that ended in trouble of ours.
    pub tries: u32,
    /// The attachment whose host said last that it does not exist.
    pub not_found: Option<NotFound>,
    /// The run that was taken over, because its lease had ended.
    pub took_over: Option<VerificationId>,
    /// How long ago the submission was first claimed.
    pub received_ago: Duration,
    /// The message that was claimed first: what is judged, whatever the one at hand or the marketplace say by now. None where
    /// this claim is the first.
    pub kept: Option<Arc<Vec<u8>>>,
}

/// An attachment whose host says that it does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFound {
    /// Digest of its URL.
    pub file: Digest,
    /// Runs in which its host said so.
    pub times: u32,
    /// How long ago the first was.
    pub since: Duration,
}

/// A decision as it was stored, to be published again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOutcome {
    /// The verification that decided.
    pub verification_id: VerificationId,
    /// The job.
    pub job_id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// The answer.
    pub outcome: Outcome,
    /// The message with its receipt.
    pub message: Vec<u8>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// What became of wanting a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimAnswer {
    /// It is ours.
    Held(Held),
    /// Somebody grades it, or it waits: come back after this long.
    Busy(Duration),
    /// It waits for a judge, and its message belongs into the judges' lane.
    ForJudge,
    /// It is decided.
    Decided(Box<StoredOutcome>),
    /// It is parked or closed already.
    Ended,
    /// The same attempt was claimed with other content.
    SubmissionChanged,
    /// The same attempt was claimed with another plan.
    PlanChanged,
    /// It has been run alone, and did not end even then.
    KillsWorkers,
}

type Wanted = (NewClaim, oneshot::Sender<Result<ClaimAnswer, JournalError>>);

/// Claims submissions, many in one statement. Cheap to clone; ends when every clone is dropped.
#[derive(Clone)]
pub struct Claims {
    wanted: mpsc::Sender<Wanted>,
}

impl Claims {
    /// Starts claiming for the worker `holder`, with leases of that length.
    pub fn start(journal: PgJournal, holder: String, lease: Duration) -> Self {
        let (wanted, mut queue) = mpsc::channel::<Wanted>(2 * BATCH);
        tokio::spawn(async move {
            let mut batch = Vec::new();
            let mut put_off = None;
            while let Some(first) = match put_off.take() {
                Some(wanted) => Some(wanted),
                None => queue.recv().await,
            } {
                put_off = fill(&mut batch, first, &mut queue);
                journal.claim_all(&holder, lease, &mut batch).await;
            }
        });
        Self { wanted }
    }

    /// Claims a submission; waits while the database cannot be reached.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn claim(&self, new: NewClaim) -> Result<ClaimAnswer, JournalError> {
        let (answer, answered) = oneshot::channel();
        let lost = || JournalError::Lost("the claimer has ended".to_owned());
        self.wanted.send((new, answer)).await.map_err(|_| lost())?;
        answered.await.map_err(|_| lost())?
    }
}

/// Takes what waits into one batch; gives back the first that does not fit: a second claim of the same attempt, or one too
/// many.
fn fill(batch: &mut Vec<Wanted>, first: Wanted, queue: &mut mpsc::Receiver<Wanted>) -> Option<Wanted> {
    let mut bytes = first.0.message.len();
    batch.push(first);
    while batch.len() < BATCH && bytes < BATCH_BYTES {
        let Ok(next) = queue.try_recv() else { return None };
        let (id, attempt) = (&next.0.verification.job_id, next.0.verification.attempt);
        let same =
            |(other, _): &Wanted| other.verification.attempt == attempt && other.verification.job_id == *id;
        if batch.iter().any(same) {
            return Some(next);
        }
        bytes += next.0.message.len();
        batch.push(next);
    }
    None
}

impl PgJournal {
    /// Claims the whole batch and answers each. Trouble that passes is waited out.
    async fn claim_all(&self, holder: &str, lease: Duration, batch: &mut Vec<Wanted>) {
        let mut pause = Duration::from_millis(50);
        let fresh = loop {
            match self.within(self.insert_claims(holder, lease, batch)).await {
                Err(error) if is_passing(&error) => {
                    tracing::warn!(error = %crate::causes::in_full(&error), "claims wait for the database");
                    tokio::time::sleep(pause).await;
                    pause = (2 * pause).min(Duration::from_secs(2));
                }
                fresh => break fresh,
            }
        };
        // Where one claim breaks the statement, the others are still taken, one by one.
        let fresh = fresh.unwrap_or_else(|error| {
            tracing::warn!(error = %crate::causes::in_full(&error), claims = batch.len(), "claimed one by one");
            Vec::new()
        });
        for (new, answer) in batch.drain(..) {
            let told = if fresh.contains(&new.verification.id.uuid()) {
                Ok(ClaimAnswer::Held(Held {
                    starts: 1,
                    ..Held::default()
                }))
            } else {
                self.claim_one(holder, lease, &new).await
            };
            // Whoever wanted it may have been called off; then its lease ends by itself.
            let _ = answer.send(told);
        }
    }

    /// Claims what nobody has claimed before, and gives back the ids of the verifications that hold now.
    async fn insert_claims(
        &self,
        holder: &str,
        lease: Duration,
        batch: &[Wanted],
    ) -> Result<Vec<Uuid>, JournalError> {
        let new = || batch.iter().map(|(new, _)| new);
        let attempts: Result<Vec<i32>, _> = new().map(|new| attempt(new.verification.attempt)).collect();
        let ids = sqlx::query_scalar(
            "WITH new AS (
                SELECT * FROM unnest($1::text[], $2::int4[], $3::bytea[], $4::bytea[], $5::bytea[], $6::text[],
                                     $7::uuid[], $8::text[], $9::bytea[], $10::timestamptz[])
                AS new (job_id, attempt, submission, plan_choice, message, traceparent, verification_id, plan_name,
                        plan_digest, started_at)
            ), fresh AS (
                INSERT INTO assay.claim (job_id, attempt, submission, plan_choice, traceparent, state,
                                         verification_id, holder, due_at, starts)
                SELECT job_id, attempt, submission, plan_choice, traceparent, 'running',
                       verification_id, $11, now() + $12 * interval '1 millisecond', 1
                FROM new
                ON CONFLICT (job_id, attempt) DO NOTHING
                RETURNING verification_id
            ), kept AS (
                INSERT INTO assay.hand_in (job_id, attempt, message)
                SELECT job_id, attempt, message FROM new JOIN fresh USING (verification_id)
            )
            INSERT INTO assay.verification (id, job_id, attempt, cause, plan_name, plan_digest, submission, worker,
                                            started_at)
            SELECT verification_id, job_id, attempt, 'submission', plan_name, plan_digest, submission, $11, started_at
            FROM new JOIN fresh USING (verification_id)
            RETURNING id",
        )
        .bind(new().map(|new| new.verification.job_id.as_str()).collect::<Vec<_>>())
        .bind(attempts?)
        .bind(new().map(|new| new.verification.submission.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(new().map(|new| new.plan_choice.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(new().map(|new| new.message.as_slice()).collect::<Vec<_>>())
        .bind(new().map(|new| new.traceparent.as_deref()).collect::<Vec<_>>())
        .bind(new().map(|new| new.verification.id.uuid()).collect::<Vec<_>>())
        .bind(new().map(|new| new.verification.plan.name.as_str()).collect::<Vec<_>>())
        .bind(new().map(|new| new.verification.plan.digest.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(new().map(|new| Time(new.verification.started_at)).collect::<Vec<_>>())
        .bind(holder)
        .bind(milliseconds(lease))
        .fetch_all(&self.pool())
        .await?;
        Ok(ids)
    }

    /// Claims one submission, whatever stands there.
    async fn claim_one(
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
            let fresh = self.insert_claims(holder, lease, &alone).await?;
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
pub(super) async fn take_over(
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

pub(super) async fn stored_outcome(
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
pub(super) fn outcome_of(row: &PgRow) -> Result<StoredOutcome, JournalError> {
    let outcome: &str = row.try_get("outcome")?;
    Ok(StoredOutcome {
        verification_id: row.try_get::<Uuid, _>("verification_id")?.into(),
        job_id: JobId::new(row.try_get::<String, _>("job_id")?),
        attempt: count(row, "attempt")?,
        outcome: match outcome {
            "verified" => Outcome::Verified,
            "retry" => Outcome::Retry,
            other => return Err(JournalError::Damaged(format!("outcome `{other}`"))),
        },
        message: row.try_get("message")?,
        traceparent: row.try_get("traceparent")?,
    })
}

pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
