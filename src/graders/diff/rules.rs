//! When two items, lines or tokens, are the same.

use std::hash::Hasher;

use super::items::{Items, Unit, is_space};
use super::number::Tolerance;
use super::options::Settings;

/// What is overlooked within an item.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rules {
    pub(super) ignore_case: bool,
    /// Within a line; tokens hold none.
    pub(super) ignore_space: bool,
    pub(super) ignore_trailing_space: bool,
    pub(super) tolerance: Option<Tolerance>,
}

impl Rules {
    pub(super) fn of_lines(settings: &Settings) -> Self {
        Self {
            ignore_case: settings.ignore_case,
            ignore_space: settings.ignore_space,
            ignore_trailing_space: settings.ignore_trailing_space,
            tolerance: None,
        }
    }

    pub(super) fn of_tokens(settings: &Settings) -> Self {
        Self {
            ignore_case: settings.ignore_case,
            tolerance: settings.tolerance,
            ..Self::default()
        }
    }

    /// Whether the actual item passes for the expected one. Without a tolerance this is an equivalence.
    pub(super) fn same(&self, expected: &[u8], actual: &[u8]) -> bool {
        if expected == actual {
            return true;
        }
        if let Some(passes) = self
            .tolerance
            .and_then(|tolerance| tolerance.accepts(expected, actual))
        {
            return passes;
        }
        if self.ignore_space {
            let words = Items::new(Unit::Token, expected);
            let mut others = Items::new(Unit::Token, actual);
            return words
                .into_iter()
                .all(|word| others.next().is_some_and(|other| self.same_word(word, other)))
                && others.next().is_none();
        }
        if self.ignore_trailing_space {
            return self.same_word(without_trailing_space(expected), without_trailing_space(actual));
        }
        self.same_word(expected, actual)
    }

    fn same_word(&self, left: &[u8], right: &[u8]) -> bool {
        left == right || self.ignore_case && same_but_for_case(left, right)
    }

    /// Feeds a hasher so that items which are the same, but for the tolerance, hash the same.
    pub(super) fn hash(&self, item: &[u8], hasher: &mut impl Hasher) {
        if self.ignore_space {
            for word in Items::new(Unit::Token, item) {
                self.hash_word(word, hasher);
                hasher.write_u8(b' ');
            }
        } else if self.ignore_trailing_space {
            self.hash_word(without_trailing_space(item), hasher);
        } else {
            self.hash_word(item, hasher);
        }
    }

    fn hash_word(&self, word: &[u8], hasher: &mut impl Hasher) {
        if !self.ignore_case {
            hasher.write(word);
        } else if word.is_ascii() {
            let mut lowered = [0_u8; 64];
            for block in word.chunks(lowered.len()) {
                let lowered = &mut lowered[..block.len()];
                lowered.copy_from_slice(block);
                lowered.make_ascii_lowercase();
                hasher.write(lowered);
            }
        } else {
            let mut lowered = Vec::with_capacity(word.len());
            lower_case(word, &mut lowered);
            // In the same blocks as above: a non-ASCII text may be ASCII once it is lowered.
            lowered.chunks(64).for_each(|block| hasher.write(block));
        }
    }
}

fn without_trailing_space(line: &[u8]) -> &[u8] {
    &line[..line
        .iter()
        .rposition(|byte| !is_space(*byte))
        .map_or(0, |last| last + 1)]
}

fn same_but_for_case(left: &[u8], right: &[u8]) -> bool {
    if left.is_ascii() && right.is_ascii() {
        return left.eq_ignore_ascii_case(right);
    }
    lowered(left).eq(lowered(right))
}

/// Characters lowered one by one; a byte that is not UTF-8 is a number of its own beyond the characters.
fn lowered(text: &[u8]) -> impl Iterator<Item = u32> {
    text.utf8_chunks().flat_map(|chunk| {
        let characters = chunk.valid().chars().flat_map(char::to_lowercase).map(u32::from);
        characters.chain(chunk.invalid().iter().map(|byte| 0x11_0000 + u32::from(*byte)))
    })
}

/// Appends the text with each character lowered on its own, and bytes that are not UTF-8 as they are.
pub(super) fn lower_case(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars().flat_map(char::to_lowercase) {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        out.extend_from_slice(chunk.invalid());
    }
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use proptest::prelude::*;

    use super::*;

    fn rules(ignore_case: bool, ignore_space: bool, ignore_trailing_space: bool) -> Rules {
        Rules {
            ignore_case,
            ignore_space,
            ignore_trailing_space,
            tolerance: None,
        }
    }

    fn hash(rules: Rules, item: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        rules.hash(item, &mut hasher);
        hasher.finish()
    }

    #[test]
    fn each_rule_overlooks_what_it_says_and_no_more() {
        assert!(rules(true, false, false).same("ÉtÉ K".as_bytes(), "éTé \u{212a}".as_bytes()));
        assert!(!rules(true, false, false).same(b"a ", b"a"));
        assert!(rules(false, false, true).same(b"a\t\r", b"a"));
        assert!(!rules(false, false, true).same(b" a", b"a"));
        assert!(rules(false, true, false).same(b" a  b\r", b"a\tb"));
        assert!(!rules(false, true, false).same(b"a b", b"ab"));
        assert!(!rules(false, true, false).same(b"a b", b"a"));
        assert!(!rules(false, true, false).same(b"a", b"a b"));
    }

    #[test]
    fn with_a_tolerance_the_expected_token_says_whether_numbers_are_compared() {
        let rules = Rules {
            tolerance: Tolerance::new(Some(0.1), None),
            ignore_case: true,
            ..Rules::default()
        };
        assert!(rules.same(b"1.0", b"1.05"));
        assert!(!rules.same(b"1.0", b"one"));
        assert!(!rules.same(b"one", b"1.0"));
        assert!(rules.same(b"NaN", b"nan"));
        assert!(rules.same(b"inf", b"INF"));
        assert!(!rules.same(b"inf", b"1e308"));
        assert!(!rules.same(b"1", b"nan"));
        assert!(!rules.same(b"0x10", b"16"));
    }

    proptest! {
        #[test]
        fn what_is_the_same_hashes_the_same(
            left in "[aAéÉ\u{212a}kK \t\r]{0,6}", right in "[aAéÉ\u{212a}kK \t\r]{0,6}",
            case: bool, space: bool, trailing: bool,
        ) {
            let rules = rules(case, space, trailing);
            let (left, right) = (left.as_bytes(), right.as_bytes());
            prop_assert_eq!(rules.same(left, right), rules.same(right, left));
            prop_assert_eq!(rules.same(left, right), hash(rules, left) == hash(rules, right));
        }
    }
}
