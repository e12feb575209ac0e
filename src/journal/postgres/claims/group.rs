//! Claims what is new, many in one statement.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{ClaimAnswer, Held, NewClaim, milliseconds};
use crate::journal::JournalError;
use crate::journal::postgres::apart::Apart;
use crate::journal::postgres::journal::attempt;
use crate::journal::postgres::time::Time;
use crate::journal::postgres::{PgJournal, between_statements, is_passing};

/// Most claims of one statement, and most bytes of their messages.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

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
        let mut own = Apart::of(&journal);
        tokio::spawn(async move {
            let mut batch = Vec::new();
            let mut put_off = None;
            let mut ticks = between_statements();
            while let Some(first) = match put_off.take() {
                Some(wanted) => Some(wanted),
                None => queue.recv().await,
            } {
                ticks.tick().await;
                put_off = fill(&mut batch, first, &mut queue);
                claim_all(&mut own, &holder, lease, &mut batch).await;
            }
            own.close().await;
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

/// Claims the whole batch and answers each. Trouble that passes is waited out.
async fn claim_all(own: &mut Apart, holder: &str, lease: Duration, batch: &mut Vec<Wanted>) {
    let mut pause = Duration::from_millis(50);
    let fresh = loop {
        let claiming =
            async |connection: &mut PgConnection| insert_claims(connection, holder, lease, batch).await;
        match own.with(claiming).await {
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
            own.journal().claim_one(holder, lease, &new).await
        };
        // Whoever wanted it may have been called off; then its lease ends by itself.
        let _ = answer.send(told);
    }
}

/// Claims what nobody has claimed before, and gives back the ids of the verifications that hold now.
pub(super) async fn insert_claims(
    connection: &mut PgConnection,
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
        .fetch_all(connection)
        .await?;
    Ok(ids)
}
