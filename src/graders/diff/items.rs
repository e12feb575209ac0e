//! Cursors over text that is only bytes: its lines, words or pieces as slices of it, and places within it.

use std::fmt;

use memchr::{memchr, memchr_iter, memrchr};

/// What a text is taken apart into. Items are never copied: they are slices of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Lines without their line feeds. A text that ends with one has no further, empty line.
    Line,
    /// As `Line`, without those that are empty or only white space.
    NonBlankLine,
    /// Lines with their line feeds.
    LineWithEnd,
    /// Runs of anything but white space.
    Token,
    /// Runs of anything but white space, and runs of white space.
    TokenOrSpace,
    /// About 20 bytes each, cut where the text itself says so, so that an insertion moves no cut beyond its surroundings.
    Piece,
}

/// Shorter ones would agree by chance, and lead astray.
const SHORTEST_PIECE: usize = 8;
const LONGEST_PIECE: usize = 64;

/// The items of a text, from the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Items<'t> {
    unit: Unit,
    rest: &'t [u8],
}

impl<'t> Items<'t> {
    pub(super) fn new(unit: Unit, text: &'t [u8]) -> Self {
        Self { unit, rest: text }
    }

    pub(super) fn unit(&self) -> Unit {
        self.unit
    }

    fn take(&mut self, length: usize) -> &'t [u8] {
        let (item, rest) = self.rest.split_at(length);
        self.rest = rest;
        item
    }

    fn line(&mut self) -> Option<&'t [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        match memchr(b'\n', self.rest) {
            Some(end) => {
                let line = self.take(end);
                self.rest = &self.rest[1..];
                Some(line)
            }
            None => Some(self.take(self.rest.len())),
        }
    }

    fn run(&mut self, of_space: bool) -> &'t [u8] {
        let length = self.rest.iter().position(|byte| is_space(*byte) != of_space);
        self.take(length.unwrap_or(self.rest.len()))
    }
}

impl<'t> Iterator for Items<'t> {
    type Item = &'t [u8];

    fn next(&mut self) -> Option<&'t [u8]> {
        match self.unit {
            Unit::Line => self.line(),
            Unit::NonBlankLine => loop {
                let line = self.line()?;
                if !line.iter().all(|byte| is_space(*byte)) {
                    return Some(line);
                }
            },
            Unit::LineWithEnd => {
                let end = memchr(b'\n', self.rest).map_or(self.rest.len(), |end| end + 1);
                (end > 0).then(|| self.take(end))
            }
            Unit::Token => {
                self.run(true);
                let token = self.run(false);
                (!token.is_empty()).then_some(token)
            }
            Unit::TokenOrSpace => {
                let of_space = is_space(*self.rest.first()?);
                Some(self.run(of_space))
            }
            Unit::Piece => {
                let end = piece_end(self.rest);
                (end > 0).then(|| self.take(end))
            }
        }
    }
}

impl Unit {
    /// The offset of the item that is `count` items before the one at `offset`, or of the first one.
    pub(super) fn back(self, text: &[u8], mut offset: usize, count: usize) -> usize {
        for _ in 0..count {
            let before = &text[..offset];
            offset = match self {
                Unit::Line | Unit::LineWithEnd | Unit::Piece => line_start(before),
                Unit::NonBlankLine => {
                    let mut start = line_start(before);
                    while start > 0 && text[start..offset].iter().all(|byte| is_space(*byte)) {
                        start = line_start(&text[..start]);
                    }
                    start
                }
                Unit::Token => run_start(&before[..run_start(before, true)], false),
                Unit::TokenOrSpace => match before.last() {
                    Some(last) => run_start(before, is_space(*last)),
                    None => 0,
                },
            };
        }
        offset
    }
}

/// Where the last line of `text` begins.
fn line_start(text: &[u8]) -> usize {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    memrchr(b'\n', text).map_or(0, |end| end + 1)
}

/// Where the run of white space (or of anything else) begins that ends `text`.
fn run_start(text: &[u8], of_space: bool) -> usize {
    text.iter()
        .rposition(|byte| is_space(*byte) != of_space)
        .map_or(0, |last| last + 1)
}

/// A piece ends with a line, or where the last four bytes hash to zero in four bits, unless it is too short yet; or
/// when it gets too long; and never within a character.
fn piece_end(text: &[u8]) -> usize {
    let mut last_four = 0_u32;
    for (index, byte) in text.iter().enumerate() {
        let length = index + 1;
        last_four = last_four << 8 | u32::from(*byte);
        let is_sign = *byte == b'\n' || last_four.wrapping_mul(0x9e37_79b1) >> 28 == 0;
        let is_cut = is_sign && length >= SHORTEST_PIECE || length >= LONGEST_PIECE;
        let in_character = text.get(length).is_some_and(|next| next & 0xc0 == 0x80);
        if is_cut && !in_character || length >= 2 * LONGEST_PIECE {
            return length;
        }
    }
    text.len()
}

/// ASCII white space, as `isspace` has it in the C locale.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// The text without the UTF-8 byte order mark that it may start with.
pub(super) fn without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Where `part`, a slice of `text`, starts in it.
pub(super) fn offset_of(text: &[u8], part: &[u8]) -> usize {
    part.as_ptr()
        .addr()
        .saturating_sub(text.as_ptr().addr())
        .min(text.len())
}

/// How many bytes the texts have in common at their start.
pub(super) fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    const BLOCK: usize = 4096;
    let blocks = left
        .chunks_exact(BLOCK)
        .zip(right.chunks_exact(BLOCK))
        .take_while(|(left, right)| left == right);
    let start = blocks.count() * BLOCK;
    start
        + left[start..]
            .iter()
            .zip(&right[start..])
            .take_while(|(left, right)| left == right)
            .count()
}

/// How many bytes the texts have in common at their end.
pub(super) fn common_suffix(left: &[u8], right: &[u8]) -> usize {
    const BLOCK: usize = 4096;
    let blocks = left
        .rchunks_exact(BLOCK)
        .zip(right.rchunks_exact(BLOCK))
        .take_while(|(left, right)| left == right);
    let end = blocks.count() * BLOCK;
    let (left, right) = (&left[..left.len() - end], &right[..right.len() - end]);
    end + left
        .iter()
        .rev()
        .zip(right.iter().rev())
        .take_while(|(left, right)| left == right)
        .count()
}

/// The number of the line at `offset`, from 1.
pub(super) fn line_number(text: &[u8], offset: usize) -> usize {
    memchr_iter(b'\n', &text[..offset]).count() + 1
}

/// A place in a text as a person counts: lines and characters from 1, a byte that is not UTF-8 being one character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    pub(super) fn of(text: &[u8], offset: usize) -> Self {
        let start = memrchr(b'\n', &text[..offset]).map_or(0, |end| end + 1);
        let before = text[start..offset].utf8_chunks();
        let characters = before
            .map(|chunk| chunk.valid().chars().count() + chunk.invalid().len())
            .sum::<usize>();
        Self {
            line: line_number(text, start),
            column: characters + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn items(unit: Unit, text: &str) -> Vec<&str> {
        Items::new(unit, text.as_bytes())
            .map(|item| std::str::from_utf8(item).unwrap())
            .collect()
    }

    #[test]
    fn each_unit_takes_a_text_apart_in_its_way() {
        assert_eq!(items(Unit::Line, "a\n\n b\r\n"), ["a", "", " b\r"]);
        assert_eq!(items(Unit::Line, "a\n\nb"), ["a", "", "b"]);
        assert_eq!(items(Unit::Line, "\n"), [""]);
        assert_eq!(items(Unit::Line, ""), [""; 0]);
        assert_eq!(items(Unit::NonBlankLine, "\n a\n \r\n\nb"), [" a", "b"]);
        assert_eq!(items(Unit::LineWithEnd, "a\n\nb"), ["a\n", "\n", "b"]);
        assert_eq!(items(Unit::Token, " a\tb\u{b}\n c "), ["a", "b", "c"]);
        assert_eq!(items(Unit::Token, " \n"), [""; 0]);
        assert_eq!(items(Unit::TokenOrSpace, " a\t\nb"), [" ", "a", "\t\n", "b"]);
    }

    #[test]
    fn going_back_finds_the_start_of_an_earlier_item() {
        let text = b"one two\nthree  four\n";
        assert_eq!(Unit::Line.back(text, 8, 1), 0);
        assert_eq!(Unit::Line.back(text, 20, 1), 8);
        assert_eq!(Unit::Token.back(text, 15, 2), 4);
        assert_eq!(Unit::Token.back(text, 15, 9), 0);
        assert_eq!(Unit::TokenOrSpace.back(text, 15, 2), 8);
    }

    #[test]
    fn places_count_lines_and_characters_from_one() {
        assert_eq!(Place::of("é\nüb".as_bytes(), 5), Place { line: 2, column: 2 });
        assert_eq!(Place::of(b"\xff\xffb", 2), Place { line: 1, column: 3 });
        assert_eq!(Place::of(b"a\n", 2).to_string(), "line 2, column 1");
    }

    proptest! {
        #[test]
        fn pieces_make_up_the_text(text: Vec<u8>) {
            prop_assert_eq!(Items::new(Unit::Piece, &text).collect::<Vec<_>>().concat(), text);
        }

        #[test]
        fn common_ends_are_as_long_as_they_can_be(start in 0_usize..9000, left in "[ab]{0,3}", right in "[ab]{0,3}") {
            let (left, right) = ("x".repeat(start) + &left, "x".repeat(start) + &right);
            let prefix = common_prefix(left.as_bytes(), right.as_bytes());
            prop_assert_eq!(&left[..prefix], &right[..prefix]);
            prop_assert!(left[prefix..].is_empty() || right[prefix..].is_empty() || left[prefix..][..1] != right[prefix..][..1]);
            let reversed = |text: &str| text.bytes().rev().collect::<Vec<_>>();
            prop_assert_eq!(common_suffix(&reversed(&left), &reversed(&right)), prefix);
        }
    }
}
