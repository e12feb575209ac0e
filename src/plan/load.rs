//! Loads plans: by name, from a file, or inline.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::check::Files;
use super::locate::{line_at, line_of};
use super::{Issue, Plan, PlanError, PlanFolders};

impl PlanFolders {
    /// Loads the plan of that name from the plans' folder, or, where `beside` is given, the file of that name in
    /// that folder (a fixture's own plan).
    ///
    /// # Errors
    /// Says file, line and key of the first thing that is wrong.
    pub fn load(&self, name: &str, beside: Option<&Path>) -> Result<Plan, PlanError> {
        if name.ends_with(".toml") {
            let path = beside.map_or_else(|| PathBuf::from(name), |folder| folder.join(name));
            return self.load_file(&path);
        }
        let path = self.plans.join(format!("{name}.toml"));
        let plain = !name.is_empty() && !name.contains(['/', '\\']) && !name.starts_with('.');
        if !plain || !path.is_file() {
            return Err(PlanError::unknown(name, &[path], &self.names()));
        }
        self.load_file(&path)
    }

    /// Loads the plan in that file.
    ///
    /// # Errors
    /// Says file, line and key of the first thing that is wrong.
    pub fn load_file(&self, path: &Path) -> Result<Plan, PlanError> {
        let source_name = path.display().to_string();
        let fail = |line, issue| PlanError {
            source_name: source_name.clone(),
            line,
            issue,
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| fail(None, Issue::new("", format!("cannot be read: {error}"))))?;
        let name = path
            .file_stem()
            .map_or_else(|| "plan".into(), |stem| stem.to_string_lossy().into_owned());
        let table: toml::Table = toml::from_str(&text).map_err(|error| {
            let line = error.span().map(|span| line_at(&text, span.start));
            fail(line, Issue::new("", error.message()))
        })?;
        let value = to_json(toml::Value::Table(table), "")
            .map_err(|issue| fail(line_of(&text, &issue.key), issue))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut plan = self
            .check(name, value, Files::Folder(Some(folder)))
            .map_err(|issue| fail(Some(line_of(&text, &issue.key).unwrap_or(1)), issue))?;
        plan.path = Some(path.to_owned());
        Ok(plan)
    }

    /// Checks an inline plan. Its files are looked up in the folders only.
    ///
    /// # Errors
    /// Says the key of the first thing that is wrong.
    pub fn load_inline(&self, value: Value) -> Result<Plan, PlanError> {
        self.check("inline".to_owned(), value, Files::Folder(None))
            .map_err(|issue| PlanError {
                source_name: "inline plan".to_owned(),
                line: None,
                issue,
            })
    }
}

/// The same value as JSON. What JSON cannot say would be lost on the way, so it is refused.
fn to_json(value: toml::Value, key: &str) -> Result<Value, Issue> {
    match value {
        toml::Value::String(text) => Ok(Value::String(text)),
        toml::Value::Integer(number) => Ok(Value::from(number)),
        toml::Value::Boolean(flag) => Ok(Value::Bool(flag)),
        toml::Value::Float(number) if number.is_finite() => Ok(Value::from(number)),
        toml::Value::Float(number) => Err(Issue::new(key, format!("must be a finite number, not {number}"))),
        toml::Value::Datetime(_) => Err(Issue::new(
            key,
            "must not be a date or time: write it as text in quotes",
        )),
        toml::Value::Array(items) => {
            let items = items.into_iter().enumerate();
            items
                .map(|(index, item)| to_json(item, &format!("{key}[{index}]")))
                .collect()
        }
        toml::Value::Table(table) => {
            let place = |name: &str| {
                if key.is_empty() {
                    name.to_owned()
                } else {
                    format!("{key}.{name}")
                }
            };
            let entries = table.into_iter().map(|(name, item)| {
                let item = to_json(item, &place(&name))?;
                Ok((name, item))
            });
            entries.collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
    }
}
