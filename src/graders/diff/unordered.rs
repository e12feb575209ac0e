//! The comparator `unordered`: the same lines, each as often, in any order.

use std::collections::BinaryHeap;
use std::hash::{BuildHasher, Hasher, RandomState};

use hashbrown::HashTable;
use memchr::memchr_iter;

use super::comparison::{Comparison, counted, share};
use super::difference::{Difference, Sheet};
use super::escape::quoted;
use super::items::{Items, Unit, line_number, offset_of, without_bom};
use super::options::Settings;
use super::rules::Rules;

/// A line of the expected text and how many of it are still wanted. 12 bytes: there may be millions.
struct Wanted {
    start: u32,
    length: u32,
    count: u32,
}

impl Wanted {
    fn new(text: &[u8], line: &[u8]) -> Self {
        // `compare` refuses texts whose offsets do not fit.
        let in_32_bits = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
        Self {
            start: in_32_bits(offset_of(text, line)),
            length: in_32_bits(line.len()),
            count: 1,
        }
    }

    fn line<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.start as usize..][..self.length as usize]
    }
}

/// Lines of the actual text for which there is no expected one left.
#[derive(Default)]
struct Surplus<'a> {
    /// The first of them, as far as they are shown.
    first: Vec<&'a [u8]>,
    count: usize,
}

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
    // Keyed at random, so that nobody can prepare lines that collide. The order of the table shows nowhere.
    let keys = RandomState::new();
    let hash = |line: &[u8]| {
        let mut hasher = keys.build_hasher();
        rules.hash(line, &mut hasher);
        hasher.finish()
    };
    // Room from the start, for moving millions of lines costs more than not using some of it: distinct lines are
    // hardly shorter than four bytes, line feed included, where there are many.
    let room = memchr_iter(b'\n', expected).count().min(expected.len() / 4) + 1;
    let mut wanted: HashTable<Wanted> = HashTable::with_capacity(room);
    let mut expected_count = 0;
    for line in Items::new(unit, expected) {
        expected_count += 1;
        let same = |known: &Wanted| rules.same(known.line(expected), line);
        let entry = wanted.entry(hash(line), same, |known| hash(known.line(expected)));
        entry
            .and_modify(|known| known.count += 1)
            .or_insert_with(|| Wanted::new(expected, line));
    }
    let mut actual_count = 0;
    let mut surplus = Surplus::default();
    for line in Items::new(unit, actual) {
        actual_count += 1;
        match wanted.find_mut(hash(line), |known| rules.same(known.line(expected), line)) {
            Some(known) if known.count > 0 => known.count -= 1,
            _ => {
                surplus.count += 1;
                if surplus.first.len() < Difference::MOST_ROWS {
                    surplus.first.push(line);
                }
            }
        }
    }
    let matched = actual_count - surplus.count;
    let missing = expected_count - matched;
    if missing == 0 && surplus.count == 0 {
        return Comparison::same(format!(
            "the same {} in some order",
            counted(actual_count, "line")
        ));
    }
    let first = surplus.first.first().map_or(String::new(), |line| {
        format!(
            ", the first at line {}: {}",
            line_number(actual, offset_of(actual, line)),
            quoted(line, 60)
        )
    });
    let summary = format!(
        "{} of the output not expected{first}; {} of {} missing",
        counted(surplus.count, "line"),
        missing,
        counted(expected_count, "expected line"),
    );
    let first_missing = first_missing(&wanted)
        .into_iter()
        .map(|start| line_at(expected, start));
    let difference = difference(first_missing, missing, &surplus);
    Comparison::different(
        share(matched, expected_count, actual_count),
        summary,
        Some(difference),
    )
}

fn line_at(text: &[u8], start: u32) -> &[u8] {
    Items::new(Unit::Line, &text[start as usize..])
        .next()
        .unwrap_or_default()
}

/// Where the first lines start that are still wanted, as often as they are, in the order of the text.
fn first_missing(wanted: &HashTable<Wanted>) -> Vec<u32> {
    let mut first = BinaryHeap::new();
    for line in wanted.iter().filter(|line| line.count > 0) {
        let is_full = first.len() == Difference::MOST_ROWS;
        if is_full && first.peek().is_some_and(|(last, _)| line.start > *last) {
            continue;
        }
        if is_full {
            first.pop();
        }
        first.push((line.start, line.count));
    }
    let each = |(start, count)| std::iter::repeat_n(start, usize::try_from(count).unwrap_or(usize::MAX));
    first
        .into_sorted_vec()
        .into_iter()
        .flat_map(each)
        .take(Difference::MOST_ROWS)
        .collect()
}

/// Missing lines and surplus ones, half of the room for each if both are many.
fn difference<'e>(
    missing: impl ExactSizeIterator<Item = &'e [u8]>,
    missing_count: usize,
    surplus: &Surplus<'_>,
) -> Difference {
    let half = Difference::MOST_ROWS / 2;
    let room = Difference::MOST_ROWS;
    let (most_missing, most_surplus) = match (missing.len(), surplus.first.len()) {
        (few, _) if few <= half => (few, room - few),
        (_, few) if few <= half => (room - few, few),
        _ => (half, half),
    };
    let mut sheet = Sheet::new();
    let (mut shown, mut others_shown) = (0, 0);
    for line in missing.take(most_missing) {
        shown += usize::from(sheet.push("-", line, 0));
    }
    for line in surplus.first.iter().take(most_surplus) {
        others_shown += usize::from(sheet.push("+", line, 0));
    }
    let (rest, others) = (missing_count - shown, surplus.count - others_shown);
    if rest + others > 0 {
        sheet.cut(&format!(
            "{rest} more missing and {others} more unexpected lines are not shown"
        ))
    } else {
        sheet.finish()
    }
}
