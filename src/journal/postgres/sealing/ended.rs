//! Finds what has ended and stands in no checkpoint.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use super::{LARGEST_CHECKPOINT, PORTION, give_way};
use crate::checkpoint::{Checkpoint, Leaf, decision_digest};
use crate::digest::Digest;
use crate::journal::JournalError;
use crate::journal::postgres::claims::milliseconds;
use crate::journal::postgres::journal::{SELECT_VERIFICATION, digest, verification};
use crate::journal::postgres::time::Time;

/// Most verifications that are looked at for one checkpoint.
const LOOKED_AT: usize = 20_000;

/// Longest time of that: what was found by then is sealed, however slow the database is.
const LONGEST_WALK: Duration = Duration::from_secs(5);

/// How long after the time it carries a decision is there for all to see: far longer than that takes.
const COMMITS_WITHIN: Duration = Duration::from_secs(30 * 60);

/// A place among the verifications: before it lie those that began earlier. Ids of verifications are UUIDs of version 7 (RFC 9562,
/// 5.7), whose first 48 bits are the milliseconds since 1970: their order is that of the beginnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub(super) Uuid);

impl Place {
    /// Before all of them.
    pub const BEGINNING: Self = Self(Uuid::nil());

    /// Before those that began at this time.
    pub fn at(time: Timestamp) -> Self {
        let milliseconds = u128::try_from(time.as_millisecond()).unwrap_or(0);
        Self(Uuid::from_u128(milliseconds << 80))
    }

    pub(super) fn before(id: Uuid) -> Self {
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
    /// Where the walk through all of them stands that the workers share, unless it went on within this time. After the end comes the
    /// beginning.
    Walk(Duration),
}

impl LookFrom {
    /// The place; `None`: the walk went on only just now.
    pub(super) async fn resolved(
        self,
        connection: &mut PgConnection,
        last: Option<&Checkpoint>,
    ) -> Result<Option<Place>, JournalError> {
        Ok(match (self, last) {
            (Self::Place(place), _) => Some(place),
            (Self::BeforeLast(time), Some(last)) => Some(Place::at(
                last.made_at.saturating_sub(time).unwrap_or(Timestamp::MIN),
            )),
            (Self::BeforeLast(_), None) => Some(Place::BEGINNING),
            (Self::Walk(every), _) => sqlx::query_scalar(
                "SELECT place FROM assay.seal_walk WHERE walked_at < now() - $1 * interval '1 ms'",
            )
            .bind(milliseconds(every))
            .fetch_optional(connection)
            .await?
            .map(Place),
        })
    }
}

/// Notes how far the walk through everything has come.
pub(super) async fn walked(connection: &mut PgConnection, on: Option<Place>) -> Result<(), JournalError> {
    sqlx::query("UPDATE assay.seal_walk SET place = $1, walked_at = now()")
        .bind(on.unwrap_or(Place::BEGINNING).0)
        .execute(connection)
        .await?;
    Ok(())
}

/// What a walk over verifications came by.
pub(super) struct Found {
    pub(super) leaves: Vec<Leaf>,
    pub(super) through: Uuid,
    pub(super) is_all: bool,
    pub(super) first_open: Option<Uuid>,
}

/// Goes through the verifications from there on for those that have ended and were never sealed.
///
/// In portions by the primary key, whatever a planner thinks of it: a join with all that was ever sealed takes ever longer.
pub(super) async fn ended(connection: &mut PgConnection, from: Place) -> Result<Found, JournalError> {
    let mut found = Found {
        leaves: Vec::new(),
        through: from.0,
        is_all: false,
        first_open: None,
    };
    let walking = Instant::now();
    for _ in 0..LOOKED_AT / PORTION {
        let began = Instant::now();
        let portion = room(&found.leaves).min(PORTION);
        found.is_all = look_at(connection, &mut found, portion).await? < portion;
        if found.is_all || room(&found.leaves) == 0 || walking.elapsed() > LONGEST_WALK {
            break;
        }
        give_way(began).await;
    }
    Ok(found)
}

/// Looks at the next `portion` verifications; gives back how many there are.
async fn look_at(
    connection: &mut PgConnection,
    found: &mut Found,
    portion: usize,
) -> Result<usize, JournalError> {
    let (mut looked_at, mut headless) = (0, Vec::new());
    let mut rows = sqlx::query(
        "SELECT v.id, v.ended_at IS NULL AS is_open, v.head, v.outcome, l.is_sealed IS NOT NULL AS is_sealed, d.message
         FROM (SELECT id, ended_at, head, outcome FROM assay.verification WHERE id > $1 ORDER BY id LIMIT $2) v
         LEFT JOIN LATERAL (SELECT true AS is_sealed FROM assay.checkpoint_leaf l
                            WHERE l.verification_id = v.id LIMIT 1) l ON true
         LEFT JOIN LATERAL (SELECT d.message FROM assay.decision d
                            WHERE v.ended_at IS NOT NULL AND l.is_sealed IS NULL
                              AND d.verification_id = v.id LIMIT 1) d ON true
         ORDER BY v.id",
    )
    .bind(found.through)
    .bind(i64::try_from(portion).unwrap_or(i64::MAX))
    .fetch(&mut *connection);
    // One at a time: messages are long, and only a digest of each is kept.
    while let Some(row) = rows.try_next().await? {
        looked_at += 1;
        found.through = row.try_get("id")?;
        if row.try_get("is_open")? {
            found.first_open.get_or_insert(found.through);
        } else if row.try_get("is_sealed")? {
            continue;
        } else if row.try_get::<Option<&[u8]>, _>("head")?.is_some() {
            found.leaves.push(Leaf {
                verification_id: found.through.into(),
                head: digest(&row, "head")?,
                state: row.try_get::<Option<String>, _>("outcome")?.unwrap_or_default(),
                decision: row.try_get::<Option<&[u8]>, _>("message")?.map(decision_digest),
            });
        } else {
            headless.push(found.through);
        }
    }
    drop(rows);
    // Whoever took over, or erased, before there was an entry recorded no head: it is the chain's start.
    found.leaves.extend(leaves(connection, &headless).await?);
    Ok(looked_at)
}

/// What was sealed before its decision was published, and published since shortly before `since`.
pub(super) async fn published(
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
pub(super) fn room(leaves: &[Leaf]) -> usize {
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
