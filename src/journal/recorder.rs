//! Carries a verification's entries from its log into the journal while it runs.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::{Journal, JournalError};
use crate::entry::{Entry, VerificationId};
use crate::log::LogReader;

/// Most entries of one append.
const BATCH: usize = 256;

/// Starts carrying entries: at once when the journal is idle, together what came while it was busy. Ends, with
/// every entry, when the last handle of the log is dropped.
///
/// Gives back all entries. Where it fails, the verification must count as failed for the journal's sake: a
/// decision whose reasons are not kept is none.
pub fn record(
    journal: Arc<dyn Journal>,
    id: VerificationId,
    mut reader: LogReader,
) -> JoinHandle<Result<Vec<Entry>, JournalError>> {
    tokio::spawn(async move {
        let mut all = Vec::new();
        let mut batch = Vec::new();
        while reader.recv_many(&mut batch, BATCH).await > 0 {
            journal.append(id, batch.clone()).await?;
            all.append(&mut batch);
        }
        Ok(all)
    })
}
