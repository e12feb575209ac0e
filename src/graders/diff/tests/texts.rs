//! What people read: the summary, which is public, and the difference, which is the operator's.

use super::*;

fn summary(expected: &str, actual: &str, comparator: Comparator) -> String {
    compared(expected.as_bytes(), actual.as_bytes(), comparator, &[]).summary
}

fn shown(expected: &str, actual: &str, comparator: Comparator, set: &[(&str, &str)]) -> String {
    compared(expected.as_bytes(), actual.as_bytes(), comparator, set)
        .difference
        .unwrap()
        .to_string()
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
