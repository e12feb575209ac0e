//! The comparator `json`: the same value, whatever the layout and the order of keys.

use super::Comparator;
use super::comparison::{CompareError, Comparison};
use super::difference::Sheet;
use super::items::without_bom;
use super::json_tape::Tape;
use super::json_walk::Walk;
use super::options::Settings;

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
    Ok(Walk::new(&expected, &actual, settings).compare())
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
