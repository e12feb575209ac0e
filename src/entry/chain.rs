//! The hash that chains an entry to the one before.

use super::{Entry, VerificationId};
use crate::digest::{Digest, FieldHasher};
use crate::job::JobId;

/// The hash that a chain starts from: says what the verification is about and why it was started (`submission`, `dispute`,
/// `desk`), so that none of it can be changed later without breaking the chain.
pub fn chain_start(
    id: VerificationId,
    job_id: &JobId,
    attempt: u32,
    cause: &str,
    (plan_name, plan_digest): (&str, Digest),
    submission: Digest,
) -> Digest {
    FieldHasher::new("assay-chain-v1")
        .text(&id.to_string())
        .text(job_id.as_str())
        .number(i64::from(attempt))
        .text(cause)
        .text(plan_name)
        .bytes(plan_digest.as_bytes())
        .bytes(submission.as_bytes())
        .finish()
}

/// The chain hash of an entry (DESIGN.md section 3): previous hash, then the canonical fields in fixed order,
/// each with its length; time in UTC microseconds; of the content only its salted hash.
pub fn chain_hash(previous: Digest, seq: u32, entry: &Entry, salt: &[u8; 16]) -> Digest {
    chain_hash_of(previous, seq, entry, content_digest(salt, &entry.content))
}

/// The salted digest of an entry's content: all that is left of it in the chain, and after an erasure at all. The
/// migration `0003_evidence.sql` computes the same.
pub fn content_digest(salt: &[u8; 16], content: &str) -> Digest {
    FieldHasher::new("assay-content-v1")
        .bytes(salt)
        .text(content)
        .finish()
}

/// [`chain_hash`] of an entry whose content is known by its salted digest only.
pub fn chain_hash_of(previous: Digest, seq: u32, entry: &Entry, content: Digest) -> Digest {
    FieldHasher::new("assay-entry-v1")
        .bytes(previous.as_bytes())
        .number(i64::from(seq))
        .text(entry.kind.as_str())
        .text(entry.audience.as_str())
        .number(entry.created_at.as_microsecond())
        .bytes(content.as_bytes())
        .finish()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::entry::{Audience, EntryType};

    fn entry(content: &str) -> Entry {
        Entry {
            kind: EntryType::Info,
            content: content.into(),
            audience: Audience::Public,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn every_field_of_an_entry_changes_its_hash() {
        let plan = ("p", Digest::of(b"plan"));
        let start = chain_start(
            VerificationId::new(),
            &JobId::new("j"),
            0,
            "desk",
            plan,
            Digest::of(b"s"),
        );
        let hash = |seq, entry: &Entry, salt: u8| chain_hash(start, seq, entry, &[salt; 16]);
        let original = hash(0, &entry("a"), 1);
        assert_eq!(original, hash(0, &entry("a"), 1));
        assert_ne!(original, hash(1, &entry("a"), 1));
        assert_ne!(original, hash(0, &entry("b"), 1));
        assert_ne!(original, hash(0, &entry("a"), 2));
        assert_ne!(
            original,
            hash(
                0,
                &Entry {
                    kind: EntryType::Result,
                    ..entry("a")
                },
                1
            )
        );
        assert_ne!(
            original,
            hash(
                0,
                &Entry {
                    audience: Audience::Operator,
                    ..entry("a")
                },
                1
            )
        );
        let later = Timestamp::from_microsecond(1).unwrap();
        assert_ne!(
            original,
            hash(
                0,
                &Entry {
                    created_at: later,
                    ..entry("a")
                },
                1
            )
        );
        assert_ne!(original, chain_hash(original, 0, &entry("a"), &[1; 16]));
    }
}
