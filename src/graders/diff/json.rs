//! The comparator `json`: the same value, whatever the layout and the order of keys.

use super::Comparator;
use super::comparison::{CompareError, Comparison, counted, share};
use super::difference::{Difference, Sheet};
use super::escape::quoted;
use super::items::without_bom;
use super::json_tape::{Kind, Tape};
use super::number::Decimal;
use super::options::Settings;
use super::pointer::{Admission, Pattern, push_segment};

/// Numbers are the same if they stand for the same number, to the last digit, or are within the tolerance; strings if they
/// stand for the same characters. Two equal keys in one object, more than 128 levels, and anything that RFC 8259
/// does not allow make a text unusable: for the actual one this is a fail.
///
/// The score of a fail is the share of values and keys that agree.
pub(super) fn compare(
    expected: &[u8],
    actual: &[u8],
    settings: &Settings,
) -> Result<Comparison, CompareError> {
    let (expected, actual) = (without_bom(expected), without_bom(actual));
    let expected = Tape::parse(expected).map_err(|malformed| CompareError::ExpectedUnusable {
        comparator: Comparator::Json,
        reason: format!("it is not valid JSON ({malformed})"),
    })?;
    let actual_text = actual;
    let actual = match Tape::parse(actual_text) {
        Ok(tape) => tape,
        Err(malformed) => {
            let summary = format!("the output is not valid JSON: {malformed}");
            let mut sheet = Sheet::new();
            sheet.push("+", actual_text, 0);
            return Ok(Comparison::different(0.0, summary, Some(sheet.finish())));
        }
    };
    let mut walk = Walk {
        expected: &expected,
        actual: &actual,
        settings,
        path: Vec::new(),
        matched: 0,
        ignored: (0, 0),
        differences: 0,
        first: None,
        sheet: Sheet::new(),
        unshown: 0,
    };
    let patterns = settings.ignore_paths.iter().collect::<Vec<_>>();
    walk.value(0, 0, &patterns);
    let Some(first) = walk.first else {
        return Ok(Comparison::same("the same JSON value".to_owned()));
    };
    let score = share(
        walk.matched,
        expected.len() - walk.ignored.0,
        actual.len() - walk.ignored.1,
    );
    let summary = format!("{first}; {} in all", counted(walk.differences, "difference"));
    let difference = match walk.unshown {
        0 => walk.sheet.finish(),
        unshown => walk
            .sheet
            .cut(&format!("{} not shown", counted(unshown, "further difference"))),
    };
    Ok(Comparison::different(score, summary, Some(difference)))
}

/// One walk through both documents at once.
struct Walk<'w, 't> {
    expected: &'w Tape<'t>,
    actual: &'w Tape<'t>,
    settings: &'w Settings,
    /// Where the walk is.
    path: Vec<Segment>,
    matched: usize,
    /// Nodes of both sides that are not compared.
    ignored: (usize, usize),
    differences: usize,
    /// The first difference, for the public.
    first: Option<String>,
    sheet: Sheet,
    unshown: usize,
}

/// A step down into a document: a key of the actual one, or an index.
#[derive(Clone, Copy)]
enum Segment {
    Key(usize),
    Index(usize),
}

/// Values of one side without their like on the other: the first of them, and how many there are.
#[derive(Default)]
struct Unpaired {
    first: Vec<usize>,
    count: usize,
}

impl Unpaired {
    fn push(&mut self, node: usize) {
        self.count += 1;
        if self.first.len() < Difference::MOST_ROWS {
            self.first.push(node);
        }
    }
}

impl Walk<'_, '_> {
    fn value(&mut self, expected: usize, actual: usize, patterns: &[&Pattern]) {
        let (kind, actual_kind) = (self.expected.kind(expected), self.actual.kind(actual));
        match (kind, actual_kind) {
            (Kind::Array, Kind::Array) => self.array(expected, actual, patterns),
            (Kind::Object, Kind::Object) => self.object(expected, actual, patterns),
            _ if kind == actual_kind && self.same_scalar(kind, expected, actual) => self.matched += 1,
            _ => {
                let tape = self.actual;
                self.report(Some(expected), Some(actual), || {
                    let kind_note = if kind == actual_kind {
                        ""
                    } else {
                        ", which is not the kind of value expected"
                    };
                    format!(
                        "{} {}{kind_note}",
                        actual_kind.as_str(),
                        quoted(&tape.source(actual), 60)
                    )
                });
            }
        }
    }

    fn same_scalar(&self, kind: Kind, expected: usize, actual: usize) -> bool {
        let (raw, actual_raw) = (self.expected.raw(expected), self.actual.raw(actual));
        match kind {
            Kind::Number => {
                let (raw, actual_raw) = (raw.as_bytes(), actual_raw.as_bytes());
                match self.settings.tolerance {
                    Some(tolerance) => tolerance.accepts(raw, actual_raw) == Some(true),
                    None => raw == actual_raw || same_number(raw, actual_raw),
                }
            }
            Kind::String => self.expected.same_string(expected, self.actual, actual),
            Kind::Null | Kind::Boolean | Kind::Array | Kind::Object => raw == actual_raw,
        }
    }

    fn array(&mut self, expected: usize, actual: usize, patterns: &[&Pattern]) {
        self.matched += 1;
        let (tape, actual_tape) = (self.expected, self.actual);
        let (mut values, mut actual_values) = (tape.children(expected), actual_tape.children(actual));
        let (mut missing, mut extra) = (Unpaired::default(), Unpaired::default());
        for index in 0_usize.. {
            let pair = (values.next(), actual_values.next());
            // Only where there are patterns does an index have to become text.
            let below = if patterns.is_empty() {
                Some(Vec::new())
            } else {
                self.below(patterns, &index.to_string())
            };
            match (pair, below) {
                ((None, None), _) => break,
                ((value, actual_value), None) => self.ignore(value, actual_value),
                ((Some(value), Some(actual_value)), Some(below)) => {
                    self.path.push(Segment::Index(index));
                    self.value(value, actual_value, &below);
                    self.path.pop();
                }
                ((Some(value), None), _) => missing.push(value),
                ((None, Some(actual_value)), _) => extra.push(actual_value),
            }
        }
        self.report_unpaired(&missing, &extra, || {
            let count = counted(actual_tape.children(actual).count(), "element");
            format!(
                "an array of {count}, {} expected",
                tape.children(expected).count()
            )
        });
    }

    fn object(&mut self, expected: usize, actual: usize, patterns: &[&Pattern]) {
        self.matched += 1;
        let (tape, actual_tape) = (self.expected, self.actual);
        let (mut missing, mut extra) = (Unpaired::default(), Unpaired::default());
        let mut paired = 0;
        for key in tape.children(expected) {
            let name = tape.string(key);
            match (actual_tape.find_key(actual, &name), self.below(patterns, &name)) {
                (_, None) => self.ignore(Some(key), None),
                (None, Some(_)) => missing.push(key),
                (Some(actual_key), Some(below)) => {
                    paired += 1;
                    self.matched += 1;
                    self.path.push(Segment::Key(actual_key));
                    self.value(key + 1, actual_key + 1, &below);
                    self.path.pop();
                }
            }
        }
        if paired < actual_tape.children(actual).count() {
            for key in actual_tape.children(actual) {
                let name = actual_tape.string(key);
                if self.below(patterns, &name).is_none() {
                    self.ignore(None, Some(key));
                } else if tape.find_key(expected, &name).is_none() {
                    extra.push(key);
                }
            }
        }
        self.report_unpaired(&missing, &extra, || {
            let unexpected = extra.first.first().map_or(String::new(), |key| {
                let key = quoted(actual_tape.raw(*key).as_bytes(), 60);
                format!(
                    " and has {} too many, the first {key}",
                    counted(extra.count, "key")
                )
            });
            format!(
                "an object that lacks {}{unexpected}",
                counted(missing.count, "expected key")
            )
        });
    }

    /// The patterns that go on below the key or index `name`, or `None` if one of them ends there.
    fn below<'p>(&self, patterns: &[&'p Pattern], name: &str) -> Option<Vec<&'p Pattern>> {
        let mut below = Vec::new();
        for pattern in patterns {
            match pattern.admits(self.path.len(), name) {
                Admission::No => {}
                Admission::Partly => below.push(*pattern),
                Admission::Whole => return None,
            }
        }
        Some(below)
    }

    fn ignore(&mut self, expected: Option<usize>, actual: Option<usize>) {
        self.ignored.0 += expected.map_or(0, |node| self.expected.size(node));
        self.ignored.1 += actual.map_or(0, |node| self.actual.size(node));
    }

    fn report_unpaired(&mut self, missing: &Unpaired, extra: &Unpaired, found: impl Fn() -> String) {
        for node in &missing.first {
            self.report(Some(*node), None, &found);
        }
        for node in &extra.first {
            self.report(None, Some(*node), &found);
        }
        let further = missing.count - missing.first.len() + extra.count - extra.first.len();
        self.differences += further;
        self.unshown += further;
    }

    /// Counts a difference; `found` is what the public may know of the first one.
    fn report(&mut self, expected: Option<usize>, actual: Option<usize>, found: impl FnOnce() -> String) {
        self.differences += 1;
        if self.unshown > 0 {
            self.unshown += 1;
            return;
        }
        let path = self.pointer();
        if self.first.is_none() {
            let place = match path.as_str() {
                "" => "the top".to_owned(),
                path => quoted(path.as_bytes(), 120),
            };
            self.first = Some(format!(
                "first difference at {place}, where the output has {}",
                found()
            ));
        }
        let shown = self.sheet.push("@@ ", path.as_bytes(), 0)
            && expected.is_none_or(|node| self.sheet.push("-", &self.expected.source(node), 0))
            && actual.is_none_or(|node| self.sheet.push("+", &self.actual.source(node), 0));
        self.unshown += usize::from(!shown);
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for segment in &self.path {
            match segment {
                Segment::Key(key) => push_segment(&mut pointer, &self.actual.string(*key)),
                Segment::Index(index) => push_segment(&mut pointer, &index.to_string()),
            }
        }
        pointer
    }
}

fn same_number(raw: &[u8], actual_raw: &[u8]) -> bool {
    match (Decimal::parse(raw), Decimal::parse(actual_raw)) {
        (Some(number), Some(actual_number)) => number.equals(&actual_number),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CompareOptions, compare as compare_by};
    use super::*;

    fn compared(expected: &str, actual: &str, set: &[(&str, &str)]) -> Comparison {
        let mut options = CompareOptions::default();
        for (key, value) in set {
            options.set(key, value).unwrap();
        }
        compare_by(expected.as_bytes(), actual.as_bytes(), Comparator::Json, &options).unwrap()
    }

    #[test]
    fn layout_and_the_order_of_keys_do_not_matter() {
        assert!(
            compared(
                r#"{"a": [1, {"b": null}], "c": "é"}"#,
                "\u{feff}{\"c\":\"\\u00e9\",\n\"a\":[1.0,{\"b\":null}]}",
                &[]
            )
            .same
        );
        assert!(!compared("[1,2]", "[2,1]", &[]).same);
        assert!(!compared("true", "false", &[]).same);
    }

    #[test]
    fn large_integers_are_compared_to_the_last_digit() {
        assert!(!compared("9007199254740993", "9007199254740992", &[]).same);
        assert!(compared("9007199254740993", "9007199254740992", &[("abs_tol", "0")]).same);
        assert!(
            !compared(
                "123456789012345678901234567890",
                "123456789012345678901234567891",
                &[]
            )
            .same
        );
    }

    #[test]
    fn numbers_within_a_tolerance_are_the_same_and_strings_of_digits_are_not() {
        assert!(
            compared(
                "[1.0, 200]",
                "[1.05, 201]",
                &[("abs_tol", "0.1"), ("rel_tol", "0.01")]
            )
            .same
        );
        assert!(!compared(r#"["1.0"]"#, r#"["1.05"]"#, &[("abs_tol", "0.1")]).same);
    }

    #[test]
    fn an_ignored_path_may_differ_or_be_missing_on_either_side() {
        let (expected, actual) = (
            r#"{"items":[{"id":1,"at":"x"},{"id":2}],"v":1}"#,
            r#"{"items":[{"id":1},{"id":2,"at":3}]}"#,
        );
        assert!(
            compared(
                expected,
                actual,
                &[("ignore_paths", "/items/*/at"), ("ignore_paths", "/v")]
            )
            .same
        );
        assert!(
            !compared(
                expected,
                actual,
                &[("ignore_paths", "/items/0/at"), ("ignore_paths", "/v")]
            )
            .same
        );
        assert!(
            compared(
                "[1,2,3]",
                "[1]",
                &[("ignore_paths", "/1"), ("ignore_paths", "/2")]
            )
            .same
        );
    }

    #[test]
    fn the_summary_names_the_place_and_the_output_only() {
        let summary = |expected, actual| compared(expected, actual, &[]).summary;
        insta::assert_snapshot!(summary(r#"{"a":{"b/c":[1,"secret"]}}"#, r#"{"a":{"b/c":[1,"mine"]}}"#), @r#"first difference at `/a/b~1c/1`, where the output has a string `"mine"`; 1 difference in all"#);
        insta::assert_snapshot!(summary(r#"{"a":"secret"}"#, r#"{"a":[1]}"#), @"first difference at `/a`, where the output has an array `[1]`, which is not the kind of value expected; 1 difference in all");
        insta::assert_snapshot!(summary(r#"{"secret":1,"x":2}"#, r#"{"y":1,"x":2}"#), @r#"first difference at the top, where the output has an object that lacks 1 expected key and has 1 key too many, the first `"y"`; 2 differences in all"#);
        insta::assert_snapshot!(summary("[1,2,3]", "[1]"), @"first difference at the top, where the output has an array of 1 element, 3 expected; 2 differences in all");
        insta::assert_snapshot!(summary("[1]", "[1,\n}"), @"the output is not valid JSON: no JSON value at line 2, column 1");
    }

    #[test]
    fn the_difference_shows_both_sides_by_path() {
        let comparison = compared(r#"{"a":{"b":[1,2]},"k":{"x":1}}"#, r#"{"a":{"b":[1,3]}}"#, &[]);
        insta::assert_snapshot!(comparison.difference.unwrap(), @r#"
        --- expected
        +++ actual
        @@ /a/b/1
        -2
        +3
        @@ 
        -"k": {"x":1}
        "#);
        assert!(comparison.score > 0.5 && comparison.score < 1.0);
    }

    #[test]
    fn objects_of_many_keys_are_compared_like_small_ones() {
        let object = |value: usize| {
            format!(
                "{{{}\"last\":{value}}}",
                (0..50)
                    .map(|key| format!("\"k{key}\":{key},"))
                    .collect::<String>()
            )
        };
        assert!(compared(&object(1), &object(1).replace(':', " : "), &[]).same);
        let comparison = compared(&object(1), &object(2), &[]);
        assert!(comparison.summary.contains("`/last`") && comparison.score > 0.95);
    }

    #[test]
    fn unusable_expected_text_is_an_error_and_never_a_fail() {
        for expected in ["", "{", "{\"a\":1,\"a\":2}"] {
            let error = compare_by(
                expected.as_bytes(),
                b"1",
                Comparator::Json,
                &CompareOptions::default(),
            )
            .unwrap_err();
            assert!(matches!(
                error,
                CompareError::ExpectedUnusable {
                    comparator: Comparator::Json,
                    ..
                }
            ));
        }
        assert!(!compared("{\"a\":2}", "{\"a\":1,\"a\":2}", &[]).same);
    }
}
