//! The comparator `similarity`: the share of characters that both texts have in common, in order.

use std::borrow::Cow;

use super::align::align;
use super::align_path::Step;
use super::comparison::{Comparison, share};
use super::exact;
use super::items::{Items, Unit, common_prefix, common_suffix, offset_of, without_bom};
use super::options::Settings;
use super::rules::{Rules, lower_case};
use super::subsequence::{characters, common_length, is_continuation};

/// The largest table of characters that is filled in whole: two texts of about 90,000 characters between the first and
/// the last that differ.
const MOST_CELLS: usize = 1 << 33;
/// Cells of all tables between pieces that agree.
const MOST_CELLS_OF_GAPS: usize = 1 << 34;
/// The largest of these tables, and the slices that a larger gap is cut into, in bytes of its longer side.
const MOST_CELLS_OF_GAP: usize = 1 << 30;
const SLICE: usize = 4096;

/// `ratio = 2 * common / (expected + actual)` in characters, 1 if both texts are empty, where `common` is the length
/// of the longest common subsequence.
///
/// It is exact where the product of both lengths, equal ends aside, is at most 2^33. Larger texts are cut into pieces
/// of about 20 bytes which are aligned, and the exact method is used between pieces that agree; the ratio is then a
/// lower bound, close for texts that are alike. It never is too high, it depends on nothing but the texts, and it
/// is the same whichever of the two is the expected one.
pub(super) fn compare(expected: &[u8], actual: &[u8], settings: &Settings) -> Comparison {
    let (expected, actual) = (without_bom(expected), without_bom(actual));
    let ratio = ratio(&normalised(expected, settings), &normalised(actual, settings));
    let passes = ratio >= settings.min_ratio;
    let summary = format!(
        "similarity {} to the expected text, at least {} {}",
        rounded_down(ratio),
        settings.min_ratio,
        if passes { "needed" } else { "is needed" },
    );
    if passes {
        return Comparison::same(summary);
    }
    Comparison::different(
        ratio,
        summary,
        Some(exact::difference(
            expected,
            actual,
            common_prefix(expected, actual),
        )),
    )
}

/// Four places, never rounded up to a minimum that was missed.
fn rounded_down(ratio: f64) -> f64 {
    (ratio * 10_000.0).floor() / 10_000.0
}

fn normalised<'t>(text: &'t [u8], settings: &Settings) -> Cow<'t, [u8]> {
    let mut text = Cow::Borrowed(text);
    if settings.ignore_space {
        let mut joined = Vec::with_capacity(text.len());
        for word in Items::new(Unit::Token, &text) {
            if !joined.is_empty() {
                joined.push(b' ');
            }
            joined.extend_from_slice(word);
        }
        text = Cow::Owned(joined);
    }
    if settings.ignore_case {
        let mut lowered = Vec::with_capacity(text.len());
        lower_case(&text, &mut lowered);
        text = Cow::Owned(lowered);
    }
    text
}

fn ratio(expected: &[u8], actual: &[u8]) -> f64 {
    if expected == actual {
        return 1.0;
    }
    // One order for both directions, so that the answer is the same in both.
    let (left, right) = if (expected.len(), expected) <= (actual.len(), actual) {
        (expected, actual)
    } else {
        (actual, expected)
    };
    let ratio = share(
        common(left, right),
        characters(left).count(),
        characters(right).count(),
    );
    ratio.min(1.0 - f64::EPSILON)
}

fn common(left: &[u8], right: &[u8]) -> usize {
    let mut prefix = common_prefix(left, right);
    while prefix > 0
        && [left, right]
            .iter()
            .any(|text| text.get(prefix).is_some_and(|byte| is_continuation(*byte)))
    {
        prefix -= 1;
    }
    let (left_rest, right_rest) = (&left[prefix..], &right[prefix..]);
    let mut suffix = common_suffix(left_rest, right_rest);
    while suffix > 0 && is_continuation(left_rest[left_rest.len() - suffix]) {
        suffix -= 1;
    }
    let (left_middle, right_middle) = (
        &left_rest[..left_rest.len() - suffix],
        &right_rest[..right_rest.len() - suffix],
    );
    let ends =
        characters(&left[..prefix]).count() + characters(&left_rest[left_rest.len() - suffix..]).count();
    let middle = common_length(left_middle, right_middle, MOST_CELLS);
    ends + middle.unwrap_or_else(|| common_by_pieces(left_middle, right_middle))
}

fn common_by_pieces(left: &[u8], right: &[u8]) -> usize {
    let mut common = 0;
    let mut gaps = Gaps {
        cells: MOST_CELLS_OF_GAPS,
    };
    let (mut left_done, mut right_done) = (0, 0);
    align(
        Items::new(Unit::Piece, left),
        Items::new(Unit::Piece, right),
        &Rules::default(),
        |step| {
            if let Step::Same(piece, other) = step {
                let (start, other_start) = (offset_of(left, piece), offset_of(right, other));
                common += gaps.common(&left[left_done..start], &right[right_done..other_start]);
                common += characters(piece).count();
                (left_done, right_done) = (start + piece.len(), other_start + other.len());
            }
        },
    );
    common + gaps.common(&left[left_done..], &right[right_done..])
}

/// What lies between pieces that agree, and how many cells may still be spent on it.
struct Gaps {
    cells: usize,
}

impl Gaps {
    /// The characters in common: exactly if the gap is small, slice by slice of both sides if it is not.
    fn common(&mut self, left: &[u8], right: &[u8]) -> usize {
        if left.is_empty() || right.is_empty() {
            return 0;
        }
        if let Some(common) = self.exactly(left, right) {
            return common;
        }
        let slices = left.len().max(right.len()).div_ceil(SLICE);
        let (mut left_start, mut right_start) = (0, 0);
        let mut common = 0;
        for slice in 1..=slices {
            let (left_end, right_end) = (cut(left, slice, slices), cut(right, slice, slices));
            common += self
                .exactly(&left[left_start..left_end], &right[right_start..right_end])
                .unwrap_or(0);
            (left_start, right_start) = (left_end, right_end);
            if self.cells == 0 {
                break;
            }
        }
        common
    }

    fn exactly(&mut self, left: &[u8], right: &[u8]) -> Option<usize> {
        let cells = left.len().saturating_mul(right.len());
        if cells > MOST_CELLS_OF_GAP {
            return None;
        }
        self.cells = self.cells.saturating_sub(cells);
        if self.cells == 0 {
            None
        } else {
            common_length(left, right, MOST_CELLS_OF_GAP)
        }
    }
}

/// The end of the given slice out of `slices`, moved to the end of a character.
fn cut(text: &[u8], slice: usize, slices: usize) -> usize {
    let end = text.len() * slice / slices;
    end + text[end..]
        .iter()
        .take_while(|byte| is_continuation(**byte))
        .count()
}
