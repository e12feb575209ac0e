//! Makes the chain of checkpoints: one process at a time.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use super::PgJournal;
use super::checkpoints::{checkpoint, number};
use super::claims::milliseconds;
use super::erasures::{chained_erasures, erasures_after};
use super::journal::{SELECT_VERIFICATION, verification};
use super::time::Time;
use crate::checkpoint::{Checkpoint, Leaf, SealedErasures, decision_digest};
use crate::digest::Digest;
use crate::journal::JournalError;

/// The advisory lock of whoever makes a checkpoint, in the space of one key that all processes on the database share:
/// the first eight bytes of "assay-ck" as a number.
const LOCK: i64 = i64::from_be_bytes(*b"assay-ck");

/// Most leaves of one checkpoint: its tree is computed in memory, and its transaction stays open while they are written.
pub const LARGEST_CHECKPOINT: u32 = 5_000;

/// Leaves that are read or written at a time.
const PORTION: usize = 500;

/// Longest pause between two of these.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// What came of wanting to make a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sealing {
    /// It was made.
    Made(Box<Checkpoint>),
    /// Nothing has ended or was erased since the last.
    NothingNew,
    /// The last one is younger than a checkpoint's time, or somebody else makes one right now.
    NotDue,
}

impl PgJournal {
    /// Makes the next checkpoint, if the last is older than `every`: `sign` is given the last, what has ended since, and all
    /// that was ever erased.
    ///
    /// Everything that has ended, began since `look_back` before the last checkpoint, and stands in none, is taken:
    /// whatever commits too late for this one is simply in the next, so that the order of commits does not matter.
    /// `everything` looks at all verifications, however long ago they began.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn seal(
        &self,
        (every, look_back, everything): (Duration, Duration, bool),
        sign: impl FnOnce(Option<&Checkpoint>, &[Leaf], Option<SealedErasures>) -> Checkpoint + Send,
    ) -> Result<Sealing, JournalError> {
        let sealing = async {
            let mut transaction = self.pool().begin().await?;
            let ours: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
                .bind(LOCK)
                .fetch_one(&mut *transaction)
                .await?;
            // Ended here and now: dropped, it would keep the lock until its connection is used again.
            if !ours {
                transaction.rollback().await?;
                return Ok(Sealing::NotDue);
            }
            let row = sqlx::query(
                "SELECT *, made_at > now() - $1 * interval '1 ms' AS is_young FROM assay.checkpoint
                 ORDER BY number DESC LIMIT 1",
            )
            .bind(milliseconds(every))
            .fetch_optional(&mut *transaction)
            .await?;
            if let Some(row) = &row
                && row.try_get("is_young")?
            {
                transaction.rollback().await?;
                return Ok(Sealing::NotDue);
            }
            let last = row.as_ref().map(checkpoint).transpose()?;
            let since = last.as_ref().filter(|_| !everything).map(|last| last.made_at);
            let leaves = unsealed(&mut transaction, since, look_back).await?;
            let sealed = last.as_ref().and_then(|last| last.erasures);
            let new = erasures_after(&mut transaction, sealed.map_or(0, |sealed| sealed.count)).await?;
            if leaves.is_empty() && new.is_empty() {
                transaction.rollback().await?;
                return Ok(Sealing::NothingNew);
            }
            let made = sign(last.as_ref(), &leaves, chained_erasures(sealed, &new));
            insert(&mut transaction, &made, &leaves).await?;
            transaction.commit().await?;
            Ok(Sealing::Made(Box::new(made)))
        };
        self.within(sealing).await
    }
}

async fn unsealed(
    connection: &mut PgConnection,
    since: Option<Timestamp>,
    look_back: Duration,
) -> Result<Vec<Leaf>, JournalError> {
    let ended = "v.started_at >= coalesce($1, '-infinity'::timestamptz) - $2 * interval '1 ms'
        AND NOT EXISTS (SELECT FROM assay.checkpoint_leaf l WHERE l.verification_id = v.id)";
    // Sealed before its decision was published.
    let published = "v.id IN (
            SELECT d.verification_id FROM assay.decision d
            WHERE d.trigger = 'dispute'
              AND d.decided_at >= coalesce($1, '-infinity'::timestamptz) - $2 * interval '1 ms')
        AND EXISTS (SELECT FROM assay.checkpoint_leaf l WHERE l.verification_id = v.id)
        AND NOT EXISTS (SELECT FROM assay.checkpoint_leaf l WHERE l.verification_id = v.id AND l.decision IS NOT NULL)";
    let mut leaves: Vec<Leaf> = Vec::new();
    for which in [ended, published] {
        let room = i64::from(LARGEST_CHECKPOINT) - i64::try_from(leaves.len()).unwrap_or(i64::MAX);
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{SELECT_VERIFICATION} WHERE v.ended_at IS NOT NULL AND {which} ORDER BY v.ended_at, v.id LIMIT $3"
        )))
        .bind(since.map(Time))
        .bind(milliseconds(look_back))
        .bind(room)
        .fetch_all(&mut *connection)
        .await?;
        for row in &rows {
            let row = verification(row)?;
            leaves.push(Leaf {
                verification_id: row.id,
                head: row.head,
                state: row.outcome.unwrap_or_default(),
                decision: None,
            });
        }
    }
    for some in leaves.chunks_mut(PORTION) {
        let began = Instant::now();
        let decided = decisions(connection, some).await?;
        for leaf in some {
            leaf.decision = decided.get(&leaf.verification_id.uuid()).copied();
        }
        give_way(began).await;
    }
    Ok(leaves)
}

/// Digests of what these decided.
async fn decisions(
    connection: &mut PgConnection,
    leaves: &[Leaf],
) -> Result<HashMap<Uuid, Digest>, JournalError> {
    let ids: Vec<_> = leaves.iter().map(|leaf| leaf.verification_id.uuid()).collect();
    let mut decided = HashMap::new();
    let mut rows =
        sqlx::query("SELECT verification_id, message FROM assay.decision WHERE verification_id = ANY ($1)")
            .bind(ids)
            .fetch(connection);
    // One at a time: messages are long, and only a digest of each is kept.
    while let Some(row) = rows.try_next().await? {
        let message: &[u8] = row.try_get("message")?;
        decided.insert(row.try_get("verification_id")?, decision_digest(message));
    }
    Ok(decided)
}

/// Waits for as long as the work since `began` took: of a busy deployment's processors, sealing takes half of one at most, and
/// those whose verdicts are due do not notice. A slow server is not made slower still.
async fn give_way(began: Instant) {
    tokio::time::sleep(began.elapsed().min(LONGEST_PAUSE)).await;
}

async fn insert(
    connection: &mut PgConnection,
    made: &Checkpoint,
    leaves: &[Leaf],
) -> Result<(), JournalError> {
    sqlx::query(
        "INSERT INTO assay.checkpoint (number, deployment, previous, count, total, root, made_at, kid, signature,
                                       erasures, erasures_digest)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(number(made.number)?)
    .bind(&made.deployment)
    .bind(made.previous.as_ref().map(|digest| digest.as_bytes().as_slice()))
    .bind(number(made.count)?)
    .bind(number(made.total)?)
    .bind(made.root.as_bytes())
    .bind(Time(made.made_at))
    .bind(&made.kid)
    .bind(&made.signature)
    .bind(made.erasures.map(|erasures| number(erasures.count)).transpose()?)
    .bind(made.erasures.as_ref().map(|erasures| erasures.digest.as_bytes().as_slice()))
    .execute(&mut *connection)
    .await?;
    for (portion, some) in leaves.chunks(PORTION).enumerate() {
        let began = Instant::now();
        insert_leaves(connection, made.number, portion * PORTION, some).await?;
        give_way(began).await;
    }
    Ok(())
}

/// Inserts leaves that stand in the tree from the place `first` on.
async fn insert_leaves(
    connection: &mut PgConnection,
    checkpoint: u64,
    first: usize,
    leaves: &[Leaf],
) -> Result<(), JournalError> {
    sqlx::query(
        "INSERT INTO assay.checkpoint_leaf (verification_id, checkpoint, place, head, state, decision)
         SELECT id, $1, $6 + place - 1, head, state, decision
         FROM unnest($2::uuid[], $3::bytea[], $4::text[], $5::bytea[]) WITH ORDINALITY
         AS leaf (id, head, state, decision, place)",
    )
    .bind(number(checkpoint)?)
    .bind(
        leaves
            .iter()
            .map(|leaf| leaf.verification_id.uuid())
            .collect::<Vec<_>>(),
    )
    .bind(
        leaves
            .iter()
            .map(|leaf| leaf.head.as_bytes().as_slice())
            .collect::<Vec<_>>(),
    )
    .bind(leaves.iter().map(|leaf| leaf.state.as_str()).collect::<Vec<_>>())
    .bind(
        leaves
            .iter()
            .map(|leaf| leaf.decision.as_ref().map(|digest| digest.as_bytes().as_slice()))
            .collect::<Vec<_>>(),
    )
    .bind(i64::try_from(first).unwrap_or(i64::MAX))
    .execute(connection)
    .await?;
    Ok(())
}
