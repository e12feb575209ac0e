//! What holds for every comparator.

use proptest::prelude::*;

use super::*;

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
