//! The folders in which plans and the files that they name are kept.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{FileHome, KindRules, PlanFile};
use crate::digest::Digest;

/// A plan, script or prompt is text that a person wrote, or a module of a few megabytes.
const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;

/// Where plans, checks and prompts are kept, and which kinds of grader exist.
#[derive(Clone)]
pub struct PlanFolders {
    /// `graders/plans`
    pub plans: PathBuf,
    /// `graders/checks`
    pub checks: PathBuf,
    /// `prompts`
    pub prompts: PathBuf,
    /// The registry's rules.
    pub kinds: Vec<&'static KindRules>,
}

impl PlanFolders {
    /// The names of all plans in the plans' folder, in order.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.plans).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_suffix(".toml")
                .map(str::to_owned)
        });
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Reads a file that a plan names: beside the plan, where it has a folder, or in the folder of its kind.
    pub(super) fn read(&self, name: &str, home: FileHome, folder: Option<&Path>) -> Result<PlanFile, String> {
        let relative = Path::new(name);
        let plain = relative
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if name.is_empty() || !plain {
            return Err(format!("`{name}` must be a relative path without `..`"));
        }
        let mut places: Vec<PathBuf> = folder.map(|folder| folder.join(relative)).into_iter().collect();
        match home {
            FileHome::Checks => places.push(self.checks.join(relative)),
            FileHome::Prompts => {
                places.push(self.prompts.join(relative));
                places.push(self.prompts.join(format!("{name}.md")));
            }
            FileHome::Plan => {}
        }
        let Some(path) = places.iter().find(|path| path.is_file()) else {
            let looked: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
            return Err(format!(
                "`{name}` does not exist (looked for {})",
                looked.join(" and ")
            ));
        };
        let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
        if size > MAX_FILE_BYTES {
            return Err(format!("`{name}` has {size} bytes, more than {MAX_FILE_BYTES}"));
        }
        let bytes = std::fs::read(path).map_err(|error| format!("`{name}` cannot be read: {error}"))?;
        let digest = Digest::of(&bytes);
        Ok(PlanFile {
            name: name.to_owned(),
            path: path.clone(),
            bytes: bytes.into(),
            digest,
        })
    }
}
