//! Reads a person's JSON and TOML files: what is wrong is said with file, line and field.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::job::Job;
use crate::plan::line_at;

/// A file that a person wrote and that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InputError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1, where known.
    pub line: Option<usize>,
    /// The field, where known.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl InputError {
    pub(super) fn new(path: &Path, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: None,
            field: None,
            message: message.into(),
        }
    }
}

/// Reads a job from its JSON file.
///
/// # Errors
/// Says file, line and field.
pub fn read_job(path: &Path) -> Result<Job, InputError> {
    read_json(path)
}

fn read_text(path: &Path) -> Result<String, InputError> {
    std::fs::read_to_string(path).map_err(|error| InputError::new(path, format!("cannot be read: {error}")))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, InputError> {
    let text = read_text(path)?;
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = error.path().to_string();
        let inner = error.inner();
        let mut message = inner.to_string();
        if let Some(end) = message.rfind(" at line ") {
            message.truncate(end);
        }
        InputError {
            path: path.to_owned(),
            line: Some(inner.line()).filter(|line| *line > 0),
            // `.` is the whole, `?` a place that the broken text does not name.
            field: (field != "." && field != "?").then_some(field),
            message,
        }
    })?;
    deserializer.end().map_err(|error| InputError {
        line: Some(error.line()),
        ..InputError::new(path, "something follows the end of the JSON value")
    })?;
    Ok(value)
}

/// Reads a TOML file.
pub(super) fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, InputError> {
    let text = read_text(path)?;
    toml::from_str(&text).map_err(|error| InputError {
        line: error.span().map(|span| line_at(&text, span.start)),
        ..InputError::new(path, error.message())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.json");
        std::fs::write(&path, text).unwrap();
        let error = read_job(&path).unwrap_err().to_string();
        error.replace(&folder.path().display().to_string(), "")
    }

    #[test]
    fn a_wrong_job_is_named_by_file_line_and_field() {
        assert_eq!(
            error("{\n\"id\": \"j\",\n\"status\": \"done\"\n}"),
            "/job.json:3: status: unknown variant `done`, expected one of `pending_payment`, `queued`, `held`, \
             `accepted`, `submitted`, `verified`, `cancelled`, `failed`"
        );
        assert_eq!(
            error("{\"output_attachments\": [\n{\"name\": 5}]}"),
            "/job.json:2: output_attachments[0].name: invalid type: integer `5`, expected a string"
        );
        assert_eq!(error("{\"id\": \"j\"}"), "/job.json:1: missing field `status`");
        assert_eq!(error("{"), "/job.json:1: EOF while parsing an object");
    }
}
