//! The readable difference of two texts, for the operator: bounded whatever the input.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};

use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices, group_diff_ops};

use super::escape::push_escaped;
use super::items::{Items, Unit, common_prefix, line_number, offset_of};
use super::rules::Rules;

/// A unified difference of both sides, for people: at most 200 rows of 400 characters and 64 KiB, the
/// rest cut and said to be cut. It shows the expected text, so it is not for the public.
///
/// Rows are escaped as in Rust's string literals: control characters, invisible characters and bytes that are not UTF-8
/// cannot steer a terminal, and a backslash is doubled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    text: String,
    cut: bool,
}

impl Difference {
    /// The most rows that are shown, the heading and the note on what was cut apart.
    pub const MOST_ROWS: usize = 200;
    /// The most characters of a row.
    pub const MOST_CHARACTERS: usize = 400;
    /// The most bytes of the whole.
    pub const MOST_BYTES: usize = 64 * 1024;

    /// The text: rows that start with `-` (expected), `+` (actual), a space (both) or `@@` (where), each ended with a
    /// line feed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether something was left out.
    pub fn is_cut(&self) -> bool {
        self.cut
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A difference being written.
pub(super) struct Sheet {
    text: String,
    rows: usize,
    cut: bool,
}

/// Room for the note that says what was cut.
const NOTE_BYTES: usize = 256;
/// How much of a row is kept before the place that matters in it.
const BEFORE_FOCUS: usize = 60;

impl Sheet {
    pub(super) fn new() -> Self {
        Self {
            text: "--- expected\n+++ actual\n".to_owned(),
            rows: 0,
            cut: false,
        }
    }

    /// Adds a row unless the sheet is full. A row that is too long is cut around byte `focus`.
    pub(super) fn push(&mut self, sign: &str, row: &[u8], focus: usize) -> bool {
        let before = self.text.len();
        if self.rows == Difference::MOST_ROWS {
            return false;
        }
        let mut start = 0;
        if row.len() > Difference::MOST_CHARACTERS / 2 && focus > BEFORE_FOCUS {
            start = (focus - BEFORE_FOCUS).min(row.len());
            while start < row.len() && row[start] & 0xc0 == 0x80 && focus - start < BEFORE_FOCUS + 4 {
                start -= 1;
            }
        }
        self.text.push_str(sign);
        let mut room = Difference::MOST_CHARACTERS - sign.len() - 2;
        if start > 0 {
            let note = format!("({start} bytes)… ");
            room -= note.chars().count().min(room);
            self.text.push_str(&note);
        }
        if !push_escaped(&mut self.text, &row[start..], room) {
            self.text.push('…');
            self.cut = true;
        }
        self.cut |= start > 0;
        self.text.push('\n');
        if self.text.len() > Difference::MOST_BYTES - NOTE_BYTES {
            self.text.truncate(before);
            return false;
        }
        self.rows += 1;
        true
    }

    /// Says in a last row what was left out. `rest` is our own text, one short line.
    pub(super) fn cut(mut self, rest: &str) -> Difference {
        self.text.push_str("… cut here: ");
        self.text.push_str(rest);
        self.text.push('\n');
        Difference {
            text: self.text,
            cut: true,
        }
    }

    pub(super) fn finish(mut self) -> Difference {
        if self.cut {
            self.text.push_str("… long rows are cut\n");
        }
        Difference {
            text: self.text,
            cut: self.cut,
        }
    }
}

/// How many rows of context surround a change.
pub(super) const CONTEXT: usize = 3;
const WINDOW_ROWS: usize = 2000;
const WINDOW_BYTES: usize = 1024 * 1024;

/// The part of a text that a difference is made of: a few items before the first change, and many after it.
pub(super) struct Window<'t> {
    rows: Vec<&'t [u8]>,
    /// The number that a person knows each row by: of the line, or of the token.
    numbers: Vec<usize>,
    /// The items of the text from the first row on.
    items: usize,
}

impl<'t> Window<'t> {
    /// The window of `text` around the item at `offset`, which is number `index` of `total`.
    pub(super) fn around(text: &'t [u8], unit: Unit, offset: usize, index: usize, total: usize) -> Self {
        let context = index.min(CONTEXT);
        let start = unit.back(text, offset, context);
        let mut bytes = 0;
        let mut rows = Vec::new();
        for row in Items::new(unit, &text[start..]).take(WINDOW_ROWS) {
            bytes += row.len();
            if bytes > WINDOW_BYTES && rows.len() > context {
                break;
            }
            rows.push(row);
        }
        let numbers = match unit {
            Unit::Token | Unit::TokenOrSpace | Unit::Piece => {
                (0..rows.len()).map(|row| index - context + row + 1).collect()
            }
            Unit::Line | Unit::NonBlankLine | Unit::LineWithEnd => {
                let mut known = (start, line_number(text, start));
                let number = |row: &&[u8]| {
                    let offset = offset_of(text, row);
                    known = (
                        offset,
                        known.1 + line_number(&text[known.0..], offset - known.0) - 1,
                    );
                    known.1
                };
                rows.iter().map(number).collect()
            }
        };
        Self {
            rows,
            numbers,
            items: total.saturating_sub(index - context),
        }
    }

    fn number(&self, row: usize) -> usize {
        match self.numbers.get(row) {
            Some(number) => *number,
            None => self.numbers.last().map_or(0, |last| last + 1),
        }
    }
}

/// The unified difference of two windows that start at corresponding items.
pub(super) fn unified(expected: &Window<'_>, actual: &Window<'_>, rules: &Rules, noun: &str) -> Difference {
    let mut ids = Ids {
        rules,
        known: HashMap::new(),
        count: 0,
    };
    let expected_ids = expected.rows.iter().map(|row| ids.of(row)).collect::<Vec<_>>();
    let actual_ids = actual.rows.iter().map(|row| ids.of(row)).collect::<Vec<_>>();
    let ops = capture_diff_slices(Algorithm::Myers, &expected_ids, &actual_ids);
    let ops = ops
        .into_iter()
        .flat_map(|op| refined(op, expected, actual, rules))
        .collect();
    let mut sheet = Sheet::new();
    let rest = |shown: usize, others_shown: usize| {
        let (rest, others) = (
            expected.items.saturating_sub(shown),
            actual.items.saturating_sub(others_shown),
        );
        format!("{rest} more expected and {others} more actual {noun} are not shown")
    };
    for group in group_diff_ops(ops, CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            continue;
        };
        let (old, new) = (
            first.old_range().start..last.old_range().end,
            first.new_range().start..last.new_range().end,
        );
        let heading = format!(
            "@@ -{},{} +{},{} @@ {noun}",
            expected.number(old.start),
            old.len(),
            actual.number(new.start),
            new.len(),
        );
        if !sheet.push(&heading, b"", 0) {
            return sheet.cut(&rest(old.start, new.start));
        }
        for op in &group {
            if let Err((shown, others_shown)) = push_op(&mut sheet, op, expected, actual) {
                return sheet.cut(&rest(shown, others_shown));
            }
        }
    }
    let (shown, others_shown) = (expected.rows.len(), actual.rows.len());
    if shown < expected.items || others_shown < actual.items {
        return sheet.cut(&rest(shown, others_shown));
    }
    sheet.finish()
}

/// Numbers within a tolerance are the same without having the same id: where as many rows replace others, those
/// that pass one by one are taken out.
fn refined(op: DiffOp, expected: &Window<'_>, actual: &Window<'_>, rules: &Rules) -> Vec<DiffOp> {
    let (old, new) = (op.old_range(), op.new_range());
    if rules.tolerance.is_none() || op.tag() != DiffTag::Replace || old.len() != new.len() {
        return vec![op];
    }
    let mut ops: Vec<DiffOp> = Vec::new();
    for (old_index, new_index) in old.zip(new) {
        let passes = rules.same(expected.rows[old_index], actual.rows[new_index]);
        match ops.last_mut() {
            Some(DiffOp::Equal { len, .. }) if passes => *len += 1,
            Some(DiffOp::Replace { old_len, new_len, .. }) if !passes => {
                *old_len += 1;
                *new_len += 1;
            }
            _ if passes => ops.push(DiffOp::Equal {
                old_index,
                new_index,
                len: 1,
            }),
            _ => ops.push(DiffOp::Replace {
                old_index,
                old_len: 1,
                new_index,
                new_len: 1,
            }),
        }
    }
    ops
}

/// Writes one operation; an error says how many rows of each side had been dealt with when the sheet was full.
fn push_op(
    sheet: &mut Sheet,
    op: &DiffOp,
    expected: &Window<'_>,
    actual: &Window<'_>,
) -> Result<(), (usize, usize)> {
    let (old, new) = (op.old_range(), op.new_range());
    if op.tag() == DiffTag::Equal {
        for (row, other) in old.zip(new) {
            push_row(sheet, " ", actual.rows[other], 0, (row, other))?;
        }
        return Ok(());
    }
    let focus = |step: usize| match (
        expected.rows[old.clone()].get(step),
        actual.rows[new.clone()].get(step),
    ) {
        (Some(row), Some(other)) => common_prefix(row, other),
        _ => 0,
    };
    for (step, row) in old.clone().enumerate() {
        push_row(sheet, "-", expected.rows[row], focus(step), (row, new.start))?;
    }
    for (step, other) in new.clone().enumerate() {
        push_row(sheet, "+", actual.rows[other], focus(step), (old.end, other))?;
    }
    Ok(())
}

fn push_row(
    sheet: &mut Sheet,
    sign: &str,
    row: &[u8],
    focus: usize,
    at: (usize, usize),
) -> Result<(), (usize, usize)> {
    if sheet.push(sign, row, focus) {
        Ok(())
    } else {
        Err(at)
    }
}

/// Small numbers for rows, the same for rows that are the same.
struct Ids<'t, 'r> {
    rules: &'r Rules,
    known: HashMap<u64, Vec<(&'t [u8], usize)>>,
    count: usize,
}

impl<'t> Ids<'t, '_> {
    fn of(&mut self, row: &'t [u8]) -> usize {
        let mut hasher = DefaultHasher::new();
        self.rules.hash(row, &mut hasher);
        let known = self.known.entry(hasher.finish()).or_default();
        if let Some((_, id)) = known.iter().find(|(other, _)| self.rules.same(row, other)) {
            return *id;
        }
        known.push((row, self.count));
        self.count += 1;
        self.count - 1
    }
}
