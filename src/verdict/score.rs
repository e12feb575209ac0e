//! Scores.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A score in [0, 1], kept as whole millionths so that it is the same on every machine and in every hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(u32);

/// The number is no score.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("a score must be a finite number from 0 to 1, not {0}")]
pub struct ScoreError(pub f64);

impl Score {
    /// The lowest score.
    pub const ZERO: Self = Self(0);
    /// The highest score.
    pub const ONE: Self = Self(1_000_000);

    /// Takes a number from 0 to 1; rounded to millionths, but only 1 itself becomes 1.
    ///
    /// # Errors
    /// Numbers outside, infinities and NaN are refused, never clamped.
    pub fn new(value: f64) -> Result<Self, ScoreError> {
        if !(0.0..=1.0).contains(&value) {
            return Err(ScoreError(value));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0..=1 was just checked"
        )]
        let millionths = (value * 1e6).round() as u32;
        Ok(Self(if value < 1.0 {
            millionths.min(999_999)
        } else {
            1_000_000
        }))
    }

    /// Whole millionths, 0 to 1,000,000.
    pub fn millionths(self) -> u32 {
        self.0
    }

    /// The score as a number.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1e6
    }

    /// The mean of scores by weight; zero where there is nothing to weigh.
    ///
    /// Computed in the order given: the same input gives the same score. Only full scores make a full mean. Weights are
    /// those of a checked plan: finite, above zero, and not so large that their sum is infinite.
    pub fn weighted_mean(parts: impl IntoIterator<Item = (Self, f64)>) -> Self {
        let (mut sum, mut weights, mut highest) = (0.0, 0.0, Self::ONE.0);
        for (score, weight) in parts {
            sum += f64::from(score.0) * weight;
            weights += weight;
            if score < Self::ONE {
                highest = Self::ONE.0 - 1;
            }
        }
        if weights <= 0.0 {
            return Self::ZERO;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mean of scores lies between them"
        )]
        let mean = (sum / weights).round() as u32;
        Self(mean.min(highest))
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Cut, not rounded: 0.9996 must not look like the full score that it is not.
        write!(f, "{}.{:03}", self.0 / 1_000_000, self.0 % 1_000_000 / 1_000)
    }
}

impl fmt::Debug for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_f64())
    }
}

impl JsonSchema for Score {
    fn schema_name() -> Cow<'static, str> {
        "Score".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A score, in whole millionths.",
            "type": "number",
            "minimum": 0,
            "maximum": 1,
        })
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finite_numbers_from_0_to_1_are_scores() {
        for wrong in [-0.001, 1.000_001, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Score::new(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Score::new(-0.0).unwrap(), Score::ZERO);
        assert_eq!(Score::new(1.0).unwrap(), Score::ONE);
        assert!(Score::new(0.999_999_9).unwrap() < Score::ONE);
        assert_eq!(Score::new(1.0 / 3.0).unwrap().millionths(), 333_333);
    }

    #[test]
    fn a_mean_weighs_each_score() {
        let mean = Score::weighted_mean([(Score::ONE, 3.0), (Score::ZERO, 1.0)]);
        assert_eq!(mean.millionths(), 750_000);
        assert_eq!(
            Score::weighted_mean([(Score::ONE, 0.1), (Score::ONE, 0.2)]),
            Score::ONE
        );
        assert_eq!(Score::weighted_mean([]), Score::ZERO);
    }

    #[test]
    fn a_score_is_shown_cut_so_that_only_a_full_one_looks_full() {
        assert_eq!(Score::new(0.9999).unwrap().to_string(), "0.999");
        assert_eq!(Score::ONE.to_string(), "1.000");
        assert_eq!(Score::new(0.05).unwrap().to_string(), "0.050");
    }
}
