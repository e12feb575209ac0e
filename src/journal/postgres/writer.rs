//! Writes of running verifications, many in one statement: entries, endings, lengthened leases.
//!
//! Every write is joined with the claims that are still held, so that a stale worker's writes fall away and its neighbours'
//! do not. Each statement is its own transaction; an idle writer flushes at once.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::PgConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::apart::Apart;
use super::claims::milliseconds;
use super::ending::{Ended, Ending, Written};
use super::outbox::OutboxId;
use super::statement::{End, Entries, Repeated, ToPublish, write};
use super::{PgJournal, between_statements, is_passing};
use crate::entry::VerificationId;
use crate::journal::{JournalError, Link};
use crate::metrics::Metrics;

/// Most verifications of one statement, and most entries.
pub(super) const BATCH: usize = 256;
const BATCH_ENTRIES: usize = 4_000;

/// Whoever ended a verification is told what became of that.
type Told = oneshot::Sender<Result<Ended, JournalError>>;

enum Write {
    Entries {
        of: Written,
        links: Vec<Link>,
        /// Fired where the claim is no longer held.
        fenced: CancellationToken,
    },
    End {
        ending: Box<Ending>,
        /// Entries of its last moments.
        links: Vec<Link>,
        told: Told,
    },
    Lengthen {
        ids: Vec<VerificationId>,
        told: oneshot::Sender<Result<HashSet<Uuid>, JournalError>>,
    },
}

/// Writes for every verification of a worker. Cheap to clone; ends, with everything written, when every clone is dropped.
#[derive(Clone)]
pub struct GroupWriter {
    writes: mpsc::Sender<Write>,
}

impl GroupWriter {
    /// Starts writing; leases are lengthened to `lease`.
    pub fn start(journal: PgJournal, lease: Duration, metrics: Metrics) -> Self {
        let (writes, mut queue) = mpsc::channel(4 * BATCH);
        let mut own = Apart::of(&journal);
        tokio::spawn(async move {
            let mut waiting = Vec::new();
            let mut holed = HashSet::new();
            let mut ticks = between_statements();
            while let Some(first) = queue.recv().await {
                ticks.tick().await;
                waiting.push(first);
                while waiting.len() < 4 * BATCH
                    && let Ok(next) = queue.try_recv()
                {
                    waiting.push(next);
                }
                write_all(&mut own, (lease, &metrics), &mut holed, &mut waiting).await;
            }
            own.close().await;
        });
        Self { writes }
    }

    /// Hands over entries, which are committed as soon as may be. `fenced` fires where the claim is no longer held.
    ///
    /// # Errors
    /// Where the writer has ended.
    pub async fn entries(
        &self,
        of: Written,
        links: Vec<Link>,
        fenced: CancellationToken,
    ) -> Result<(), JournalError> {
        self.send(Write::Entries { of, links, fenced }).await
    }

    /// Ends a verification, with its last entries, in one transaction, if its claim is still held.
    ///
    /// # Errors
    /// Where the database refuses what is written.
    pub async fn end(&self, ending: Ending, links: Vec<Link>) -> Result<Ended, JournalError> {
        let (told, answer) = oneshot::channel();
        let ending = Box::new(ending);
        self.send(Write::End { ending, links, told }).await?;
        answer.await.map_err(|_| ended())?
    }

    /// Lengthens the leases of the verifications that are still held; gives back which those are.
    ///
    /// # Errors
    /// Where the database refuses.
    pub async fn lengthen(&self, ids: Vec<VerificationId>) -> Result<HashSet<Uuid>, JournalError> {
        let (told, answer) = oneshot::channel();
        self.send(Write::Lengthen { ids, told }).await?;
        answer.await.map_err(|_| ended())?
    }

    async fn send(&self, write: Write) -> Result<(), JournalError> {
        self.writes.send(write).await.map_err(|_| ended())
    }
}

fn hole() -> JournalError {
    JournalError::Lost("entries of this verification could not be written".to_owned())
}

fn ended() -> JournalError {
    JournalError::Lost("the writer has ended".to_owned())
}

/// A batch that fits one statement. Of one verification there may be several runs of entries, then its end.
#[derive(Default)]
struct Batch {
    entries: Vec<(Written, Vec<Link>, CancellationToken)>,
    ends: Vec<(Ending, Vec<Link>, Told)>,
    links: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.entries.len() + self.ends.len() >= BATCH || self.links >= BATCH_ENTRIES
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.ends.is_empty()
    }
}

/// Writes all that waits. `holed` are verifications of which entries could not be written: nothing of them is written after those,
/// least of all an end, since a receipt would sign a log that nobody can show.
async fn write_all(
    own: &mut Apart,
    (lease, metrics): (Duration, &Metrics),
    holed: &mut HashSet<Uuid>,
    waiting: &mut Vec<Write>,
) {
    let mut batch = Batch::default();
    for write in waiting.drain(..) {
        match write {
            Write::Entries { of, fenced, .. } if holed.contains(&of.id.uuid()) => fenced.cancel(),
            Write::End { ending, told, .. } if holed.remove(&ending.of.id.uuid()) => {
                let _ = told.send(Err(hole()));
            }
            Write::Entries { of, links, fenced } => {
                batch.links += links.len();
                batch.entries.push((of, links, fenced));
            }
            Write::End { ending, links, told } => {
                batch.links += links.len();
                batch.ends.push((*ending, links, told));
            }
            // Row locks of one worker are taken by this task alone, one statement after the other: no deadlocks.
            Write::Lengthen { ids, told } => {
                let lengthening =
                    async |connection: &mut PgConnection| lengthen(connection, lease, &ids).await;
                let _ = told.send(own.with(lengthening).await);
            }
        }
        if batch.is_full() {
            flush(own, (lease, metrics), holed, std::mem::take(&mut batch)).await;
        }
    }
    if !batch.is_empty() {
        flush(own, (lease, metrics), holed, batch).await;
    }
}

async fn lengthen(
    connection: &mut PgConnection,
    lease: Duration,
    ids: &[VerificationId],
) -> Result<HashSet<Uuid>, JournalError> {
    let held = sqlx::query_scalar(
        "UPDATE assay.claim c SET due_at = now() + $2 * interval '1 millisecond'
         FROM unnest($1::uuid[]) AS held (id) JOIN assay.verification v USING (id)
         WHERE c.job_id = v.job_id AND c.attempt = v.attempt AND c.verification_id = v.id AND c.state = 'running'
         RETURNING c.verification_id",
    )
    .bind(ids.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .bind(milliseconds(lease))
    .fetch_all(connection)
    .await?;
    Ok(held.into_iter().collect())
}

/// Writes the batch and tells everybody what became of theirs. Trouble that passes is waited out: nobody's work is lost
/// because the database restarts. Where a row breaks the statement, each verification is written alone.
async fn flush(
    own: &mut Apart,
    (lease, metrics): (Duration, &Metrics),
    holed: &mut HashSet<Uuid>,
    batch: Batch,
) {
    let began = Instant::now();
    let entries: Vec<_> = batch.entries.iter().map(|(of, links, _)| (of, links)).collect();
    let ends: Vec<_> = batch
        .ends
        .iter()
        .map(|(ending, links, _)| (ending, links))
        .collect();
    match write_patiently(own, &entries, &ends, lease, Repeated(false)).await {
        Ok(written) => {
            metrics.committed(entries.len() + ends.len(), began.elapsed());
            for (of, _, fenced) in batch.entries {
                if !written.held.contains(&of.id.uuid()) {
                    fenced.cancel();
                }
            }
            for (ending, _, told) in batch.ends {
                let _ = told.send(Ok(written.ended(&ending)));
            }
        }
        Err(error) => {
            tracing::error!(error = %crate::causes::in_full(&error), "a batch broke: each verification is written alone");
            for (of, links, fenced) in batch.entries {
                match write_patiently(own, &[(&of, &links)], &[], lease, Repeated(true)).await {
                    Ok(written) if written.held.contains(&of.id.uuid()) => {}
                    Ok(_) => fenced.cancel(),
                    // A log with a hole is none: the verification ends here.
                    Err(_) => {
                        holed.insert(of.id.uuid());
                        fenced.cancel();
                    }
                }
            }
            for (ending, links, told) in batch.ends {
                if holed.remove(&ending.of.id.uuid()) {
                    let _ = told.send(Err(hole()));
                    continue;
                }
                let written = write_patiently(own, &[], &[(&ending, &links)], lease, Repeated(true)).await;
                let _ = told.send(written.map(|written| written.ended(&ending)));
            }
        }
    }
}

/// What a statement has committed.
struct Committed {
    /// The verifications that still hold their claims, or have ended by it.
    held: HashSet<Uuid>,
    /// The row of the outcomes among them.
    outbox: OutboxId,
}

impl Committed {
    fn ended(&self, ending: &Ending) -> Ended {
        if self.held.contains(&ending.of.id.uuid()) {
            Ended::Committed(self.outbox)
        } else {
            Ended::NotHeld
        }
    }
}

/// [`write`], again and again while the trouble is one that passes. A statement whose answer was lost may have been
/// committed, so what is written twice must be the same: entries by their place, endings by what stands in the claim.
async fn write_patiently(
    own: &mut Apart,
    entries: &[Entries<'_>],
    ends: &[End<'_>],
    lease: Duration,
    mut repeated: Repeated,
) -> Result<Committed, JournalError> {
    let to_publish = ToPublish {
        row: OutboxId::new(),
        again_after: lease,
    };
    let committed = |held| Committed {
        held,
        outbox: to_publish.row,
    };
    let mut pause = Duration::from_millis(50);
    loop {
        let writing = async |connection: &mut PgConnection| {
            write(connection, entries, ends, to_publish, repeated).await
        };
        match own.with(writing).await {
            Ok(held) if repeated.0 => {
                let adding =
                    async |connection: &mut PgConnection| add_already_ended(connection, held, ends).await;
                return own.with(adding).await.map(committed);
            }
            Err(error) if is_passing(&error) => {
                tracing::warn!(error = %crate::causes::in_full(&error), "writes wait for the database");
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(Duration::from_secs(1));
                repeated = Repeated(true);
            }
            written => return written.map(committed),
        }
    }
}

/// Adds the endings that an earlier statement committed without our hearing of it.
async fn add_already_ended(
    connection: &mut PgConnection,
    mut held: HashSet<Uuid>,
    ends: &[End<'_>],
) -> Result<HashSet<Uuid>, JournalError> {
    let ids: Vec<_> = ends.iter().map(|(ending, _)| ending.of.id.uuid()).collect();
    let ended: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM assay.verification WHERE id = ANY ($1) AND ended_at IS NOT NULL AND outcome <> 'taken-over'",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    held.extend(ended);
    Ok(held)
}
