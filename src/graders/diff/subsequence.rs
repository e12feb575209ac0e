//! The length of the longest common subsequence of two texts' characters, exactly, 64 cells of its table at a time.

use std::collections::HashMap;

/// Bits of all masks together: 32 MiB.
const MOST_MASK_WORDS: usize = 4 * 1024 * 1024;

/// The characters of a text. What is not UTF-8 has characters too, by the same rule wherever the text is cut: a byte
/// and the continuation bytes (binary 10xxxxxx) behind it, four bytes at most.
pub(super) fn characters(text: &[u8]) -> impl Iterator<Item = u32> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        let tail = after
            .iter()
            .take(3)
            .take_while(|byte| is_continuation(**byte))
            .count();
        let tail = if is_continuation(*first) { 0 } else { tail };
        let character = after[..tail]
            .iter()
            .fold(u32::from(*first), |value, byte| value << 8 | u32::from(*byte));
        rest = &after[tail..];
        Some(character)
    })
}

/// Whether the byte goes on with a character that began before it.
pub(super) fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// The length, or `None` if that would take more than `most_cells` cells of the table (one for each pair of characters), or
/// too much memory.
///
/// The method is that of Hyyrö, "Bit-parallel LCS-length computation revisited" (2004).
pub(super) fn common_length(left: &[u8], right: &[u8], most_cells: usize) -> Option<usize> {
    if left
        .len()
        .min(right.len())
        .saturating_mul(left.len().max(right.len()))
        > most_cells.saturating_mul(16)
    {
        return None;
    }
    let (left, right) = (
        characters(left).collect::<Vec<_>>(),
        characters(right).collect::<Vec<_>>(),
    );
    if left.len().saturating_mul(right.len()) > most_cells {
        return None;
    }
    let (short, long) = if left.len() <= right.len() {
        (left, right)
    } else {
        (right, left)
    };
    let words = short.len().div_ceil(64);
    let mut numbers = HashMap::new();
    for character in &short {
        let next = numbers.len();
        numbers.entry(*character).or_insert(next);
    }
    if numbers.len().saturating_mul(words) > MOST_MASK_WORDS {
        return None;
    }
    let mut masks = vec![0_u64; numbers.len() * words];
    for (index, character) in short.iter().enumerate() {
        masks[numbers[character] * words + index / 64] |= 1 << (index % 64);
    }
    let mut row = vec![u64::MAX; words];
    for number in long.iter().filter_map(|character| numbers.get(character)) {
        advance(&mut row, &masks[number * words..][..words]);
    }
    let beyond = words * 64 - short.len();
    let zeros = row.iter().map(|word| word.count_zeros() as usize).sum::<usize>();
    // The bits beyond the text have no mask, and so stay set.
    debug_assert!(
        row.last()
            .is_none_or(|word| word.leading_ones() as usize >= beyond)
    );
    Some(zeros)
}

/// One row of the table: `row = (row + (row & mask)) | (row & !mask)` over all words as one number.
fn advance(row: &mut [u64], mask: &[u64]) {
    let mut carry = false;
    for (word, mask) in row.iter_mut().zip(mask) {
        let (sum, first) = word.overflowing_add(*word & mask);
        let (sum, second) = sum.overflowing_add(u64::from(carry));
        carry = first || second;
        *word = sum | (*word & !mask);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_table(left: &[u8], right: &[u8]) -> usize {
        let (left, right) = (
            characters(left).collect::<Vec<_>>(),
            characters(right).collect::<Vec<_>>(),
        );
        let mut row = vec![0; right.len() + 1];
        for item in &left {
            let mut diagonal = 0;
            for (index, other) in right.iter().enumerate() {
                let above = row[index + 1];
                row[index + 1] = if item == other {
                    diagonal + 1
                } else {
                    above.max(row[index])
                };
                diagonal = above;
            }
        }
        row[right.len()]
    }

    #[test]
    fn a_character_is_counted_once_whatever_its_bytes() {
        assert_eq!(characters("aé€😀".as_bytes()).count(), 4);
        assert_eq!(characters(b"\x80\x80\xff").count(), 3);
        assert_eq!(common_length("é".as_bytes(), "è".as_bytes(), 99), Some(0));
    }

    #[test]
    fn too_large_a_table_is_refused() {
        assert_eq!(common_length(&[b'a'; 100], &[b'a'; 100], 9999), None);
        assert_eq!(common_length(&[b'a'; 100], &[b'a'; 100], 10_000), Some(100));
    }

    proptest! {
        #[test]
        fn the_length_is_that_of_the_plain_table(left in "[abcé]{0,200}", right in "[abcé]{0,200}") {
            let (left, right) = (left.as_bytes(), right.as_bytes());
            prop_assert_eq!(common_length(left, right, usize::MAX / 16), Some(by_table(left, right)));
        }
    }
}
