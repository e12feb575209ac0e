//! What each comparator takes for the same.

use super::*;

fn same(expected: &str, actual: &str, comparator: Comparator, set: &[(&str, &str)]) -> bool {
    compared(expected.as_bytes(), actual.as_bytes(), comparator, set).same
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
