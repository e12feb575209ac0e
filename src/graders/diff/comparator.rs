//! The names of the comparators.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How two texts are compared. The text form is the lower-case name, in plans and on the command line alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Comparator {
    /// Byte for byte.
    Exact,
    /// Line by line, in order. Whether the last line ends with a line feed does not matter.
    Lines,
    /// Word by word, numbers within a tolerance, as the default output validators of programming contests do.
    Tokens,
    /// The same lines, each as often, in any order.
    Unordered,
    /// JSON values, whatever their layout and the order of their keys.
    Json,
    /// Enough characters in common, in order.
    Similarity,
}

/// A name that is no comparator's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown comparator {name:?}: use one of exact, lines, tokens, unordered, json, similarity")]
pub struct UnknownComparator {
    /// What was asked for.
    pub name: String,
}

impl Comparator {
    /// Every comparator, in the order in which they are documented.
    pub const ALL: [Self; 6] = [
        Self::Exact,
        Self::Lines,
        Self::Tokens,
        Self::Unordered,
        Self::Json,
        Self::Similarity,
    ];

    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Lines => "lines",
            Self::Tokens => "tokens",
            Self::Unordered => "unordered",
            Self::Json => "json",
            Self::Similarity => "similarity",
        }
    }
}

impl fmt::Display for Comparator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Comparator {
    type Err = UnknownComparator;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|comparator| comparator.as_str() == name)
            .ok_or_else(|| UnknownComparator {
                name: name.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_round_trips_and_is_the_same_in_files() {
        for comparator in Comparator::ALL {
            assert_eq!(comparator.to_string().parse(), Ok(comparator));
            assert_eq!(serde_json::to_value(comparator).unwrap(), comparator.as_str());
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "fuzzy".parse::<Comparator>().unwrap_err();
        insta::assert_snapshot!(error, @r#"unknown comparator "fuzzy": use one of exact, lines, tokens, unordered, json, similarity"#);
    }
}
