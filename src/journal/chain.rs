//! A verification's hash chain: how it grows, and whether it holds.

use serde_json::Value;

use super::VerificationRow;
use crate::digest::Digest;
use crate::entry::{Entry, EntryType, LogEntry, chain_hash, chain_hash_of, chain_start};

/// The end of a chain, to which entries are added by whoever alone writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// Entries so far, and the place of the next one.
    pub length: u32,
    /// Hash of the last entry; of the start where there is none.
    pub head: Digest,
}

/// An entry with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Place in the chain, from 0.
    pub seq: u32,
    /// The entry.
    pub entry: Entry,
    /// Random bytes that are hashed with the content.
    pub salt: [u8; 16],
    /// Chain hash.
    pub hash: Digest,
}

impl Chain {
    /// A chain without entries.
    pub fn new(start: Digest) -> Self {
        Self {
            length: 0,
            head: start,
        }
    }

    /// Adds an entry.
    pub fn push(&mut self, entry: Entry) -> Link {
        let (seq, salt) = (self.length, rand::random());
        self.head = chain_hash(self.head, seq, &entry, &salt);
        self.length += 1;
        Link {
            seq,
            entry,
            salt,
            hash: self.head,
        }
    }
}

/// The first thing that does not follow from what was written before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// An entry is missing, or stands where another should.
    #[error("entry {expected} is missing: found {found} in its place")]
    Gap {
        /// The entry that should come next.
        expected: u32,
        /// The one that does.
        found: u32,
    },
    /// An entry was changed after it was written; the first one, too, where the verification's own row was changed.
    #[error("entry {0} is not what was written")]
    Changed(u32),
    /// Entries at the end are missing: the last hash is not the recorded head.
    #[error("the chain ends after {0} entries, but its head says otherwise")]
    Head(usize),
    /// The recorded outcome is not the one that the chain ends with.
    #[error("the outcome is recorded as {recorded}, the chain ends with {told}")]
    Outcome {
        /// What the verification's row says.
        recorded: String,
        /// What the last result of the chain says.
        told: String,
    },
}

/// Recomputes the chain of a verification from what its row says it is about, and compares it with the recorded head and
/// outcome.
///
/// # Errors
/// Names the first entry that was changed, removed, inserted or moved.
pub fn verify_chain(verification: &VerificationRow, entries: &[LogEntry]) -> Result<(), ChainError> {
    let VerificationRow {
        id,
        job_id,
        attempt,
        cause,
        plan,
        submission,
        ..
    } = verification;
    let mut hash = chain_start(
        *id,
        job_id,
        *attempt,
        cause.as_str(),
        (&plan.name, plan.digest),
        *submission,
    );
    for (expected, entry) in (0..).zip(entries) {
        if entry.seq != expected {
            return Err(ChainError::Gap {
                expected,
                found: entry.seq,
            });
        }
        hash = match entry.erased {
            Some(content) => chain_hash_of(hash, entry.seq, &entry.entry, content),
            None => chain_hash(hash, entry.seq, &entry.entry, &entry.salt),
        };
        if hash != entry.hash {
            return Err(ChainError::Changed(entry.seq));
        }
    }
    if hash != verification.head {
        return Err(ChainError::Head(entries.len()));
    }
    match &verification.outcome {
        // Whoever took it over, or closed it, told no outcome in its chain.
        Some(recorded) if !matches!(recorded.as_str(), "taken-over" | "closed") => {
            let told = told_outcome(entries);
            // Whoever marks a harmless entry as erased hides no outcome: it stands in a result.
            let erased = told.is_none() && entries.iter().any(is_erased_result);
            if erased || told.as_ref() == Some(recorded) {
                return Ok(());
            }
            let told = told.unwrap_or_else(|| "no outcome".to_owned());
            Err(ChainError::Outcome {
                recorded: recorded.clone(),
                told,
            })
        }
        Some(_) | None => Ok(()),
    }
}

fn is_erased_result(entry: &LogEntry) -> bool {
    entry.erased.is_some() && entry.entry.kind == EntryType::Result
}

/// The outcome that the last result of the chain tells.
fn told_outcome(entries: &[LogEntry]) -> Option<String> {
    let results = entries
        .iter()
        .rev()
        .filter(|entry| entry.entry.kind == EntryType::Result);
    results
        .filter_map(|entry| serde_json::from_str::<Value>(&entry.entry.content).ok())
        .find_map(|result| Some(result.get("outcome")?.as_str()?.to_owned()))
}
