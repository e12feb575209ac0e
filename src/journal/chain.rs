//! Checking a verification's hash chain.

use crate::digest::Digest;
use crate::entry::{LogEntry, VerificationId, chain_hash, chain_start};
use crate::job::JobId;

/// The first entry that does not follow from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// An entry is missing, or stands where another should.
    #[error("entry {expected} is missing: found {found} in its place")]
    Gap {
        /// The entry that should come next.
        expected: u32,
        /// The one that does.
        found: u32,
    },
    /// An entry was changed after it was written.
    #[error("entry {0} is not what was written")]
    Changed(u32),
    /// Entries at the end are missing: the last hash is not the recorded head.
    #[error("the chain ends after {0} entries, but its head says otherwise")]
    Head(usize),
}

/// Recomputes the chain of one verification's entries and compares it with the recorded head.
///
/// # Errors
/// Names the first entry that was changed, removed, inserted or moved.
pub fn verify_chain(
    job_id: &JobId,
    id: VerificationId,
    entries: &[LogEntry],
    head: Digest,
) -> Result<(), ChainError> {
    let mut hash = chain_start(job_id, id);
    for (expected, entry) in (0..).zip(entries) {
        if entry.seq != expected {
            return Err(ChainError::Gap {
                expected,
                found: entry.seq,
            });
        }
        hash = chain_hash(hash, entry.seq, &entry.entry, &entry.salt);
        if hash != entry.hash {
            return Err(ChainError::Changed(entry.seq));
        }
    }
    if hash == head {
        Ok(())
    } else {
        Err(ChainError::Head(entries.len()))
    }
}
