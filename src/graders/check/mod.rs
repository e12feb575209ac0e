//! The `check` grader: a script of a sender or operator, never trusted, run in the sandbox.
//!
//! A script is Python or JavaScript text for the shared runtime of its language, or a component of its own.

mod call;
mod grader;
mod settings;

use schemars::JsonSchema as _;

use super::Kind;
use crate::plan::{KindRules, Stage};

/// The kind `check`.
pub(super) static KIND: Kind = Kind {
    rules: KindRules {
        name: "check",
        stage: Stage::Deterministic,
        check: settings::check,
        check_files: |_| Ok(()),
        schema: settings::Settings::json_schema,
    },
    build: grader::build,
};
