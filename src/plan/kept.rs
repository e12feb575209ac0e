//! A plan as it is kept by its digest: run again months later, whatever has become of the files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::check::Files;
use super::{DigestedGrader, Issue, Plan, PlanError, PlanFile, PlanFolders, digest_of};
use crate::digest::Digest;

/// A file of a kept plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFile {
    /// The grader that names it.
    pub grader: String,
    /// The key by which it does, e.g. `script`.
    pub key: String,
    /// The name as the plan writes it.
    pub name: String,
    /// Digest of the bytes.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
}

/// A plan without the folders that it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptPlan {
    /// Its name.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
    /// Its settings, in the form of an inline plan.
    pub settings: Value,
    /// The files that it names.
    pub files: Vec<KeptFile>,
}

impl KeptPlan {
    /// The plan in the form in which it is kept.
    pub fn of(plan: &Plan) -> Self {
        let graders = plan.graders.iter().map(|grader| {
            let mut table = Map::new();
            table.insert("name".to_owned(), json!(grader.name));
            table.insert("kind".to_owned(), json!(grader.kind));
            table.insert("gate".to_owned(), json!(grader.gate));
            table.insert("weight".to_owned(), json!(grader.weight));
            table.extend(grader.settings.as_object().cloned().unwrap_or_default());
            Value::Object(table)
        });
        let graders = graders.collect::<Vec<_>>();
        let files = plan.graders.iter().flat_map(|grader| {
            grader.files.iter().map(|(key, file)| KeptFile {
                grader: grader.name.clone(),
                key: (*key).to_owned(),
                name: file.name.clone(),
                digest: file.digest,
                bytes: Arc::clone(&file.bytes),
            })
        });
        Self {
            name: plan.name.clone(),
            digest: plan.digest,
            settings: json!({
                "description": plan.description,
                "threshold": plan.threshold,
                "reveal": plan.reveal,
                "required_files": plan.required_files,
                "graders": graders,
            }),
            files: files.collect(),
        }
    }

    /// The digest of what is kept, without asking whether this version would take it as a plan.
    ///
    /// # Errors
    /// Settings that no version of ours keeps.
    pub fn computed_digest(&self) -> Result<Digest, serde_json::Error> {
        let settings = KeptSettings::deserialize(&self.settings)?;
        let graders = settings.graders.iter().map(|grader| DigestedGrader {
            name: &grader.name,
            kind: &grader.kind,
            gate: grader.gate,
            weight: grader.weight,
            settings: Value::Object(grader.settings.clone()),
            files: self
                .files
                .iter()
                .filter(|file| file.grader == grader.name)
                .map(|file| (file.key.as_str(), file.digest))
                .collect(),
        });
        Ok(digest_of(
            settings.threshold,
            settings.reveal,
            &settings.required_files,
            graders,
        ))
    }

    /// The same plan with a setting of every grader of that kind changed: another plan, with another digest.
    #[must_use]
    pub fn with_setting(mut self, kind: &str, key: &str, value: &Value) -> Self {
        let graders = self.settings.get_mut("graders").and_then(Value::as_array_mut);
        for grader in graders.into_iter().flatten().filter_map(Value::as_object_mut) {
            if grader.get("kind").and_then(Value::as_str) == Some(kind) {
                grader.insert(key.to_owned(), value.clone());
            }
        }
        self
    }
}

/// The settings of a kept plan, as far as they are in its digest.
#[derive(Deserialize)]
struct KeptSettings {
    threshold: f64,
    reveal: bool,
    required_files: Vec<String>,
    graders: Vec<KeptGrader>,
}

#[derive(Deserialize)]
struct KeptGrader {
    name: String,
    kind: String,
    gate: bool,
    weight: f64,
    #[serde(flatten)]
    settings: Map<String, Value>,
}

impl PlanFolders {
    /// A plan from what was kept of it; no folder is read. Its digest may be another one where this version understands a
    /// setting otherwise: the caller compares.
    ///
    /// # Errors
    /// Says the key of the first thing that this version does not take.
    pub fn restore(&self, kept: &KeptPlan) -> Result<Plan, PlanError> {
        let files: BTreeMap<_, _> = kept
            .files
            .iter()
            .map(|file| ((file.grader.as_str(), file.key.as_str()), file))
            .collect();
        let find = |grader: &str, key: &str| {
            let file = files.get(&(grader, key))?;
            Some(PlanFile {
                name: file.name.clone(),
                path: PathBuf::from(&file.name),
                bytes: Arc::clone(&file.bytes),
                digest: file.digest,
            })
        };
        self.check(kept.name.clone(), kept.settings.clone(), Files::Kept(&find))
            .map_err(|issue: Issue| PlanError {
                source_name: format!("kept plan `{}`", kept.name),
                line: None,
                issue,
            })
    }
}
