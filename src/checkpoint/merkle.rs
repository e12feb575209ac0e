//! A Merkle tree: one digest for many, and a short proof that one of them is among them.

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, FieldHasher};

/// The tree over digests of leaves, in their order. A level of odd length hands its last digest up as it is, so that no two
/// lists of leaves have the same root (a leaf's digest and a node's are of different domains).
#[derive(Debug, Clone)]
pub struct MerkleTree {
    /// From the leaves up to the root.
    levels: Vec<Vec<Digest>>,
}

/// A step of a proof: the neighbour with which a digest is hashed on its way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sibling {
    /// It stands before.
    Left(Digest),
    /// It stands after.
    Right(Digest),
}

fn node(left: Digest, right: Digest) -> Digest {
    FieldHasher::new("assay-node-v1")
        .bytes(left.as_bytes())
        .bytes(right.as_bytes())
        .finish()
}

impl MerkleTree {
    /// The tree over `leaves`.
    pub fn new(leaves: Vec<Digest>) -> Self {
        let mut levels = vec![leaves];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let above = level.chunks(2).map(|pair| match pair {
                [left, right] => node(*left, *right),
                alone => alone[0],
            });
            levels.push(above.collect());
        }
        Self { levels }
    }

    /// The root; of no leaves, the digest of nothing.
    pub fn root(&self) -> Digest {
        let top = self.levels.last().and_then(|level| level.first());
        top.copied()
            .unwrap_or_else(|| FieldHasher::new("assay-empty-v1").finish())
    }

    /// How the leaf at `place` comes to the root; `None` where there is no such leaf.
    pub fn proof(&self, mut place: usize) -> Option<Vec<Sibling>> {
        self.levels.first()?.get(place)?;
        let mut siblings = Vec::new();
        for level in &self.levels {
            if place.is_multiple_of(2) {
                siblings.extend(level.get(place + 1).copied().map(Sibling::Right));
            } else {
                siblings.push(Sibling::Left(level[place - 1]));
            }
            place /= 2;
        }
        Some(siblings)
    }
}

/// The root to which a proof leads from a leaf.
pub fn root_from(leaf: Digest, proof: &[Sibling]) -> Digest {
    proof.iter().fold(leaf, |below, sibling| match sibling {
        Sibling::Left(left) => node(*left, below),
        Sibling::Right(right) => node(below, *right),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u32) -> Vec<Digest> {
        (0..count)
            .map(|number| Digest::of(&number.to_be_bytes()))
            .collect()
    }

    #[test]
    fn every_leaf_is_proven_and_no_other() {
        for count in 1..40 {
            let leaves = leaves(count);
            let tree = MerkleTree::new(leaves.clone());
            for (place, leaf) in leaves.iter().enumerate() {
                let proof = tree.proof(place).unwrap();
                assert_eq!(root_from(*leaf, &proof), tree.root(), "{place} of {count}");
                assert_ne!(root_from(Digest::of(b"other"), &proof), tree.root());
            }
            assert_eq!(tree.proof(leaves.len()), None);
        }
    }

    #[test]
    fn a_leaf_more_less_doubled_or_moved_gives_another_root() {
        for count in 1..20 {
            let original = leaves(count);
            let root = MerkleTree::new(original.clone()).root();
            let mut doubled = original.clone();
            doubled.push(original[original.len() - 1]);
            assert_ne!(MerkleTree::new(doubled).root(), root, "{count}");
            assert_ne!(MerkleTree::new(original[1..].to_vec()).root(), root, "{count}");
            let mut moved = original;
            moved.reverse();
            assert_eq!(MerkleTree::new(moved).root() == root, count == 1, "{count}");
        }
    }
}
