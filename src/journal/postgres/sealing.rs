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
const LARGEST_CHECKPOINT: u32 = 5_000;

/// Verifications that are looked at, or written, at a time.
const PORTION: usize = 500;

/// Most verifications that are looked at for one checkpoint.
const LOOKED_AT: usize = 20_000;

/// Longest pause after a portion.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// A place among the verifications: before it lie those that began earlier. Ids of verifications are UUIDs of version 7 (RFC 9562,
/// 5.7), whose first 48 bits are the milliseconds since 1970: their order is that of the beginnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(Uuid);

impl Place {
    /// Before all of them.
    pub const BEGINNING: Self = Self(Uuid::nil());

    /// Before those that began at this time.
    pub fn at(time: Timestamp) -> Self {
        let milliseconds = u128::try_from(time.as_millisecond()).unwrap_or(0);
        Self(Uuid::from_u128(milliseconds << 80))
    }

    fn before(id: Uuid) -> Self {
        Self(Uuid::from_u128(id.as_u128().saturating_sub(1)))
    }
}

/// Where to begin looking for what has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookFrom {
    /// There.
    Place(Place),
    /// So long before the last checkpoint; without one, at the beginning.
    BeforeLast(Duration),
}

impl LookFrom {
    fn resolved(self, last: Option<&Checkpoint>) -> Place {
        match (self, last) {
            (Self::Place(place), _) => place,
            (Self::BeforeLast(time), Some(last)) => {
                Place::at(last.made_at.saturating_sub(time).unwrap_or(Timestamp::MIN))
            }
            (Self::BeforeLast(_), None) => Place::BEGINNING,
        }
    }
}

/// How long after the time it carries a decision is there for all to see: far longer than that takes.
const COMMITS_WITHIN: Duration = Duration::from_secs(30 * 60);

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
            let mut found = ended(&mut transaction, from.resolved(last.as_ref())).await?;
            let since = last
                .as_ref()
                .filter(|_| from != LookFrom::Place(Place::BEGINNING));
            let room = room(&found.leaves);
            found
                .leaves
                .extend(published(&mut transaction, since.map(|last| last.made_at), room).await?);
            let sealed = last.as_ref().and_then(|last| last.erasures);
            let new = erasures_after(&mut transaction, sealed.map_or(0, |sealed| sealed.count)).await?;
            let looked = |made: Option<Checkpoint>| {
                // There may be more of what was published.
                let is_full = made
                    .as_ref()
                    .is_some_and(|made| made.count >= u64::from(LARGEST_CHECKPOINT));
                Some(Looked {
                    made,
                    on: (is_full || !found.is_all).then_some(Place(found.through)),
                    open: found.first_open.map(Place::before),
                })
            };
            if found.leaves.is_empty() && new.is_empty() {
                transaction.rollback().await?;
                return Ok(looked(None));
            }
            let made = sign(last.as_ref(), &found.leaves, chained_erasures(sealed, &new));
            insert(&mut transaction, &made, &found.leaves).await?;
            transaction.commit().await?;
            Ok(looked(Some(made)))
        };
        self.within(sealing).await
    }
}

/// What a walk over verifications came by.
struct Found {
    leaves: Vec<Leaf>,
    through: Uuid,
    is_all: bool,
    first_open: Option<Uuid>,
}

/// Goes through the verifications from there on for those that have ended and were never sealed.
///
/// In portions by the primary key, whatever a planner thinks of it: a join with all that was ever sealed takes ever longer.
async fn ended(connection: &mut PgConnection, from: Place) -> Result<Found, JournalError> {
    let mut found = Found {
        leaves: Vec::new(),
        through: from.0,
        is_all: false,
        first_open: None,
    };
    for _ in 0..LOOKED_AT / PORTION {
        let began = Instant::now();
        let portion = room(&found.leaves).min(PORTION);
        let rows = sqlx::query(
            "SELECT v.id, v.ended_at IS NULL AS is_open, l.is_sealed IS NOT NULL AS is_sealed
             FROM (SELECT id, ended_at FROM assay.verification WHERE id > $1 ORDER BY id LIMIT $2) v
             LEFT JOIN LATERAL (SELECT true AS is_sealed FROM assay.checkpoint_leaf l
                                WHERE l.verification_id = v.id LIMIT 1) l ON true
             ORDER BY v.id",
        )
        .bind(found.through)
        .bind(i64::try_from(portion).unwrap_or(i64::MAX))
        .fetch_all(&mut *connection)
        .await?;
        let mut unsealed = Vec::new();
        for row in &rows {
            found.through = row.try_get("id")?;
            if row.try_get("is_open")? {
                found.first_open.get_or_insert(found.through);
            } else if !row.try_get::<bool, _>("is_sealed")? {
                unsealed.push(found.through);
            }
        }
        found.leaves.extend(leaves(connection, &unsealed).await?);
        found.is_all = rows.len() < portion;
        if found.is_all || room(&found.leaves) == 0 {
            break;
        }
        give_way(began).await;
    }
    Ok(found)
}

/// What was sealed before its decision was published, and published since shortly before `since`.
async fn published(
    connection: &mut PgConnection,
    since: Option<Timestamp>,
    room: usize,
) -> Result<Vec<Leaf>, JournalError> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT d.verification_id FROM assay.decision d
         WHERE d.trigger = 'dispute'
           AND d.decided_at >= coalesce($1, '-infinity'::timestamptz) - $2 * interval '1 ms'
           AND EXISTS (SELECT FROM assay.checkpoint_leaf l WHERE l.verification_id = d.verification_id)
           AND NOT EXISTS (SELECT FROM assay.checkpoint_leaf l
                           WHERE l.verification_id = d.verification_id AND l.decision IS NOT NULL)
         ORDER BY d.verification_id LIMIT $3",
    )
    .bind(since.map(Time))
    .bind(milliseconds(COMMITS_WITHIN))
    .bind(i64::try_from(room).unwrap_or(i64::MAX))
    .fetch_all(&mut *connection)
    .await?;
    let mut published = Vec::new();
    for some in ids.chunks(PORTION) {
        published.extend(leaves(connection, some).await?);
    }
    Ok(published)
}

/// Leaves that a checkpoint can still take.
fn room(leaves: &[Leaf]) -> usize {
    (LARGEST_CHECKPOINT as usize).saturating_sub(leaves.len())
}

/// How these ended, and what they decided.
async fn leaves(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Leaf>, JournalError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let decided = decisions(connection, ids).await?;
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{SELECT_VERIFICATION} WHERE v.id = ANY ($1) AND v.ended_at IS NOT NULL ORDER BY v.id"
    )))
    .bind(ids)
    .fetch_all(connection)
    .await?;
    let leaf = |row| {
        let row = verification(row)?;
        Ok(Leaf {
            verification_id: row.id,
            head: row.head,
            state: row.outcome.unwrap_or_default(),
            decision: decided.get(&row.id.uuid()).copied(),
        })
    };
    rows.iter().map(leaf).collect()
}

/// Digests of what these decided.
async fn decisions(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Digest>, JournalError> {
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
