//! A block of items of each side, aligned as a whole: what a short look ahead does not find.

use std::hash::{DefaultHasher, Hasher};

use super::align_path::Path;
use super::items::{Items, Unit};
use super::rules::Rules;

/// Most items of a block, and most bytes, of each side.
const BLOCK_ITEMS: usize = 4096;
const BLOCK_BYTES: usize = 256 * 1024;
/// Pieces are cut by chance, so that as many of them may be more or less text; a block of them is so many bytes instead.
const BLOCK_BYTES_OF_PIECES: usize = 32 * 1024;
/// How many places of a repeated item are considered within a block.
const CANDIDATES: usize = 8;

/// The next items, as many as are aligned as a whole.
pub(super) fn block(items: Items<'_>) -> Vec<&[u8]> {
    let most_bytes = match items.unit() {
        Unit::Piece => BLOCK_BYTES_OF_PIECES,
        _ => BLOCK_BYTES,
    };
    let mut bytes = 0;
    let within = |item: &&[u8]| {
        let first = bytes == 0;
        bytes += item.len() + 1;
        first || bytes <= most_bytes
    };
    items.take(BLOCK_ITEMS).take_while(within).collect()
}

/// The longest chain of pairs among each item's nearest few candidates (Hunt and Szymanski's method), or the pairs by
/// position where these are more, as they are when numbers agree within a tolerance only.
pub(super) fn align_block(items: &[&[u8]], others: &[&[u8]], rules: &Rules) -> Path {
    let mut pairs = longest_chain(items, others, rules);
    let by_position = |index: &usize| rules.same(items[*index], others[*index]);
    let level = (0..items.len().min(others.len()))
        .filter(by_position)
        .map(|index| (index, index));
    let level = level.collect::<Vec<_>>();
    if level.len() > pairs.len() {
        pairs = level;
    }
    let (expected, actual) = match pairs.last() {
        // Going on right behind the last pair keeps what follows in step; the block must be half passed, though, lest
        // the work grow with the square.
        Some((last, other_last)) if 2 * last >= items.len() || 2 * other_last >= others.len() => {
            (last + 1, other_last + 1)
        }
        _ => (items.len(), others.len()),
    };
    Path {
        pairs,
        expected,
        actual,
    }
}

fn longest_chain(items: &[&[u8]], others: &[&[u8]], rules: &Rules) -> Vec<(usize, usize)> {
    struct Link {
        pair: (usize, usize),
        before: Option<usize>,
    }
    let mut places = others
        .iter()
        .enumerate()
        .map(|(index, other)| (digest(other, rules), index))
        .collect::<Vec<_>>();
    places.sort_unstable();
    let mut links: Vec<Link> = Vec::new();
    // For each length of chain, the link that ends such a chain earliest in `others`.
    let mut ends: Vec<usize> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let digest = digest(item, rules);
        let of_item = places.partition_point(|place| place.0 < digest)
            ..places.partition_point(|place| place.0 <= digest);
        let nearest = places[of_item.clone()].partition_point(|place| place.1 < index);
        let first = nearest
            .saturating_sub(CANDIDATES / 2)
            .min(of_item.len().saturating_sub(CANDIDATES));
        let candidates = places[of_item].iter().skip(first).take(CANDIDATES);
        // Backwards, so that an item does not follow itself.
        for (_, other_index) in candidates.copied().rev() {
            if !rules.same(item, others[other_index]) {
                continue;
            }
            let length = ends.partition_point(|end| links[*end].pair.1 < other_index);
            let before = length.checked_sub(1).map(|shorter| ends[shorter]);
            links.push(Link {
                pair: (index, other_index),
                before,
            });
            let link = links.len() - 1;
            match ends.get_mut(length) {
                Some(end) => *end = link,
                None => ends.push(link),
            }
        }
    }
    let mut chain = Vec::with_capacity(ends.len());
    let mut next = ends.last().copied();
    while let Some(link) = next {
        chain.push(links[link].pair);
        next = links[link].before;
    }
    chain.reverse();
    chain
}

fn digest(item: &[u8], rules: &Rules) -> u64 {
    let mut hasher = DefaultHasher::new();
    rules.hash(item, &mut hasher);
    hasher.finish()
}
