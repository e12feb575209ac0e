//! Carries a verification's entries from its log to the group writer while it runs.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::journal::{Chain, JournalError};
use crate::journal::{GroupWriter, Written};
use crate::log::LogReader;

/// Most entries of one hand-over.
const BATCH: usize = 256;

/// Starts carrying. Ends when the last handle of the log is dropped, with the end of the chain: every entry is then in the
/// writer's hands, before whatever is handed to it later. `fenced` fires where the claim is no longer held.
pub(super) fn record(
    writer: GroupWriter,
    of: Written,
    mut chain: Chain,
    mut reader: LogReader,
    fenced: CancellationToken,
) -> JoinHandle<Result<Chain, JournalError>> {
    tokio::spawn(async move {
        let mut batch = Vec::new();
        while reader.recv_many(&mut batch, BATCH).await > 0 {
            let links = batch.drain(..).map(|entry| chain.push(entry)).collect();
            writer.entries(of.clone(), links, fenced.clone()).await?;
        }
        Ok(chain)
    })
}
