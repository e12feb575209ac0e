//! What a comparison answers, and the one function that makes it.

use thiserror::Error;

use super::difference::Difference;
use super::options::OptionError;
use super::{Comparator, CompareOptions, exact, json, sequence, similarity, unordered};

/// What a comparison found.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Whether the actual text passes for the expected one.
    pub same: bool,
    /// 1 if it does. Otherwise how alike they are, from 0 to 0.999999: the share of both sides' lines (tokens,
    /// JSON values, characters, or bytes at either end for `exact`) that agree. It is a lower bound where
    /// the texts are large and very different.
    pub score: f64,
    /// One line for the public: counts, the place of the first difference, and what the actual text has there. It
    /// holds no expected text and no control characters.
    pub summary: String,
    /// For the operator: both sides. Present when the texts are not the same.
    pub difference: Option<Difference>,
}

/// Why texts could not be compared. It is never the fault of who wrote the actual text.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum CompareError {
    /// An option does not fit.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The expected text is not of the kind that the comparator compares.
    #[error(
        "the expected text is unusable for comparator {comparator}: {reason}; correct it, or choose another comparator"
    )]
    ExpectedUnusable {
        /// The comparator.
        comparator: Comparator,
        /// What is wrong, and where.
        reason: String,
    },
}

/// The best score of a fail: the largest below 1 that is kept where scores are stored as millionths.
const BEST_FAIL: f64 = 0.999_999;
/// Offsets are kept in 32 bits where there are millions of them.
const MOST_BYTES: usize = u32::MAX as usize;

/// Compares the actual text with the expected one.
///
/// The answer depends on nothing but the arguments. Beside the texts, memory is at most about six times what both
/// take, and time grows in proportion to them. Texts above 4 GiB are not compared: an actual one fails, an expected one is an error.
///
/// # Errors
///
/// [`CompareError`] when the options do not fit the comparator, or the expected text is not what it compares. Whatever
/// the actual text is, it is no error.
pub fn compare(
    expected: &[u8],
    actual: &[u8],
    comparator: Comparator,
    options: &CompareOptions,
) -> Result<Comparison, CompareError> {
    let settings = options.settings(comparator)?;
    if expected.len() > MOST_BYTES {
        let reason = format!("it has {} bytes, more than 4 GiB", expected.len());
        return Err(CompareError::ExpectedUnusable { comparator, reason });
    }
    if actual.len() > MOST_BYTES {
        let summary = format!(
            "the output has {} bytes, more than the 4 GiB that are compared",
            actual.len()
        );
        return Ok(Comparison::different(0.0, summary, None));
    }
    match comparator {
        Comparator::Exact => Ok(exact::compare(expected, actual)),
        Comparator::Lines => Ok(sequence::compare_lines(expected, actual, &settings)),
        Comparator::Tokens => Ok(sequence::compare_tokens(expected, actual, &settings)),
        Comparator::Unordered => Ok(unordered::compare(expected, actual, &settings)),
        Comparator::Json => json::compare(expected, actual, &settings),
        Comparator::Similarity => Ok(similarity::compare(expected, actual, &settings)),
    }
}

impl Comparison {
    pub(super) fn same(summary: String) -> Self {
        Self {
            same: true,
            score: 1.0,
            summary,
            difference: None,
        }
    }

    pub(super) fn different(score: f64, summary: String, difference: Option<Difference>) -> Self {
        Self {
            same: false,
            score: score.clamp(0.0, BEST_FAIL),
            summary,
            difference,
        }
    }
}

/// The share that `matched` pairs are of all items of both sides; 1 when there are none.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) fn share(matched: usize, expected: usize, actual: usize) -> f64 {
    let all = expected + actual;
    if all == 0 {
        1.0
    } else {
        2.0 * matched as f64 / all as f64
    }
}

/// A count with its noun in the right number, as `1 line` or `2 lines`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}
