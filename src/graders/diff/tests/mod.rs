//! The comparators as their callers have them, through [`compare`] alone.

mod answers;
mod laws;
mod texts;

use super::*;

fn options(set: &[(&str, &str)]) -> CompareOptions {
    let mut options = CompareOptions::default();
    for (key, value) in set {
        options.set(key, value).unwrap();
    }
    options
}

fn compared(expected: &[u8], actual: &[u8], comparator: Comparator, set: &[(&str, &str)]) -> Comparison {
    compare(expected, actual, comparator, &options(set)).unwrap()
}

fn lines(range: std::ops::Range<usize>) -> String {
    range.map(|number| format!("line {number}\n")).collect()
}

/// The bounds that a difference keeps, whatever it is of.
fn is_bounded(difference: &Difference) -> bool {
    let text = difference.as_str();
    text.len() <= Difference::MOST_BYTES
        && text.lines().count() <= Difference::MOST_ROWS + 3
        && text
            .lines()
            .all(|row| row.chars().count() <= Difference::MOST_CHARACTERS)
        && !text
            .chars()
            .any(|character| character.is_control() && character != '\n')
}
