//! From answers to a score.

use super::criterion::Criterion;
use crate::verdict::Score;

/// What the answers come to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tally {
    /// Points met as a share of the points that can be had; zero where a required criterion is not fulfilled.
    pub(super) score: Score,
    /// Whether every required criterion is fulfilled.
    pub(super) required_fulfilled: bool,
}

/// Adds up the points of all criteria that are met and divides by the sum of the positive ones, clipped to
/// [0, 1]: the scoring of `HealthBench` (<https://arxiv.org/abs/2505.08775>, section 3). A required criterion that is not
/// fulfilled leaves no score, so that it also fails a plan in which this grader is no gate.
pub(super) fn tally(criteria: &[Criterion], met: &[bool]) -> Tally {
    let answers = || criteria.iter().zip(met);
    let reachable: f64 = criteria.iter().map(|criterion| criterion.weight.max(0.0)).sum();
    let points: f64 = answers()
        .filter(|(_, met)| **met)
        .map(|(criterion, _)| criterion.weight)
        .sum();
    let required_fulfilled = answers()
        .filter(|(criterion, _)| criterion.required)
        .all(|(criterion, met)| criterion.fulfilled(*met));
    let share = (points / reachable).clamp(0.0, 1.0);
    let score = if required_fulfilled {
        Score::new(share).unwrap_or(Score::ZERO)
    } else {
        Score::ZERO
    };
    Tally {
        score,
        required_fulfilled,
    }
}

#[cfg(test)]
mod tests {
    use super::super::criterion::EvidenceWanted;
    use super::*;

    fn criterion(weight: f64, required: bool) -> Criterion {
        Criterion {
            id: "c".into(),
            text: "t".into(),
            weight,
            required,
            evidence: EvidenceWanted::None,
            hidden: false,
        }
    }

    fn score(weights: &[f64], met: &[bool]) -> u32 {
        let criteria: Vec<_> = weights.iter().map(|weight| criterion(*weight, false)).collect();
        tally(&criteria, met).score.millionths()
    }

    #[test]
    fn points_are_divided_by_the_positive_ones_and_clipped() {
        assert_eq!(score(&[3.0, 1.0], &[true, false]), 750_000);
        assert_eq!(score(&[3.0, 1.0, -2.0], &[true, true, false]), 1_000_000);
        assert_eq!(score(&[3.0, 1.0, -2.0], &[true, true, true]), 500_000);
        assert_eq!(score(&[1.0, -5.0], &[true, true]), 0);
        assert_eq!(score(&[0.1, 0.2, 0.3], &[true, true, true]), 1_000_000);
    }

    #[test]
    fn a_required_criterion_that_is_not_fulfilled_leaves_no_score() {
        let criteria = [criterion(9.0, false), criterion(1.0, true), criterion(-1.0, true)];
        assert_eq!(tally(&criteria, &[true, true, false]).score, Score::ONE);
        for met in [[true, false, false], [true, true, true]] {
            let tally = tally(&criteria, &met);
            assert_eq!((tally.score, tally.required_fulfilled), (Score::ZERO, false));
        }
    }
}
