//! Reports in files: `--report KIND=FILE`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{RunReport, html, junit};

/// The forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Html,
    Json,
    Junit,
}

/// A report to be written, as `--report` names it: `html=FILE`, `json=FILE` or `junit=FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFile {
    form: Form,
    path: PathBuf,
}

/// The text names no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected html=FILE, json=FILE or junit=FILE")]
pub struct ParseReportFileError;

impl FromStr for ReportFile {
    type Err = ParseReportFileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (form, path) = text.split_once('=').ok_or(ParseReportFileError)?;
        let form = match form {
            "html" => Form::Html,
            "json" => Form::Json,
            "junit" => Form::Junit,
            _ => return Err(ParseReportFileError),
        };
        if path.is_empty() {
            return Err(ParseReportFileError);
        }
        Ok(Self {
            form,
            path: path.into(),
        })
    }
}

/// A report that could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The file system refused.
    #[error("the report {} cannot be written: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The page cannot be rendered: a defect of ours.
    #[error("the HTML report cannot be rendered: {0}")]
    Template(#[from] minijinja::Error),
    /// The JSON cannot be rendered: a defect of ours.
    #[error("the JSON report cannot be rendered: {0}")]
    Json(#[from] serde_json::Error),
}

impl ReportFile {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that the report can be written, before there is anything to lose; folders that are missing are made.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn prepare(&self) -> Result<(), ReportError> {
        let unwritable = |source| ReportError::Unwritable {
            path: self.path.clone(),
            source,
        };
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(unwritable)?;
        }
        // Opened without a change: an older report stays until there is a new one.
        let mut options = std::fs::OpenOptions::new();
        options
            .append(true)
            .create(true)
            .open(&self.path)
            .map(drop)
            .map_err(unwritable)
    }

    /// Writes the report.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn write(&self, report: &RunReport) -> Result<(), ReportError> {
        let unwritable = |source| ReportError::Unwritable {
            path: self.path.clone(),
            source,
        };
        let bytes = match self.form {
            Form::Html => html::render(report)?.into_bytes(),
            Form::Json => format!("{}\n", serde_json::to_string_pretty(report)?).into_bytes(),
            Form::Junit => junit::render(report).map_err(unwritable)?,
        };
        std::fs::write(&self.path, bytes).map_err(unwritable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_named_by_its_form_and_its_file() {
        let report: ReportFile = "html=a=b.html".parse().unwrap();
        assert_eq!(report.path(), Path::new("a=b.html"));
        for wrong in ["html", "html=", "pdf=a.pdf", "=a", ""] {
            assert_eq!(wrong.parse::<ReportFile>(), Err(ParseReportFileError), "{wrong}");
        }
    }
}
