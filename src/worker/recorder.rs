//! Carries a verification's entries from its log to the group writer while it runs.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::entry::Entry;
use crate::journal::{Chain, GroupWriter, JournalError, Link, Written};
use crate::log::LogReader;

/// Most entries of one hand-over.
const BATCH: usize = 256;

/// How long an entry may wait for the next ones. A verification that ends within it is written in one statement; far below
/// the 100 ms within which entries are promised to be committed.
const LINGER: Duration = Duration::from_millis(15);

/// Carries entries until the last handle of the log is dropped. Gives back the end of the chain, and the links that were not
/// handed over yet: they belong to the statement that ends the verification. `fenced` fires where the claim is no longer
/// held.
pub(super) async fn record(
    writer: &GroupWriter,
    of: &Written,
    mut chain: Chain,
    mut reader: LogReader,
    fenced: &CancellationToken,
) -> Result<(Chain, Vec<Link>), JournalError> {
    let mut entries = Vec::new();
    loop {
        let closed = gather(&mut reader, &mut entries).await;
        let links = entries.drain(..).map(|entry| chain.push(entry)).collect();
        if closed {
            return Ok((chain, links));
        }
        writer.entries(of.clone(), links, fenced.clone()).await?;
    }
}

/// Takes what comes within [`LINGER`] of the first entry. Whether the log has ended.
async fn gather(reader: &mut LogReader, entries: &mut Vec<Entry>) -> bool {
    if reader.recv_many(entries, BATCH).await == 0 {
        return true;
    }
    let until = Instant::now() + LINGER;
    while entries.len() < BATCH {
        let room = BATCH - entries.len();
        match timeout_at(until, reader.recv_many(entries, room)).await {
            Ok(0) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    false
}
