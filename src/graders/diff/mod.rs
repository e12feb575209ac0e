//! Comparison of an output with the expected text: six comparators, their options, and a readable difference.
//!
//! This module is pure. It knows bytes and options; jobs, plans and logs are its callers' business, and
//! neither a clock nor the machine's load has a say in what it answers: work is bounded by counts.
//!
//! A [`Comparison`] carries two texts for two audiences. Its summary is public: counts, the place of the first
//! difference and what the output has there, never what was expected. Its [`Difference`] shows both sides
//! and is for the operator. Both are short whatever the input, and free of control characters.
//!
//! | comparator | same means | options |
//! | --- | --- | --- |
//! | `exact` | the same bytes | none |
//! | `lines` | the same lines in the same order | `ignore_case`, `ignore_space`, `ignore_trailing_space`, `ignore_blank_lines` |
//! | `tokens` | the same words, as contest output validators see them | `ignore_case`, `ignore_space`, `abs_tol`, `rel_tol` |
//! | `unordered` | the same lines, each as often, in any order | as `lines` |
//! | `json` | the same JSON value, the order of keys being free | `abs_tol`, `rel_tol`, `ignore_paths` |
//! | `similarity` | at least `min_ratio` of the characters in common | `ignore_case`, `ignore_space`, `min_ratio` |
//!
//! What all of them share:
//! - A UTF-8 byte order mark at the start of a text is not part of it, save for `exact`.
//! - Text need not be UTF-8. Bytes that are not are compared as bytes and shown as `\xff`.
//! - White space is ASCII's: space, tab, line feed, vertical tab, form feed, carriage return.
//! - A line ends with a line feed, and the last one may lack it. A carriage return before the line feed belongs to the
//!   line, as white space at its end: `ignore_trailing_space` (and `ignore_space`) make CRLF and LF the same.
//! - Case is ignored by lowering each character on its own (`É` is `é`; `ß` is not `ss`).

mod align;
mod align_block;
mod align_path;
mod comparator;
mod comparison;
mod difference;
mod escape;
mod exact;
mod grader;
mod items;
mod json;
mod json_parser;
mod json_tape;
mod json_walk;
mod number;
mod options;
mod pointer;
mod rules;
mod sequence;
mod similarity;
mod subsequence;
mod unordered;

pub use comparator::{Comparator, UnknownComparator};
pub use comparison::{CompareError, Comparison, compare};
pub use difference::Difference;
pub use grader::KIND;
pub use options::{CompareOptions, OptionError};

#[cfg(test)]
mod tests;
