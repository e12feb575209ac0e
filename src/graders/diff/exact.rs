//! The comparator `exact`: byte for byte, a byte order mark and the last line feed included.

use super::comparison::{Comparison, counted, share};
use super::difference::{Difference, Window, unified};
use super::escape::quoted;
use super::items::{Place, Unit, common_prefix, common_suffix, line_number};
use super::rules::Rules;

/// The score of a fail is the share of the bytes that agree at the start and at the end.
pub(super) fn compare(expected: &[u8], actual: &[u8]) -> Comparison {
    if expected == actual {
        return Comparison::same(format!("the same {}", counted(actual.len(), "byte")));
    }
    let prefix = common_prefix(expected, actual);
    let suffix = common_suffix(&expected[prefix..], &actual[prefix..]);
    let score = share(prefix + suffix, expected.len(), actual.len());
    let place = Place::of(actual, prefix);
    let found = match actual.len() {
        length if length == prefix => "the output ends there".to_owned(),
        _ => format!("the output has {}", quoted(&actual[prefix..], 40)),
    };
    let summary = format!(
        "first difference at byte {} ({place}), where {found}; it has {}, {} expected",
        prefix + 1,
        counted(actual.len(), "byte"),
        expected.len(),
    );
    Comparison::different(score, summary, Some(difference(expected, actual, prefix)))
}

/// The difference of two texts, line by line and line feeds included, around the first byte that differs.
pub(super) fn difference(expected: &[u8], actual: &[u8], first: usize) -> Difference {
    let start = memchr::memrchr(b'\n', &expected[..first]).map_or(0, |end| end + 1);
    let index = line_number(expected, start) - 1;
    let total = |text: &[u8]| {
        let ends = memchr::memchr_iter(b'\n', text).count();
        ends + usize::from(!text.is_empty() && !text.ends_with(b"\n"))
    };
    let window = |text| Window::around(text, Unit::LineWithEnd, start, index, total(text));
    unified(&window(expected), &window(actual), &Rules::default(), "lines")
}
