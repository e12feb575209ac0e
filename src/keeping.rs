//! Keeps the files that verifications judged, and deletes them when their time is over or somebody has erased them.
//!
//! Two parts: blobs by sha256 in the evidence store, and their manifest in the database. A row is written before its blob and
//! a blob deleted before its rows say so, so that a crash in between leaves work to do and never a promise that is not kept.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::causes::in_full;
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::evidence::store::{EvidenceStore, StoreError};
use crate::journal::{JournalError, PgJournal};
use crate::submission::{EvidenceFile, Submission};

/// Longest time that storing a hand-in's files may take: a verdict waits for it.
const STORING: Duration = Duration::from_secs(60);

/// How often it is looked for what has been kept long enough, or was erased.
const LOOK: Duration = Duration::from_secs(3_600);

/// Rows and blobs of one statement.
const AT_A_TIME: u32 = 500;

/// What keeps evidence. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Keeper {
    /// The manifest.
    pub journal: PgJournal,
    /// The blobs; none: the manifest says that nothing is kept.
    pub store: Option<EvidenceStore>,
}

/// Evidence was not kept, or not deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepingError {
    /// The manifest could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store could not be.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Keeper {
    /// Keeps the files of a collected hand-in. Nothing to do where there are none: the text is in the claim's message.
    ///
    /// Trouble is noted in the manifest and never becomes the verification's: a verdict does not depend on our copies.
    pub async fn keep(&self, id: VerificationId, submission: &Submission) {
        if submission.files.is_empty() {
            return;
        }
        if let Err(error) = self.try_keep(id, &submission.files).await {
            tracing::warn!(error = in_full(&error), verification = %id, "evidence is not kept");
        }
    }

    async fn try_keep(&self, id: VerificationId, files: &[EvidenceFile]) -> Result<(), KeepingError> {
        let Some(store) = &self.store else {
            let why = Some("no evidence store is configured");
            return Ok(self.journal.note_evidence(id, files, why).await?);
        };
        self.journal.note_evidence(id, files, None).await?;
        let storing = async {
            for file in files {
                let bytes = tokio::fs::read(&file.path)
                    .await
                    .map_err(|error| format!("our copy cannot be read: {error}"))?;
                let stored = store.put(file.sha256, bytes).await;
                stored.map_err(|error| in_full(&error))?;
            }
            Ok::<_, String>(())
        };
        let stored = tokio::time::timeout(STORING, storing)
            .await
            .unwrap_or_else(|_| Err(format!("storing took longer than {} s", STORING.as_secs())));
        if let Err(why) = &stored {
            tracing::warn!(why, verification = %id, "evidence is not kept");
        }
        let why = stored.err();
        Ok(self.journal.evidence_stored(id, why.as_deref()).await?)
    }
}

/// Deletes the bytes that no verification needs any more; gives back how many blobs that were.
///
/// # Errors
/// Where manifest or store cannot be read or written; what was not deleted is left for the next time.
pub async fn delete_doomed(journal: &PgJournal, store: &EvidenceStore) -> Result<u64, KeepingError> {
    let mut deleted = 0;
    loop {
        let doomed = journal.within(journal.doomed_evidence(AT_A_TIME)).await?;
        if doomed.is_empty() {
            return Ok(deleted);
        }
        for sha256 in doomed {
            deleted += u64::from(delete(journal, store, sha256).await?);
        }
    }
}

/// Deletes one blob. A worker may store the same bytes at this very moment: its row comes before its blob, so that it is seen
/// here after the deletion, and the bytes are put back.
async fn delete(journal: &PgJournal, store: &EvidenceStore, sha256: Digest) -> Result<bool, KeepingError> {
    // Bytes that were damaged in the store are not worth putting back.
    let bytes = store.get(sha256).await.ok().flatten();
    store.delete(sha256).await?;
    let gone = journal.evidence_deleted(sha256).await?;
    match bytes {
        Some(bytes) if !gone => {
            store.put(sha256, bytes).await?;
            Ok(false)
        }
        Some(_) => Ok(true),
        None => Ok(false),
    }
}

/// Each hour: dooms what has been kept for longer than `keep`, and deletes what is doomed. Ends when `stop` fires.
pub async fn retain_until_stopped(
    keeper: Keeper,
    keep: Option<Duration>,
    by: String,
    stop: CancellationToken,
) {
    loop {
        if let Err(error) = retain(&keeper, keep, &by).await {
            tracing::warn!(
                error = in_full(&error),
                "evidence whose time is over is still there"
            );
        }
        if tokio::time::timeout(LOOK, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}

/// One pass of [`retain_until_stopped`]; gives back how many blobs were deleted.
///
/// # Errors
/// Where manifest or store cannot be read or written.
pub async fn retain(keeper: &Keeper, keep: Option<Duration>, by: &str) -> Result<u64, KeepingError> {
    let Some(store) = &keeper.store else { return Ok(0) };
    if let Some(keep) = keep {
        while keeper.journal.doom_evidence(keep, AT_A_TIME, by).await? > 0 {}
    }
    delete_doomed(&keeper.journal, store).await
}
