//! Makes the chain of checkpoints: one process at a time.

mod ended;

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use tokio::time::Instant;

pub use self::ended::{LookFrom, Place};
use self::ended::{ended, published, room, walked};

use super::PgJournal;
use super::checkpoints::{checkpoint, number};
use super::claims::milliseconds;
use super::erasures::{chained_erasures, erasures_after};
use super::time::Time;
use crate::checkpoint::{Checkpoint, Leaf, SealedErasures};
use crate::journal::JournalError;

/// The advisory lock of whoever makes a checkpoint, in the space of one key that all processes on the database share:
/// the first eight bytes of "assay-ck" as a number.
const LOCK: i64 = i64::from_be_bytes(*b"assay-ck");

/// Most leaves of one checkpoint: its tree is computed in memory, and its transaction stays open while they are written.
const LARGEST_CHECKPOINT: u32 = 5_000;

/// Verifications that are looked at, or written, at a time.
const PORTION: usize = 200;

/// Longest pause after a portion.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// What came of looking at what there is, or at a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The checkpoint over it; none where nothing has ended or was erased that no other covers.
    pub made: Option<Checkpoint>,
    /// Where to go on; none: that was all there is.
    pub on: Option<Place>,
    /// Where the first of those that were looked at lies that has not ended.
    pub open: Option<Place>,
}

impl PgJournal {
    /// Makes the next checkpoint, if the last is older than `every`: `sign` is given the last, what has ended since, and all
    /// that was ever erased.
    ///
    /// Everything that has ended, stands in none, and does not lie before `from`, is taken, up to the size of a checkpoint:
    /// whatever commits too late for this one is simply in the next, so that the order of commits does not matter.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn seal(
        &self,
        every: Duration,
        from: LookFrom,
        sign: impl FnOnce(Option<&Checkpoint>, &[Leaf], Option<SealedErasures>) -> Checkpoint + Send,
    ) -> Result<Option<Looked>, JournalError> {
        let sealing = async {
            let mut transaction = self.pool().begin().await?;
            let ours: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
                .bind(LOCK)
                .fetch_one(&mut *transaction)
                .await?;
            // Ended here and now: dropped, it would keep the lock until its connection is used again.
            if !ours {
                transaction.rollback().await?;
                return Ok(None);
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
                return Ok(None);
            }
            let last = row.as_ref().map(checkpoint).transpose()?;
            let Some(place) = from.resolved(&mut transaction, last.as_ref()).await? else {
                transaction.rollback().await?;
                return Ok(None);
            };
            let mut found = ended(&mut transaction, place).await?;
            let since = last.as_ref().filter(|_| place != Place::BEGINNING);
            let room = room(&found.leaves);
            found
                .leaves
                .extend(published(&mut transaction, since.map(|last| last.made_at), room).await?);
            let sealed = last.as_ref().and_then(|last| last.erasures);
            let new = erasures_after(&mut transaction, sealed.map_or(0, |sealed| sealed.count)).await?;
            let made = if found.leaves.is_empty() && new.is_empty() {
                None
            } else {
                let made = sign(last.as_ref(), &found.leaves, chained_erasures(sealed, &new));
                insert(&mut transaction, &made, &found.leaves).await?;
                Some(made)
            };
            // Where a checkpoint is full, there may be more of what was published.
            let is_full = found.leaves.len() >= LARGEST_CHECKPOINT as usize;
            let on = (is_full || !found.is_all).then_some(Place(found.through));
            if let LookFrom::Walk(_) = from {
                walked(&mut transaction, on).await?;
            }
            transaction.commit().await?;
            let open = found.first_open.map(Place::before);
            Ok(Some(Looked { made, on, open }))
        };
        self.within(sealing).await
    }
}

/// Waits twice as long as the work since `began` took: of a busy deployment's processors, sealing takes a third of one, and those
/// whose verdicts are due hardly notice. Where a portion takes long, the pause does not grow with it: sealing has to keep up.
async fn give_way(began: Instant) {
    tokio::time::sleep((2 * began.elapsed()).min(LONGEST_PAUSE)).await;
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
