//! What holds for every comparator.

use proptest::prelude::*;

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

fn same(expected: &str, actual: &str, comparator: Comparator, set: &[(&str, &str)]) -> bool {
    compared(expected.as_bytes(), actual.as_bytes(), comparator, set).same
}

fn summary(expected: &str, actual: &str, comparator: Comparator) -> String {
    compared(expected.as_bytes(), actual.as_bytes(), comparator, &[]).summary
}

fn shown(expected: &str, actual: &str, comparator: Comparator, set: &[(&str, &str)]) -> String {
    compared(expected.as_bytes(), actual.as_bytes(), comparator, set)
        .difference
        .unwrap()
        .to_string()
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

#[test]
fn lines_differ_by_what_no_option_overlooks() {
    use Comparator::Lines;
    assert!(same("a\nb\n", "a\nb", Lines, &[]));
    assert!(!same("a\nb", "a\r\nb\r\n", Lines, &[]));
    assert!(same(
        "a\nb",
        "a\r\nb \r\n",
        Lines,
        &[("ignore_trailing_space", "true")]
    ));
    assert!(same(
        "a\n\nb",
        "\na\nb\n \n",
        Lines,
        &[("ignore_blank_lines", "true")]
    ));
    assert!(!same("a\n\nb", "a\nb", Lines, &[]));
    assert!(same("É", "é", Lines, &[("ignore_case", "true")]));
    assert!(same("a  b", " a\tb", Lines, &[("ignore_space", "true")]));
    assert!(!same("a b", "a\nb", Lines, &[("ignore_space", "true")]));
    assert!(same("\u{feff}a", "a", Lines, &[]));
    assert!(!same("", "\n", Lines, &[]));
    assert!(same("", "\n", Lines, &[("ignore_blank_lines", "true")]));
}

#[test]
fn tokens_follow_the_default_validators_of_contests() {
    use Comparator::Tokens;
    assert!(same("Yes\n1 2", " yes 1\r\n2\n\n", Tokens, &[]));
    assert!(!same("Yes", "yes", Tokens, &[("ignore_case", "false")]));
    assert!(!same("1 2", "12", Tokens, &[]));
    assert!(!same("1 2", "1", Tokens, &[]) && !same("1", "1 2", Tokens, &[]));
    assert!(!same("1.0", "1", Tokens, &[]));
    assert!(same("1.0 x", "1 X", Tokens, &[("abs_tol", "0")]));
    assert!(same(
        "1000 0.5",
        "1.0005e3 .5",
        Tokens,
        &[("rel_tol", "1e-6"), ("abs_tol", "0.5")]
    ));
    assert!(!same("3.14", "nan", Tokens, &[("abs_tol", "1e308")]));
    assert!(!same("nan", "3.14", Tokens, &[("abs_tol", "1e308")]));
    assert!(!same("1 2", "1  2", Tokens, &[("ignore_space", "false")]));
    assert!(!same("1 2", "1 2\n", Tokens, &[("ignore_space", "false")]));
    assert!(same("1 2\n", "1 2\n", Tokens, &[("ignore_space", "false")]));
}

#[test]
fn unordered_lines_count_as_often_as_they_occur() {
    use Comparator::Unordered;
    assert!(same("a\nb\na", "a\na\nb\n", Unordered, &[]));
    assert!(!same("a\nb\na", "a\nb\nb", Unordered, &[]));
    assert!(!same("a\nb", "a\nb\nb", Unordered, &[]));
    assert!(same("\n\na", "a\n\n\n", Unordered, &[]));
    assert!(!same("\n\na", "a\n\n", Unordered, &[]));
    assert!(same(
        "\na",
        "a\n \n",
        Unordered,
        &[("ignore_trailing_space", "true")]
    ));
    assert!(same(
        "a\nB",
        "b \n\nA",
        Unordered,
        &[
            ("ignore_case", "true"),
            ("ignore_trailing_space", "true"),
            ("ignore_blank_lines", "true")
        ]
    ));
}

#[test]
fn similarity_passes_from_its_minimum_on() {
    use Comparator::Similarity;
    let half = [("min_ratio", "0.5")];
    assert!(same("abcd", "abxy", Similarity, &half));
    assert!(!same("abcd", "axyz", Similarity, &half));
    assert!(same("", "", Similarity, &[]) && !same("", "a", Similarity, &half));
    assert!(same(
        "A  b",
        "a b\n",
        Similarity,
        &[
            ("min_ratio", "1"),
            ("ignore_case", "true"),
            ("ignore_space", "true")
        ]
    ));
    let large = lines(0..40_000);
    let edited = large
        .replace("line 1999\n", "line 1998\n")
        .replace("line 2", "line  2");
    assert!(same(&large, &edited, Similarity, &[("min_ratio", "0.98")]));
    assert!(same(&edited, &large, Similarity, &[("min_ratio", "0.98")]));
}

#[test]
fn only_exact_sees_a_byte_order_mark() {
    for comparator in Comparator::ALL {
        assert_eq!(
            same("\u{feff}1", "1", comparator, &[]),
            comparator != Comparator::Exact,
            "{comparator}"
        );
    }
}

#[test]
fn summaries_say_where_and_how_much() {
    insta::assert_snapshot!(summary("a\nsecret\nc\n", "a\nmine\nc", Comparator::Exact), @"first difference at byte 3 (line 2, column 1), where the output has `mine\\nc`; it has 8 bytes, 11 expected");
    insta::assert_snapshot!(summary("abc", "ab", Comparator::Exact), @"first difference at byte 3 (line 1, column 3), where the output ends there; it has 2 bytes, 3 expected");
    insta::assert_snapshot!(summary("a\nsecret\nc\n", "a\nmine\nc", Comparator::Lines), @"first difference at line 2 of the output: `mine`; 2 of 3 lines agree, 3 lines expected");
    insta::assert_snapshot!(summary("a\nb\n", "a\n", Comparator::Lines), @"the output ends after 1 line, more are expected; 1 of 1 line agree, 2 lines expected");
    insta::assert_snapshot!(summary("a\n", "a\nb\x1b[0m\n", Comparator::Lines), @r"the output goes on after the last expected line, at line 2, column 1: `b\u{1b}[0m`; 1 of 2 lines agree, 1 line expected");
    insta::assert_snapshot!(summary("a\nb secret", "a\nb mine", Comparator::Tokens), @"first difference at line 2, column 3 of the output: `mine`; 2 of 3 tokens agree, 3 tokens expected");
    insta::assert_snapshot!(summary("a\nsecret\nsecret", "b\na\n", Comparator::Unordered), @"1 line of the output not expected, the first at line 1: `b`; 2 of 3 expected lines missing");
    insta::assert_snapshot!(summary("abcd", "abce", Comparator::Similarity), @"similarity 0.75 to the expected text, at least 0.9 is needed");
}

#[test]
fn the_difference_of_lines_is_a_unified_one_by_the_comparators_rules() {
    let (expected, actual) = (
        "1\n2\n3\n4\n5\nx\n7\n8\n9\n10\n",
        "1\n2 \n3\n4\n5\ny\n7\n8\n9\n10\n11\n",
    );
    insta::assert_snapshot!(shown(expected, actual, Comparator::Lines, &[("ignore_trailing_space", "true")]), @r"
    --- expected
    +++ actual
    @@ -3,8 +3,9 @@ lines
     3
     4
     5
    -x
    +y
     7
     8
     9
     10
    +11
    ");
    insta::assert_snapshot!(shown("a\n\n\nb\nc", "a\nx\n\nc", Comparator::Lines, &[("ignore_blank_lines", "true")]), @r"
    --- expected
    +++ actual
    @@ -1,3 +1,3 @@ lines
     a
    -b
    +x
     c
    ");
    insta::assert_snapshot!(shown("a\nb", "a\r\nb\n", Comparator::Exact, &[]), @r"
    --- expected
    +++ actual
    @@ -1,2 +1,2 @@ lines
    -a\n
    -b
    +a\r\n
    +b\n
    ");
}

#[test]
fn the_difference_of_tokens_shows_numbers_within_the_tolerance_as_the_same() {
    insta::assert_snapshot!(shown("1.0 2.0 3.0 4", "1.01 2.5 3.01 4", Comparator::Tokens, &[("abs_tol", "0.1")]), @r"
    --- expected
    +++ actual
    @@ -1,4 +1,4 @@ tokens
     1.01
    -2.0
    +2.5
     3.01
     4
    ");
}

#[test]
fn the_difference_of_unordered_lines_lists_what_is_missing_and_what_is_too_many() {
    insta::assert_snapshot!(shown("a\nb\nb\nc", "c\nd\na", Comparator::Unordered, &[]), @r"
    --- expected
    +++ actual
    -b
    -b
    +d
    ");
}

#[test]
fn a_long_difference_is_cut_and_says_how_much() {
    let difference = shown(&lines(0..1000), &lines(1000..3000), Comparator::Lines, &[]);
    assert!(
        difference.ends_with("… cut here: 801 more expected and 2000 more actual lines are not shown\n"),
        "{difference}"
    );
}

#[test]
fn a_long_row_is_cut_around_the_place_that_differs() {
    let row = |middle: &str| format!("{}{middle}{}", "x".repeat(100_000), "y".repeat(100_000));
    for comparator in [
        Comparator::Exact,
        Comparator::Lines,
        Comparator::Tokens,
        Comparator::Similarity,
    ] {
        let set: &[_] = if comparator == Comparator::Similarity {
            &[("min_ratio", "1")]
        } else {
            &[]
        };
        let difference = compared(row("1").as_bytes(), row("2").as_bytes(), comparator, set)
            .difference
            .unwrap();
        assert!(is_bounded(&difference) && difference.is_cut());
        assert!(
            difference.as_str().contains("x1y") && difference.as_str().contains("x2y"),
            "{difference}"
        );
    }
}

#[test]
fn every_score_of_a_fail_is_graded() {
    let (expected, near, far) = (lines(0..100), lines(0..98) + "x\ny\n", lines(0..2));
    for comparator in [
        Comparator::Exact,
        Comparator::Lines,
        Comparator::Tokens,
        Comparator::Unordered,
        Comparator::Similarity,
    ] {
        let set: &[_] = if comparator == Comparator::Similarity {
            &[("min_ratio", "1")]
        } else {
            &[]
        };
        let score = |actual: &str| compared(expected.as_bytes(), actual.as_bytes(), comparator, set).score;
        assert!(score(&near) > 0.9 && score(&near) < 1.0, "{comparator}");
        assert!(score(&far) > 0.0 && score(&far) < 0.1, "{comparator}");
    }
}

#[test]
fn a_fail_stays_below_one_when_scores_are_stored_as_millionths() {
    let expected = "a\n".repeat(2_000_000);
    let actual = expected.replacen('a', "b", 1);
    let comparison = compared(expected.as_bytes(), actual.as_bytes(), Comparator::Lines, &[]);
    assert!(!comparison.same);
    assert_eq!(comparison.score, 0.999_999);
}

/// Small alphabets, so that texts have much in common; the marker is for the expected side only.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<Vec<u8>>(),
        "[ab1. \r\n\t\u{0}\u{1b}é]{0,60}".prop_map(String::into_bytes),
        "[\\[\\]{},:\"a1]{0,20}".prop_map(String::into_bytes),
    ]
}

fn comparators() -> impl Strategy<Value = Comparator> {
    proptest::sample::select(Comparator::ALL.to_vec())
}

proptest! {
    #[test]
    fn a_text_is_the_same_as_itself(text in text(), comparator in comparators()) {
        if let Ok(comparison) = compare(&text, &text, comparator, &CompareOptions::default()) {
            prop_assert!(comparison.same && comparison.score == 1.0 && comparison.difference.is_none());
        } else {
            prop_assert_eq!(comparator, Comparator::Json);
        }
    }

    #[test]
    fn every_answer_is_bounded_and_fit_to_be_shown(expected in text(), actual in text(), comparator in comparators()) {
        if let Ok(comparison) = compare(&expected, &actual, comparator, &CompareOptions::default()) {
            prop_assert!((0.0..=1.0).contains(&comparison.score));
            prop_assert_eq!(comparison.same, comparison.score == 1.0);
            prop_assert_eq!(comparison.same, comparison.difference.is_none());
            prop_assert!(!comparison.summary.chars().any(char::is_control));
            prop_assert!(comparison.summary.chars().count() < 500);
            prop_assert!(comparison.difference.as_ref().is_none_or(is_bounded));
            let again = compare(&expected, &actual, comparator, &CompareOptions::default());
            prop_assert_eq!(again, Ok(comparison));
        }
    }

    #[test]
    fn no_summary_holds_expected_text(
        before in text(), after in text(), actual in text(), comparator in comparators(), key: bool,
    ) {
        let expected = match comparator {
            Comparator::Json if key => b"{\"SECRET\": [1, 2]}".to_vec(),
            Comparator::Json => b"[\"SECRET\"]".to_vec(),
            _ => [&before[..], b"SECRET", &after].concat(),
        };
        let comparison = compare(&expected, &actual, comparator, &CompareOptions::default()).unwrap();
        prop_assert!(!comparison.summary.contains("SECRET"));
    }

    #[test]
    fn similarity_is_the_same_in_both_directions(left in text(), right in text()) {
        let options = options(&[("min_ratio", "1")]);
        let score = |left, right| compare(left, right, Comparator::Similarity, &options).unwrap().score;
        prop_assert_eq!(score(&left, &right), score(&right, &left));
    }
}
