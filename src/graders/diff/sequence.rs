//! The comparators `lines` and `tokens`: items in order.

use super::align::align;
use super::align_path::Step;
use super::comparison::{Comparison, counted, share};
use super::difference::{Window, unified};
use super::escape::quoted;
use super::items::{Items, Place, Unit, is_space, offset_of, without_bom};
use super::options::Settings;
use super::rules::Rules;

/// Lines in order; the score of a fail is the share of lines that agree.
pub(super) fn compare_lines(expected: &[u8], actual: &[u8], settings: &Settings) -> Comparison {
    let unit = if settings.ignore_blank_lines {
        Unit::NonBlankLine
    } else {
        Unit::Line
    };
    compare_items(expected, actual, unit, "line", &Rules::of_lines(settings))
}

/// Tokens in order, and the white space between them unless it is ignored; the score of a fail is the share of these
/// that agree.
///
/// With a tolerance, an expected token that is a number asks for a number within it; all other tokens are text. A number
/// is decimal digits with sign, point and exponent as wanted: `1e3`, `+1`, `.5`, `1.`; `inf` and `nan` are text. One too large
/// for a 64-bit float passes only for the same number.
pub(super) fn compare_tokens(expected: &[u8], actual: &[u8], settings: &Settings) -> Comparison {
    let unit = if settings.ignore_space {
        Unit::Token
    } else {
        Unit::TokenOrSpace
    };
    compare_items(expected, actual, unit, "token", &Rules::of_tokens(settings))
}

/// What an alignment comes to.
#[derive(Default)]
struct Tally {
    matched: usize,
    expected: usize,
    actual: usize,
    /// Items that agree before the first that do not.
    before: usize,
    /// Where the last of these end, in both texts.
    before_end: (usize, usize),
    parted: bool,
}

fn compare_items(expected: &[u8], actual: &[u8], unit: Unit, noun: &str, rules: &Rules) -> Comparison {
    let (expected, actual) = (without_bom(expected), without_bom(actual));
    if expected == actual {
        return Comparison::same(format!(
            "the same {}",
            counted(Items::new(unit, actual).count(), noun)
        ));
    }
    let tally = tally(expected, actual, unit, rules);
    if !tally.parted {
        return Comparison::same(format!("the same {}", counted(tally.actual, noun)));
    }
    let first = first_from(unit, expected, tally.before_end.0);
    let found = first_from(unit, actual, tally.before_end.1);
    let summary = format!(
        "{}; {}",
        first_difference(actual, noun, &tally, found),
        counts(noun, &tally)
    );
    let window = |text, item: Option<&[u8]>, total| {
        let offset = item.map_or(<[u8]>::len(text), |item| offset_of(text, item));
        Window::around(text, unit, offset, tally.before, total)
    };
    let difference = unified(
        &window(expected, first, tally.expected),
        &window(actual, found, tally.actual),
        rules,
        &format!("{noun}s"),
    );
    Comparison::different(
        share(tally.matched, tally.expected, tally.actual),
        summary,
        Some(difference),
    )
}

fn tally(expected: &[u8], actual: &[u8], unit: Unit, rules: &Rules) -> Tally {
    let mut tally = Tally::default();
    let mut last: Option<(&[u8], &[u8])> = None;
    align(
        Items::new(unit, expected),
        Items::new(unit, actual),
        rules,
        |step| match step {
            Step::Same(item, other) => {
                tally.matched += 1;
                tally.expected += 1;
                tally.actual += 1;
                if !tally.parted {
                    tally.before += 1;
                    last = Some((item, other));
                }
            }
            Step::Missing(_) => {
                tally.expected += 1;
                tally.parted = true;
            }
            Step::Extra(_) => {
                tally.actual += 1;
                tally.parted = true;
            }
        },
    );
    if let Some((item, other)) = last {
        tally.before_end = (end_of(unit, expected, item), end_of(unit, actual, other));
    }
    tally
}

/// Where the item after `item` may be looked for.
fn end_of(unit: Unit, text: &[u8], item: &[u8]) -> usize {
    let end = offset_of(text, item) + item.len();
    let line_feed = matches!(unit, Unit::Line | Unit::NonBlankLine) && text.get(end) == Some(&b'\n');
    end + usize::from(line_feed)
}

fn first_from(unit: Unit, text: &[u8], offset: usize) -> Option<&[u8]> {
    Items::new(unit, &text[offset..]).next()
}

fn first_difference(actual: &[u8], noun: &str, tally: &Tally, found: Option<&[u8]>) -> String {
    let Some(item) = found else {
        return format!(
            "the output ends after {}, more are expected",
            counted(tally.actual, noun)
        );
    };
    let place = Place::of(actual, offset_of(actual, item));
    let text = quoted(item, 60);
    if tally.before == tally.expected {
        format!("the output goes on after the last expected {noun}, at {place}: {text}")
    } else if noun == "line" {
        format!("first difference at line {} of the output: {text}", place.line)
    } else if item.first().is_some_and(|byte| is_space(*byte)) {
        format!("first difference at {place} of the output, in the white space: {text}")
    } else {
        format!("first difference at {place} of the output: {text}")
    }
}

fn counts(noun: &str, tally: &Tally) -> String {
    format!(
        "{} of {} agree, {} expected",
        tally.matched,
        counted(tally.actual, noun),
        counted(tally.expected, noun),
    )
}
