//! Which items of two sequences belong together, in one pass and bounded work, however large and however different they are.
//!
//! Finding the least difference of two sequences takes time that grows with its square, which a stranger can
//! choose. What is found here is good, not least: as long as both sides agree they are followed item by item; where
//! they part, a short look ahead finds the next pair of items that agree, and failing that a block of items of each side
//! is aligned as a whole. Both have a budget, counted and not timed; when it is spent, items are paired by position.
//! Whether the sequences are the same is exact; how alike they are is a lower bound.

use super::align_block::{align_block, block};
use super::align_path::{Path, Step};
use super::items::Items;
use super::rules::Rules;

/// How many items a short look ahead passes over, both sides together.
const LOOK_AHEAD: usize = 6;
/// How many items in a row must agree for a look ahead to have found the way again.
const RUN: usize = 2;
/// Comparisons of 16 bytes that may be spent on looking ahead.
const LOOK_AHEAD_WORK: usize = 8_000_000;
/// How many items may be aligned in blocks, both sides together.
const BLOCK_WORK: usize = 4_000_000;

/// Walks both sequences to their ends. There is no `Missing` and no `Extra` if and only if they are the same.
pub(super) fn align<'e, 'a>(
    expected: Items<'e>,
    actual: Items<'a>,
    rules: &Rules,
    mut visit: impl FnMut(Step<'e, 'a>),
) {
    let (mut expected, mut actual) = (expected, actual);
    let mut search = Search {
        rules,
        work: LOOK_AHEAD_WORK,
        items: BLOCK_WORK,
    };
    loop {
        let here = (expected, actual);
        match (expected.next(), actual.next()) {
            (None, None) => return,
            (Some(item), None) => visit(Step::Missing(item)),
            (None, Some(item)) => visit(Step::Extra(item)),
            (Some(item), Some(other)) if rules.same(item, other) => visit(Step::Same(item, other)),
            (Some(item), Some(other)) => match search.path_from(here.0, here.1) {
                Some(path) => {
                    (expected, actual) = here;
                    path.walk(&mut expected, &mut actual, &mut visit);
                }
                None => {
                    visit(Step::Missing(item));
                    visit(Step::Extra(other));
                }
            },
        }
    }
}

struct Search<'r> {
    rules: &'r Rules,
    work: usize,
    items: usize,
}

impl Search<'_> {
    fn path_from(&mut self, expected: Items<'_>, actual: Items<'_>) -> Option<Path> {
        if let Some(path) = self.look_ahead(expected, actual) {
            return Some(path);
        }
        if self.items == 0 {
            return None;
        }
        let (items, others) = (block(expected), block(actual));
        self.items = self.items.saturating_sub(items.len() + others.len());
        Some(align_block(&items, &others, self.rules))
    }

    fn look_ahead(&mut self, expected: Items<'_>, actual: Items<'_>) -> Option<Path> {
        if self.work == 0 {
            return None;
        }
        let (items, count) = first_items(expected);
        let (others, other_count) = first_items(actual);
        let (items, others) = (&items[..count], &others[..other_count]);
        for passed in 1..=LOOK_AHEAD {
            // The middle of the diagonal first: a changed item is more likely than a moved one.
            for step in 0..=passed {
                let aside = usize::div_ceil(step, 2);
                let index = if step % 2 == 0 {
                    passed / 2 - aside
                } else {
                    passed / 2 + aside
                };
                let other_index = passed - index;
                if self.agree(
                    items.get(index..).unwrap_or(&[]),
                    others.get(other_index..).unwrap_or(&[]),
                ) {
                    return Some(Path {
                        pairs: Vec::new(),
                        expected: index,
                        actual: other_index,
                    });
                }
            }
        }
        None
    }

    /// Whether the next [`RUN`] items agree, or all there are up to both ends.
    fn agree(&mut self, items: &[&[u8]], others: &[&[u8]]) -> bool {
        if items.is_empty() || others.is_empty() {
            return false;
        }
        (0..RUN).all(|ahead| match (items.get(ahead), others.get(ahead)) {
            (Some(item), Some(other)) => {
                self.work = self.work.saturating_sub(1 + item.len().min(other.len()) / 16);
                self.rules.same(item, other)
            }
            (None, None) => true,
            _ => false,
        })
    }
}

fn first_items(mut items: Items<'_>) -> ([&[u8]; LOOK_AHEAD + RUN], usize) {
    let mut first: [&[u8]; LOOK_AHEAD + RUN] = [&[]; LOOK_AHEAD + RUN];
    let mut count = 0;
    for (slot, item) in first.iter_mut().zip(&mut items) {
        *slot = item;
        count += 1;
    }
    (first, count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::items::Unit;
    use super::*;

    fn steps(expected: &str, actual: &str) -> String {
        let mut out = String::new();
        let items = |text| Items::new(Unit::Token, text);
        align(
            items(expected.as_bytes()),
            items(actual.as_bytes()),
            &Rules::default(),
            |step| {
                let (sign, item) = match step {
                    Step::Same(item, _) => ("", item),
                    Step::Missing(item) => ("-", item),
                    Step::Extra(item) => ("+", item),
                };
                out.push_str(sign);
                out.push_str(std::str::from_utf8(item).unwrap());
                out.push(' ');
            },
        );
        out
    }

    fn numbers(range: std::ops::Range<usize>) -> String {
        range.map(|number| format!("{number} ")).collect()
    }

    fn matched(expected: &str, actual: &str) -> usize {
        steps(expected, actual)
            .split(' ')
            .filter(|item| item.starts_with(|first: char| first.is_alphanumeric()))
            .count()
    }

    #[test]
    fn a_changed_a_missing_and_an_extra_item_are_found_as_such() {
        assert_eq!(steps("a b c d", "a x c d"), "a -b +x c d ");
        assert_eq!(steps("a b c d", "a c d"), "a -b c d ");
        assert_eq!(steps("a c d", "a b c d"), "a +b c d ");
        assert_eq!(steps("a b", "a b c"), "a b +c ");
        assert_eq!(steps("a b", ""), "-a -b ");
    }

    #[test]
    fn a_long_insertion_is_passed_over() {
        let (start, middle, end) = (numbers(0..50), numbers(1000..1100), numbers(50..90));
        assert_eq!(
            matched(&format!("{start}{end}"), &format!("{start}{middle}{end}")),
            90
        );
        assert_eq!(
            matched(&format!("{start}{middle}{end}"), &format!("{start}{end}")),
            90
        );
    }

    #[test]
    fn entirely_different_sequences_have_nothing_in_common() {
        assert_eq!(matched(&numbers(0..20_000), &numbers(50_000..70_000)), 0);
    }

    proptest! {
        #[test]
        fn every_item_is_visited_once_and_in_order(expected in "[abc ]{0,40}", actual in "[abc ]{0,40}") {
            let all = steps(&expected, &actual);
            let side = |left_out: char| {
                let items = all.split_ascii_whitespace().filter(|item| !item.starts_with(left_out));
                items.map(|item| item.trim_start_matches(['-', '+'])).collect::<Vec<_>>().join(" ")
            };
            let words = |text: &str| text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            prop_assert_eq!(side('+'), words(&expected));
            prop_assert_eq!(side('-'), words(&actual));
            prop_assert_eq!(all.contains(['-', '+']), words(&expected) != words(&actual));
        }
    }
}
