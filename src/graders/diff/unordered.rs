//! The comparator `unordered`: the same lines, each as often, in any order.

use std::collections::BinaryHeap;
use std::hash::{BuildHasher, Hasher, RandomState};

use hashbrown::HashTable;

use super::comparison::{Comparison, counted, share};
use super::difference::{Difference, Sheet};
use super::escape::quoted;
use super::items::{Items, Unit, is_space, line_number, offset_of, without_bom};
use super::options::Settings;
use super::rules::Rules;

/// The score of a fail is the share of lines that have their like on the other side.
pub(super) fn compare(expected: &[u8], actual: &[u8], settings: &Settings) -> Comparison {
    let (expected, actual) = (without_bom(expected), without_bom(actual));
    let unit = if settings.ignore_blank_lines {
        Unit::NonBlankLine
    } else {
        Unit::Line
    };
    if expected == actual {
        return Comparison::same(format!(
            "the same {}",
            counted(Items::new(unit, actual).count(), "line")
        ));
    }
    let rules = Rules::of_lines(settings);
    // Keyed at random, so that nobody can prepare lines that collide. The order of hashes shows nowhere.
    let keys = RandomState::new();
    let expected_lines = Shares::of(expected, unit, &rules, &keys);
    let actual_lines = Shares::of(actual, unit, &rules, &keys);
    let (mut missing, mut surplus) = (Earliest::default(), Earliest::default());
    surplus.push_empty(&actual_lines.empty, expected_lines.empty.count);
    missing.push_empty(&expected_lines.empty, actual_lines.empty.count);
    let mut wanted = HashTable::new();
    for (lines, others) in expected_lines.shares.iter().zip(&actual_lines.shares) {
        settle(
            &mut wanted,
            (expected, lines),
            (actual, others),
            &rules,
            &mut surplus,
        );
        wanted
            .drain()
            .for_each(|line| missing.push(line.start, line.count as usize));
    }
    if missing.count == 0 && surplus.count == 0 {
        return Comparison::same(format!(
            "the same {} in some order",
            counted(actual_lines.count, "line")
        ));
    }
    let (first_missing, first_surplus) = (missing.lines(expected), surplus.lines(actual));
    let first = first_surplus.first().map_or(String::new(), |line| {
        format!(
            ", the first at line {}: {}",
            line_number(actual, offset_of(actual, line)),
            quoted(line, 60)
        )
    });
    let summary = format!(
        "{} of the output not expected{first}; {} of {} missing",
        counted(surplus.count, "line"),
        missing.count,
        counted(expected_lines.count, "expected line"),
    );
    let score = share(
        expected_lines.count - missing.count,
        expected_lines.count,
        actual_lines.count,
    );
    let difference = difference((&first_missing, missing.count), (&first_surplus, surplus.count));
    Comparison::different(score, summary, Some(difference))
}

/// A line by its place, and part of its hash. 12 bytes: there may be millions.
struct Line {
    hash: u32,
    start: u32,
    length: u32,
}

impl Line {
    fn text<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.start as usize..][..self.length as usize]
    }
}

/// The lines of a text, shared out by their hashes, so that the table of a share fits into a processor's cache: with
/// one table of ten million lines nearly every look into it waits for memory.
struct Shares {
    shares: Vec<Vec<Line>>,
    /// Lines with nothing in them are kept apart: there may be one for each byte.
    empty: Empty,
    count: usize,
}

/// How many lines have nothing in them that counts, and where the first of them are.
#[derive(Default)]
struct Empty {
    first: Vec<u32>,
    count: usize,
}

impl Shares {
    fn of(text: &[u8], unit: Unit, rules: &Rules, keys: &RandomState) -> Self {
        let overlooks_space = rules.ignore_space || rules.ignore_trailing_space;
        let mut shares = Vec::new();
        shares.resize_with(256, Vec::new);
        let (mut empty, mut count) = (Empty::default(), 0);
        for line in Items::new(unit, text) {
            count += 1;
            // `compare` refuses texts whose offsets do not fit.
            let [start, length] =
                [offset_of(text, line), line.len()].map(|place| u32::try_from(place).unwrap_or(u32::MAX));
            if line.is_empty() || overlooks_space && line.iter().all(|byte| is_space(*byte)) {
                empty.count += 1;
                if empty.first.len() < Difference::MOST_ROWS {
                    empty.first.push(start);
                }
                continue;
            }
            let mut hasher = keys.build_hasher();
            rules.hash(line, &mut hasher);
            let [share, _, _, _, hash @ ..] = hasher.finish().to_le_bytes();
            shares[usize::from(share)].push(Line {
                hash: u32::from_le_bytes(hash),
                start,
                length,
            });
        }
        Self { shares, empty, count }
    }
}

/// An expected line, and how many of it are still wanted.
struct Wanted {
    hash: u32,
    start: u32,
    length: u32,
    count: u32,
}

/// Takes the actual lines of a share off the expected ones. What is left in the table is missing.
fn settle(
    wanted: &mut HashTable<Wanted>,
    (expected, lines): (&[u8], &[Line]),
    (actual, others): (&[u8], &[Line]),
    rules: &Rules,
    surplus: &mut Earliest,
) {
    // The table looks at both ends of a hash.
    let spread = |hash: u32| u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let is = |known: &Wanted, hash: u32, line: &[u8]| {
        let known_line = &expected[known.start as usize..][..known.length as usize];
        known.hash == hash && rules.same(known_line, line)
    };
    for line in lines {
        let text = line.text(expected);
        wanted
            .entry(
                spread(line.hash),
                |known| is(known, line.hash, text),
                |known| spread(known.hash),
            )
            .and_modify(|known| known.count += 1)
            .or_insert(Wanted {
                hash: line.hash,
                start: line.start,
                length: line.length,
                count: 1,
            });
    }
    for line in others {
        let text = line.text(actual);
        match wanted.find_mut(spread(line.hash), |known| is(known, line.hash, text)) {
            Some(known) if known.count > 0 => known.count -= 1,
            _ => surplus.push(line.start, 1),
        }
    }
}

/// Counts lines, and keeps as many of the first as are shown.
#[derive(Default)]
struct Earliest {
    starts: BinaryHeap<u32>,
    count: usize,
}

impl Earliest {
    fn push(&mut self, start: u32, times: usize) {
        self.count += times;
        for _ in 0..times.min(Difference::MOST_ROWS) {
            if self.starts.len() < Difference::MOST_ROWS {
                self.starts.push(start);
            } else if self.starts.peek().is_some_and(|last| start < *last) {
                self.starts.pop();
                self.starts.push(start);
            } else {
                break;
            }
        }
    }

    /// Adds the empty lines behind the first `settled` ones.
    fn push_empty(&mut self, empty: &Empty, settled: usize) {
        let known = empty.first.get(settled..).unwrap_or_default();
        known.iter().for_each(|start| self.push(*start, 1));
        self.count += empty.count.saturating_sub(settled) - known.len();
    }

    fn lines<'t>(&self, text: &'t [u8]) -> Vec<&'t [u8]> {
        let mut starts = self.starts.iter().copied().collect::<Vec<_>>();
        starts.sort_unstable();
        let line = |start: u32| {
            Items::new(Unit::Line, &text[start as usize..])
                .next()
                .unwrap_or_default()
        };
        starts.into_iter().map(line).collect()
    }
}

/// Missing lines and surplus ones, the first of each and how many there are; half of the room for each if both are many.
fn difference(
    (missing, missing_count): (&[&[u8]], usize),
    (surplus, surplus_count): (&[&[u8]], usize),
) -> Difference {
    let (room, half) = (Difference::MOST_ROWS, Difference::MOST_ROWS / 2);
    let most_missing = missing.len().min(room - surplus.len().min(half));
    let mut sheet = Sheet::new();
    let (mut shown, mut others_shown) = (0, 0);
    for line in &missing[..most_missing] {
        shown += usize::from(sheet.push("-", line, 0));
    }
    for line in surplus.iter().take(room - most_missing) {
        others_shown += usize::from(sheet.push("+", line, 0));
    }
    let (rest, others) = (missing_count - shown, surplus_count - others_shown);
    if rest + others > 0 {
        sheet.cut(&format!(
            "{rest} more missing and {others} more unexpected lines are not shown"
        ))
    } else {
        sheet.finish()
    }
}
