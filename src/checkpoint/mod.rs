//! Checkpoints: each vouches, by signature, for the verifications that ended since the one before.
//!
//! A checkpoint is a link of a chain over the whole deployment: it names the digest of its predecessor, and the root of a
//! [`MerkleTree`] over what ended. Kept outside the database as well, it shows what was removed inside.

mod merkle;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::{Digest, FieldHasher};
use crate::entry::VerificationId;
use crate::message::OutcomeMessage;
use crate::receipt::{KeyId, SigningKey, TrustedKey};
pub use merkle::{MerkleTree, Sibling, root_from};

/// Keeps signatures of checkpoints apart from those of receipts.
const PREFIX: &[u8] = b"assay-checkpoint-v1\0";

/// How a verification ended, as a checkpoint covers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// The verification.
    pub verification_id: VerificationId,
    /// Last hash of its chain; the chain's start where it has no entries. Says what was verified, too.
    pub head: Digest,
    /// How it ended: `verified`, `retry`, `error`, `taken-over`, `closed`.
    pub state: String,
    /// [`decision_digest`] of its decision; none where it had none when it was sealed.
    pub decision: Option<Digest>,
}

/// What a checkpoint seals of a decision's message: what no erasure removes from it, so that a decision can neither be taken
/// away nor put in its place later.
pub fn decision_digest(message: &[u8]) -> Digest {
    serde_json::from_slice(message).map_or_else(
        |_| FieldHasher::new("assay-unreadable-v1").bytes(message).finish(),
        |message: OutcomeMessage| message.lasting_digest(),
    )
}

impl Leaf {
    /// The digest that stands in the tree.
    pub fn digest(&self) -> Digest {
        FieldHasher::new("assay-leaf-v1")
            .text(&self.verification_id.to_string())
            .bytes(self.head.as_bytes())
            .text(&self.state)
            .optional(self.decision.map(|digest| digest.to_string()).as_deref())
            .finish()
    }
}

/// How many erasures a checkpoint has seen, in the order in which they were recorded, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedErasures {
    /// All that were on record.
    pub count: u64,
    /// [`Erasure::chained`](crate::journal::Erasure::chained) over them.
    pub digest: Digest,
}

/// A signed link of the deployment's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Its place, from 1 on and without gaps.
    pub number: u64,
    /// The deployment.
    pub deployment: String,
    /// Digest of the checkpoint before; none for the first.
    pub previous: Option<Digest>,
    /// Leaves that it has: a verification whose decision came after it was sealed has two. None where it seals erasures only.
    pub count: u64,
    /// Leaves that it and all before it have.
    pub total: u64,
    /// Root of the Merkle tree over its leaves.
    pub root: Digest,
    /// What was erased until then; none where nothing ever was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erasures: Option<SealedErasures>,
    /// When it was made.
    pub made_at: Timestamp,
    /// The key that signed.
    pub kid: String,
    /// Ed25519 over all of the above, in base64.
    pub signature: String,
}

impl Checkpoint {
    /// The next checkpoint after `previous`, signed, over leaves in the order in which they are kept, and all erasures so far.
    pub fn next(
        previous: Option<&Self>,
        leaves: &[Leaf],
        erasures: Option<SealedErasures>,
        (key, deployment): (&SigningKey, &str),
        made_at: Timestamp,
    ) -> Self {
        let count = leaves.len() as u64;
        let tree = MerkleTree::new(leaves.iter().map(Leaf::digest).collect());
        let mut checkpoint = Self {
            number: previous.map_or(0, |previous| previous.number) + 1,
            deployment: deployment.to_owned(),
            previous: previous.map(Self::digest),
            count,
            total: previous.map_or(0, |previous| previous.total) + count,
            root: tree.root(),
            erasures,
            made_at,
            kid: key.id().to_string(),
            signature: String::new(),
        };
        checkpoint.signature = key.sign(&checkpoint.signed_bytes());
        checkpoint
    }

    /// Its digest, by which the next one names it: of all fields but the signature.
    pub fn digest(&self) -> Digest {
        let hasher = FieldHasher::new("assay-checkpoint-v1")
            .text(&self.number.to_string())
            .text(&self.deployment)
            .optional(self.previous.map(|digest| digest.to_string()).as_deref())
            .text(&self.count.to_string())
            .text(&self.total.to_string())
            .bytes(self.root.as_bytes())
            .number(self.made_at.as_microsecond())
            .text(&self.kid);
        // Fields of their own, so that checkpoints from before there were any keep their digests.
        match self.erasures {
            Some(SealedErasures { count, digest }) => {
                hasher.text(&count.to_string()).bytes(digest.as_bytes())
            }
            None => hasher,
        }
        .finish()
    }

    /// Whether `key` has signed exactly this for its deployment, within the key's time.
    pub fn is_signed_by(&self, key: &TrustedKey) -> bool {
        key.kid == KeyId::from(self.kid.as_str())
            && key.deployment == self.deployment
            && key.not_before.is_none_or(|from| self.made_at >= from)
            && key.not_after.is_none_or(|until| self.made_at <= until)
            && key.revoked_at.is_none_or(|at| self.made_at < at)
            && key.has_signed(&self.signed_bytes(), &self.signature)
    }

    fn signed_bytes(&self) -> Vec<u8> {
        [PREFIX, self.digest().as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(number: u128) -> Leaf {
        Leaf {
            verification_id: VerificationId::from(uuid::Uuid::from_u128(number)),
            head: Digest::of(&number.to_be_bytes()),
            state: "verified".to_owned(),
            decision: None,
        }
    }

    #[test]
    fn a_checkpoint_names_the_one_before_and_every_field_of_it_is_signed() {
        let key = SigningKey::generate();
        let trusted = TrustedKey::new(&key, "main", Timestamp::UNIX_EPOCH);
        let at: Timestamp = "2026-11-24T09:00:00Z".parse().unwrap();
        let erasures = SealedErasures {
            count: 1,
            digest: Digest::of(b"erasure"),
        };
        let first = Checkpoint::next(None, &[leaf(1), leaf(2)], None, (&key, "main"), at);
        let second = Checkpoint::next(Some(&first), &[leaf(3)], Some(erasures), (&key, "main"), at);
        assert_eq!((second.number, second.count, second.total), (2, 1, 3));
        assert_eq!(second.previous, Some(first.digest()));
        assert!(first.is_signed_by(&trusted) && second.is_signed_by(&trusted));
        let changes: [fn(&mut Checkpoint); 10] = [
            |checkpoint| checkpoint.number += 1,
            |checkpoint| checkpoint.deployment.push('2'),
            |checkpoint| checkpoint.previous = None,
            |checkpoint| checkpoint.count += 1,
            |checkpoint| checkpoint.total += 1,
            |checkpoint| checkpoint.root = Digest::of(b"other"),
            |checkpoint| checkpoint.erasures = None,
            |checkpoint| {
                checkpoint
                    .erasures
                    .iter_mut()
                    .for_each(|erasures| erasures.count += 1)
            },
            |checkpoint| checkpoint.made_at = Timestamp::UNIX_EPOCH,
            |checkpoint| checkpoint.kid.push('0'),
        ];
        for change in changes {
            let mut changed = second.clone();
            change(&mut changed);
            assert!(!changed.is_signed_by(&trusted), "{changed:?}");
        }
    }

    #[test]
    fn a_revoked_key_counts_for_the_checkpoints_that_it_made_before() {
        let key = SigningKey::generate();
        let mut trusted = TrustedKey::new(&key, "main", Timestamp::UNIX_EPOCH);
        let at: Timestamp = "2026-11-24T09:00:00Z".parse().unwrap();
        let checkpoint = Checkpoint::next(None, &[leaf(1)], None, (&key, "main"), at);
        trusted.revoked_at = Some("2026-11-24T10:00:00Z".parse().unwrap());
        assert!(checkpoint.is_signed_by(&trusted));
        trusted.revoked_at = Some(at);
        assert!(!checkpoint.is_signed_by(&trusted));
    }
}
