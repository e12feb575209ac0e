//! The one statement by which running verifications write.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::claims::milliseconds;
use super::ending::{Ending, EndingState, Written};
use super::journal::attempt;
use super::outbox::OutboxId;
use super::time::Time;
use crate::journal::{JournalError, Link};

/// Entries of a verification that goes on.
pub(super) type Entries<'a> = (&'a Written, &'a Vec<Link>);
/// The end of a verification, with its last entries.
pub(super) type End<'a> = (&'a Ending, &'a Vec<Link>);

/// Whether the same was written before, and perhaps committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repeated(pub(super) bool);

/// Where outcomes stand until they are confirmed.
#[derive(Debug, Clone, Copy)]
pub(super) struct ToPublish {
    pub(super) row: OutboxId,
    /// When they are published again.
    pub(super) again_after: Duration,
}

/// One statement: endings go into the claims that are still held, and only what belongs to a held claim is written.
pub(super) async fn write(
    connection: &mut PgConnection,
    entries: &[Entries<'_>],
    ends: &[End<'_>],
    to_publish: ToPublish,
    repeated: Repeated,
) -> Result<HashSet<Uuid>, JournalError> {
    let ending_ids: HashSet<_> = ends.iter().map(|(ending, _)| ending.of.id).collect();
    let alive: Vec<_> = entries
        .iter()
        .map(|(of, _)| *of)
        .filter(|of| !ending_ids.contains(&of.id))
        .collect();
    let links = || {
        let early = entries.iter().map(|(of, links)| (*of, *links));
        let late = ends.iter().map(|(ending, links)| (&ending.of, *links));
        early
            .chain(late)
            .flat_map(|(of, links)| links.iter().map(move |link| (of, link)))
    };
    let ending = || ends.iter().map(|(ending, _)| *ending);
    let columns: Vec<_> = ending().map(|ending| Columns::of(&ending.state)).collect();
    let rows = sqlx::query(if repeated.0 { WRITE_AGAIN } else { WRITE })
        .bind(
            ending()
                .map(|ending| ending.of.job_id.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(
            ending()
                .map(|ending| attempt(ending.of.attempt))
                .collect::<Result<Vec<_>, _>>()?,
        )
        .bind(ending().map(|ending| ending.of.id.uuid()).collect::<Vec<_>>())
        .bind(columns.iter().map(|column| column.state).collect::<Vec<_>>())
        .bind(columns.iter().map(|column| column.due_ms).collect::<Vec<_>>())
        .bind(columns.iter().map(|column| column.tries).collect::<Vec<_>>())
        .bind(columns.iter().map(|column| column.not_found).collect::<Vec<_>>())
        .bind(ending().map(|ending| Time(ending.at)).collect::<Vec<_>>())
        .bind(ending().map(|ending| ending.outcome).collect::<Vec<_>>())
        .bind(ending().map(|ending| ending.error.as_deref()).collect::<Vec<_>>())
        .bind(
            ending()
                .map(|ending| attempt(ending.chain.length))
                .collect::<Result<Vec<_>, _>>()?,
        )
        .bind(
            ending()
                .map(|ending| ending.chain.head.as_bytes().as_slice())
                .collect::<Vec<_>>(),
        )
        .bind(columns.iter().map(|column| column.message).collect::<Vec<_>>())
        .bind(
            columns
                .iter()
                .map(|column| column.traceparent)
                .collect::<Vec<_>>(),
        )
        .bind(columns.iter().map(|column| column.reason).collect::<Vec<_>>())
        .bind(columns.iter().map(|column| column.detail).collect::<Vec<_>>())
        .bind(alive.iter().map(|of| of.job_id.as_str()).collect::<Vec<_>>())
        .bind(
            alive
                .iter()
                .map(|of| attempt(of.attempt))
                .collect::<Result<Vec<_>, _>>()?,
        )
        .bind(alive.iter().map(|of| of.id.uuid()).collect::<Vec<_>>())
        .bind(links().map(|(of, _)| of.job_id.as_str()).collect::<Vec<_>>())
        .bind(links().map(|(of, _)| of.id.uuid()).collect::<Vec<_>>())
        .bind(
            links()
                .map(|(_, link)| attempt(link.seq))
                .collect::<Result<Vec<_>, _>>()?,
        )
        .bind(
            links()
                .map(|(_, link)| link.entry.kind.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(
            links()
                .map(|(_, link)| link.entry.content.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(
            links()
                .map(|(_, link)| link.entry.audience.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(
            links()
                .map(|(_, link)| Time(link.entry.created_at))
                .collect::<Vec<_>>(),
        )
        .bind(links().map(|(_, link)| link.salt.as_slice()).collect::<Vec<_>>())
        .bind(
            links()
                .map(|(_, link)| link.hash.as_bytes().as_slice())
                .collect::<Vec<_>>(),
        )
        .bind(columns.iter().map(|column| column.for_judge).collect::<Vec<_>>())
        .bind(to_publish.row.0)
        .bind(milliseconds(to_publish.again_after))
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// An ending as columns of [`WRITE`].
struct Columns<'a> {
    state: &'static str,
    due_ms: Option<i64>,
    tries: i32,
    not_found: Option<&'a [u8]>,
    for_judge: bool,
    message: Option<&'a [u8]>,
    traceparent: Option<&'a str>,
    reason: Option<&'a str>,
    detail: Option<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(state: &'a EndingState) -> Self {
        let empty = Self {
            state: "closed",
            due_ms: None,
            tries: 0,
            not_found: None,
            for_judge: false,
            message: None,
            traceparent: None,
            reason: None,
            detail: None,
        };
        match state {
            EndingState::Decided {
                message, traceparent, ..
            } => Self {
                state: "decided",
                message: Some(message),
                traceparent: traceparent.as_deref(),
                ..empty
            },
            EndingState::Waits {
                after,
                counts,
                not_found,
                for_judge,
            } => Self {
                state: "waiting",
                due_ms: Some(milliseconds(*after)),
                tries: i32::from(*counts),
                not_found: not_found.as_ref().map(|file| file.as_bytes().as_slice()),
                for_judge: *for_judge,
                ..empty
            },
            EndingState::Parked { reason, detail } => Self {
                state: "parked",
                reason: Some(reason),
                detail: Some(detail),
                ..empty
            },
            EndingState::Closed => empty,
        }
    }
}

/// The statement, with what happens to an entry that is there already.
macro_rules! write_with {
    ($on_conflict:literal) => {
        concat!(
            "
    WITH ending AS (
        SELECT * FROM unnest($1::text[], $2::int4[], $3::uuid[], $4::text[], $5::int8[], $6::int4[], $7::bytea[],
                             $8::timestamptz[], $9::text[], $10::text[], $11::int4[], $12::bytea[], $13::bytea[],
                             $14::text[], $15::text[], $16::text[], $29::bool[])
        AS ending (job_id, attempt, id, state, due_ms, tries, not_found, ended_at, outcome, decision, entries, head,
                   message, traceparent, reason, detail, for_judge)
    ), ended AS (
        UPDATE assay.claim c
        SET state = e.state,
            due_at = now() + e.due_ms * interval '1 millisecond', holder = NULL, starts = 0,
            for_judge = e.for_judge, tries = c.tries + e.tries, not_found_file = coalesce(e.not_found, c.not_found_file),
            not_found = CASE WHEN e.not_found IS NULL THEN c.not_found
                             WHEN e.not_found = c.not_found_file THEN c.not_found + 1 ELSE 1 END,
            first_not_found = CASE WHEN e.not_found IS NULL OR e.not_found = c.not_found_file THEN c.first_not_found
                                   ELSE now() END
        FROM ending e
        WHERE c.job_id = e.job_id AND c.attempt = e.attempt AND c.verification_id = e.id AND c.state = 'running'
        RETURNING c.verification_id AS id
    ), alive AS (
        SELECT c.verification_id AS id
        FROM unnest($17::text[], $18::int4[], $19::uuid[]) AS running (job_id, attempt, id)
        JOIN assay.claim c ON c.job_id = running.job_id AND c.attempt = running.attempt
        WHERE c.verification_id = running.id AND c.state = 'running'
        FOR SHARE OF c
    ), logged AS (
        INSERT INTO assay.log (job_id, verification_id, seq, type, content, audience, created_at, salt, hash)
        SELECT l.* FROM unnest($20::text[], $21::uuid[], $22::int4[], $23::text[], $24::text[], $25::text[],
                               $26::timestamptz[], $27::bytea[], $28::bytea[])
        AS l (job_id, id, seq, type, content, audience, created_at, salt, hash)
        WHERE l.id IN (SELECT id FROM ended UNION ALL SELECT id FROM alive)
        ",
            $on_conflict,
            "
    ), decided AS (
        INSERT INTO assay.decision (verification_id, job_id, attempt, trigger, outcome, message, traceparent)
        SELECT id, job_id, attempt, 'submission', outcome, message, traceparent
        FROM ending JOIN ended USING (id) WHERE message IS NOT NULL
    ), to_publish AS (
        INSERT INTO assay.outbox (id, due_at, decisions)
        SELECT $30, now() + $31 * interval '1 millisecond', array_agg(id)
        FROM ending JOIN ended USING (id) WHERE message IS NOT NULL HAVING count(*) > 0
    ), closed AS (
        UPDATE assay.verification v
        SET ended_at = e.ended_at, outcome = e.outcome, decision = e.decision, entries = e.entries, head = e.head
        FROM ending e JOIN ended USING (id) WHERE v.id = e.id
    ), parked AS (
        INSERT INTO assay.parked (job_id, attempt, reason, detail, digest)
        SELECT job_id, attempt, reason, detail, sha256(convert_to(job_id || chr(10) || attempt, 'UTF8'))
        FROM ending JOIN ended USING (id) WHERE reason IS NOT NULL
        ON CONFLICT (digest, reason) WHERE closed_at IS NULL DO NOTHING
    )
    SELECT id FROM ended UNION ALL SELECT id FROM alive"
        )
    };
}

const WRITE: &str = write_with!("");
/// Asks the index about every entry, which the first time would be for nothing.
const WRITE_AGAIN: &str = write_with!("ON CONFLICT (verification_id, seq) DO NOTHING");
