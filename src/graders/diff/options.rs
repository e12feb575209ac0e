//! The options of the comparators, spelled the same in plans and on the command line.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Comparator;
use super::number::Tolerance;
use super::pointer::Pattern;

/// What a comparator is asked to overlook. A field that is not set takes its default; one that is set and that the
/// comparator does not use is an error, so that nobody relies on an option that has no effect.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CompareOptions {
    /// Upper and lower case are the same. Default: true for `tokens`, false elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_case: Option<bool>,
    /// The amount and kind of white space does not matter: for `tokens` and `similarity` in the whole text, for
    /// `lines` and `unordered` within each line. Default: true for `tokens`, false elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_space: Option<bool>,
    /// White space at the end of a line does not matter, the carriage return of CRLF being white space. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_trailing_space: Option<bool>,
    /// Lines that are empty or only white space are left out on both sides. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_blank_lines: Option<bool>,
    /// Absolute tolerance of numbers, finite and not negative: `|expected - actual| <= abs_tol`. A number passes if either
    /// tolerance holds. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub abs_tol: Option<f64>,
    /// Tolerance of numbers relative to the expected one, finite and not negative:
    /// `|expected - actual| <= rel_tol * |expected|`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub rel_tol: Option<f64>,
    /// Places of a JSON document that are not compared, whether they exist or not: JSON Pointers (RFC 6901) in which a
    /// segment `*` stands for every key and every index, as `/items/*/created_at`. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_paths: Vec<String>,
    /// The least share of characters in common that passes, above 0 and at most 1. Default: 0.9. Mind that two
    /// unrelated texts of one language have about half of their characters in common.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub min_ratio: Option<f64>,
}

/// An option that cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum OptionError {
    /// No option has this name.
    #[error("unknown option {key:?}: use one of {}", OPTIONS.join(", "))]
    Unknown {
        /// The name that was given.
        key: String,
    },
    /// The option exists, its value does not.
    #[error("option {key} cannot be {value:?}: it must be {wanted}")]
    Value {
        /// The option.
        key: &'static str,
        /// The value that was given.
        value: String,
        /// What would be accepted.
        wanted: &'static str,
    },
    /// The option is one of another comparator.
    #[error("option {key} has no effect on comparator {comparator}, which takes {}", list(used_by(*.comparator)))]
    Unused {
        /// The option.
        key: &'static str,
        /// The comparator that does not use it.
        comparator: Comparator,
    },
}

impl OptionError {
    /// The option that is meant, where it exists.
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::Unknown { .. } => None,
            Self::Value { key, .. } | Self::Unused { key, .. } => Some(key),
        }
    }
}

const OPTIONS: [&str; 8] = [
    "ignore_case",
    "ignore_space",
    "ignore_trailing_space",
    "ignore_blank_lines",
    "abs_tol",
    "rel_tol",
    "ignore_paths",
    "min_ratio",
];

const DEFAULT_MIN_RATIO: f64 = 0.9;
const BOOLEAN: &str = "true or false";
const TOLERANCE: &str = "a finite number that is not negative";
const RATIO: &str = "a number above 0 and at most 1";

fn used_by(comparator: Comparator) -> &'static [&'static str] {
    match comparator {
        Comparator::Exact => &[],
        Comparator::Lines | Comparator::Unordered => &[
            "ignore_case",
            "ignore_space",
            "ignore_trailing_space",
            "ignore_blank_lines",
        ],
        Comparator::Tokens => &["ignore_case", "ignore_space", "abs_tol", "rel_tol"],
        Comparator::Json => &["abs_tol", "rel_tol", "ignore_paths"],
        Comparator::Similarity => &["ignore_case", "ignore_space", "min_ratio"],
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// Options with every default filled in.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) ignore_case: bool,
    pub(super) ignore_space: bool,
    pub(super) ignore_trailing_space: bool,
    pub(super) ignore_blank_lines: bool,
    pub(super) tolerance: Option<Tolerance>,
    pub(super) ignore_paths: Vec<Pattern>,
    pub(super) min_ratio: f64,
}

impl CompareOptions {
    /// Sets one option from text, as `--set key=value` does. A path is added to those already given.
    ///
    /// # Errors
    ///
    /// [`OptionError::Unknown`] and [`OptionError::Value`]; ranges are left to [`CompareOptions::validate`].
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), OptionError> {
        match key {
            "ignore_case" => self.ignore_case = Some(parse("ignore_case", value, BOOLEAN)?),
            "ignore_space" => self.ignore_space = Some(parse("ignore_space", value, BOOLEAN)?),
            "ignore_trailing_space" => {
                self.ignore_trailing_space = Some(parse("ignore_trailing_space", value, BOOLEAN)?);
            }
            "ignore_blank_lines" => {
                self.ignore_blank_lines = Some(parse("ignore_blank_lines", value, BOOLEAN)?);
            }
            "abs_tol" => self.abs_tol = Some(parse("abs_tol", value, TOLERANCE)?),
            "rel_tol" => self.rel_tol = Some(parse("rel_tol", value, TOLERANCE)?),
            "ignore_paths" => self.ignore_paths.push(value.to_owned()),
            "min_ratio" => self.min_ratio = Some(parse("min_ratio", value, RATIO)?),
            _ => return Err(OptionError::Unknown { key: key.to_owned() }),
        }
        Ok(())
    }

    /// Checks the options for use with a comparator.
    ///
    /// # Errors
    ///
    /// [`OptionError::Unused`] for an option that the comparator does not use, [`OptionError::Value`] for one
    /// out of its range.
    pub fn validate(&self, comparator: Comparator) -> Result<(), OptionError> {
        self.settings(comparator).map(drop)
    }

    pub(super) fn settings(&self, comparator: Comparator) -> Result<Settings, OptionError> {
        let used = used_by(comparator);
        if let Some(key) = self.given().find(|key| !used.contains(key)) {
            return Err(OptionError::Unused { key, comparator });
        }
        for (key, tolerance) in [("abs_tol", self.abs_tol), ("rel_tol", self.rel_tol)] {
            in_range(key, tolerance, TOLERANCE, |value| {
                value.is_finite() && value >= 0.0
            })?;
        }
        in_range("min_ratio", self.min_ratio, RATIO, |value| {
            value > 0.0 && value <= 1.0
        })?;
        let of_tokens = comparator == Comparator::Tokens;
        Ok(Settings {
            ignore_case: self.ignore_case.unwrap_or(of_tokens),
            ignore_space: self.ignore_space.unwrap_or(of_tokens),
            ignore_trailing_space: self.ignore_trailing_space.unwrap_or(false),
            ignore_blank_lines: self.ignore_blank_lines.unwrap_or(false),
            tolerance: Tolerance::new(self.abs_tol, self.rel_tol),
            ignore_paths: self
                .ignore_paths
                .iter()
                .map(|path| Pattern::parse(path))
                .collect::<Result<_, _>>()?,
            min_ratio: self.min_ratio.unwrap_or(DEFAULT_MIN_RATIO),
        })
    }

    fn given(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            self.ignore_case.is_some(),
            self.ignore_space.is_some(),
            self.ignore_trailing_space.is_some(),
            self.ignore_blank_lines.is_some(),
            self.abs_tol.is_some(),
            self.rel_tol.is_some(),
            !self.ignore_paths.is_empty(),
            self.min_ratio.is_some(),
        ];
        OPTIONS
            .into_iter()
            .zip(given)
            .filter(|(_, is_given)| *is_given)
            .map(|(key, _)| key)
    }
}

fn parse<T: std::str::FromStr>(
    key: &'static str,
    value: &str,
    wanted: &'static str,
) -> Result<T, OptionError> {
    value.parse().map_err(|_| OptionError::Value {
        key,
        value: value.to_owned(),
        wanted,
    })
}

fn in_range(
    key: &'static str,
    value: Option<f64>,
    wanted: &'static str,
    holds: impl Fn(f64) -> bool,
) -> Result<(), OptionError> {
    match value {
        Some(value) if !holds(value) => Err(OptionError::Value {
            key,
            value: value.to_string(),
            wanted,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> Result<CompareOptions, OptionError> {
        let mut options = CompareOptions::default();
        for (key, value) in pairs {
            options.set(key, value)?;
        }
        Ok(options)
    }

    #[test]
    fn every_option_can_be_set_from_text_and_is_spelled_the_same_in_a_file() {
        let value = |key: &str| match key {
            "abs_tol" | "rel_tol" | "min_ratio" => "0.5",
            "ignore_paths" => "/a",
            _ => "true",
        };
        let options = set(&OPTIONS.map(|key| (key, value(key)))).unwrap();
        let in_file = serde_json::to_value(&options).unwrap();
        assert_eq!(
            in_file.as_object().unwrap().keys().collect::<Vec<_>>(),
            OPTIONS.iter().collect::<Vec<_>>()
        );
        assert_eq!(
            serde_json::from_value::<CompareOptions>(in_file).unwrap(),
            options
        );
    }

    #[test]
    fn an_option_that_the_comparator_does_not_use_is_an_error() {
        for comparator in Comparator::ALL {
            for key in OPTIONS {
                let options = set(&[(
                    key,
                    if key.starts_with("ignore_p") {
                        "/a"
                    } else if key.starts_with("ignore") {
                        "true"
                    } else {
                        "1"
                    },
                )]);
                assert_eq!(
                    options.unwrap().validate(comparator).is_ok(),
                    used_by(comparator).contains(&key),
                    "{key} {comparator}"
                );
            }
        }
        let error = set(&[("min_ratio", "1")])
            .unwrap()
            .validate(Comparator::Lines)
            .unwrap_err();
        insta::assert_snapshot!(error, @"option min_ratio has no effect on comparator lines, which takes ignore_case, ignore_space, ignore_trailing_space, ignore_blank_lines");
    }

    #[test]
    fn values_out_of_range_are_errors_that_name_the_option() {
        for (key, value) in [
            ("abs_tol", "-1"),
            ("abs_tol", "inf"),
            ("rel_tol", "nan"),
            ("rel_tol", "x"),
        ] {
            let error = set(&[(key, value)])
                .and_then(|options| options.validate(Comparator::Tokens))
                .unwrap_err();
            assert!(
                matches!(error, OptionError::Value { key: named, .. } if named == key),
                "{key}={value}"
            );
        }
        for value in ["0", "-0.5", "1.01", "NaN"] {
            let error = set(&[("min_ratio", value)])
                .unwrap()
                .validate(Comparator::Similarity)
                .unwrap_err();
            assert!(
                matches!(error, OptionError::Value { key: "min_ratio", .. }),
                "{value}"
            );
        }
        let error = set(&[("ignore_case", "yes")]).unwrap_err();
        insta::assert_snapshot!(error, @r#"option ignore_case cannot be "yes": it must be true or false"#);
    }

    #[test]
    fn unknown_options_are_errors_in_files_and_on_the_command_line() {
        assert!(serde_json::from_str::<CompareOptions>(r#"{"ignorecase": true}"#).is_err());
        assert!(matches!(
            set(&[("ignorecase", "true")]),
            Err(OptionError::Unknown { .. })
        ));
    }
}
