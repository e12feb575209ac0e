//! What is wrong with a plan: file, line and key, and what to do.

use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong, and where: `key` is a path such as `graders[1].weight`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Path of the key, empty for the plan as a whole.
    pub key: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl Issue {
    /// An issue at a key.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
        }
    }

    /// The same issue seen from further out: `weight` becomes `graders[1].weight`.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        let key = if self.key.is_empty() {
            outer.to_owned()
        } else {
            format!("{outer}.{}", self.key)
        };
        Self { key, ..self }
    }

    /// Turns what serde says of a value into an issue with the path of the key.
    pub fn from_serde(error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        let path = error.path().to_string();
        let mut message = error.inner().to_string();
        // serde_json adds a place in a text that nobody wrote.
        if let Some(end) = message.rfind(" at line ") {
            message.truncate(end);
        }
        Self::new(if path == "." { String::new() } else { path }, message)
    }
}

/// A plan that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PlanError {
    /// The file, or `inline plan`.
    pub source_name: String,
    /// Line in the file, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub issue: Issue,
}

impl PlanError {
    /// A plan of that name is nowhere.
    pub(super) fn unknown(name: &str, looked_in: &[PathBuf], known: &[String]) -> Self {
        let places: Vec<_> = looked_in.iter().map(|path| path.display().to_string()).collect();
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        let message = format!(
            "no such plan (looked for {}); known plans: {known}",
            places.join(" and ")
        );
        Self {
            source_name: format!("plan `{name}`"),
            line: None,
            issue: Issue::new("", message),
        }
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source_name)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if !self.issue.key.is_empty() {
            write!(f, "{}: ", self.issue.key)?;
        }
        f.write_str(&self.issue.message)
    }
}
