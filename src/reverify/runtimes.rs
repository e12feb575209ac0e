//! The interpreters that ran a plan's scripts then, where they are not those of today.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Mutex;

use super::case::Case;
use super::error::ReverifyError;
use crate::digest::Digest;
use crate::journal::PgJournal;
use crate::plan::Plan;
use crate::sandbox::{Language, Sandbox, SandboxConfig};

/// Interpreters by language.
type Runtimes = BTreeMap<&'static str, Digest>;

/// Sandboxes with the interpreters that cases ask for, each made once.
pub struct Sandboxes {
    config: SandboxConfig,
    today: Sandbox,
    installed: Runtimes,
    journal: PgJournal,
    made: Mutex<HashMap<Runtimes, (Sandbox, Arc<tempfile::TempDir>)>>,
}

impl Sandboxes {
    /// `today`: made from `config`.
    pub fn new(config: SandboxConfig, today: Sandbox, journal: PgJournal) -> Self {
        let installed = Language::ALL.into_iter().filter_map(|language| {
            let bytes = std::fs::read(config.runtimes.join(language.file_name())).ok()?;
            Some((language.file_name(), Digest::of(&bytes)))
        });
        Self {
            installed: installed.collect(),
            config,
            today,
            journal,
            made: Mutex::default(),
        }
    }

    /// A sandbox with the interpreters that judged the case then, if the plan is the same; interpreters that are not kept
    /// are told by their digests, and those of today take their place.
    ///
    /// # Errors
    /// Where the database cannot be read or the disk not be written.
    pub async fn of(&self, case: &Case, plan: &Plan) -> Result<(Sandbox, Vec<Digest>), ReverifyError> {
        let mut wanted = Runtimes::new();
        if plan.digest == case.message.plan.digest {
            for grader in &plan.graders {
                let script = grader.settings.get("script").and_then(|script| script.as_str());
                let language = script.and_then(Language::of);
                let then = case.message.receipt.runtimes.get(&grader.name);
                if let (Some(language), Some(then)) = (language, then)
                    && self.installed.get(language.file_name()) != Some(then)
                {
                    wanted.insert(language.file_name(), *then);
                }
            }
        }
        let mut made = self.made.lock().await;
        if let Some((sandbox, _)) = made.get(&wanted) {
            return Ok((sandbox.clone(), Vec::new()));
        }
        let (mut kept, mut missing) = (Runtimes::new(), Vec::new());
        let folder = tempfile::Builder::new().prefix("assay-runtimes-").tempdir()?;
        for (file, digest) in wanted {
            match self.journal.artifact(digest).await? {
                Some(bytes) => {
                    write(folder.path(), file, &bytes)?;
                    kept.insert(file, digest);
                }
                None => missing.push(digest),
            }
        }
        if kept.is_empty() {
            return Ok((self.today.clone(), missing));
        }
        for language in Language::ALL {
            if !kept.contains_key(language.file_name()) {
                link(&self.config.runtimes, folder.path(), language.file_name())?;
            }
        }
        let config = SandboxConfig {
            runtimes: folder.path().to_owned(),
            ..self.config.clone()
        };
        let sandbox = Sandbox::new(config)?;
        made.insert(kept, (sandbox.clone(), Arc::new(folder)));
        Ok((sandbox, missing))
    }
}

fn write(folder: &Path, file: &str, bytes: &[u8]) -> std::io::Result<()> {
    let path = folder.join(file);
    std::fs::write(&path, bytes)?;
    std::fs::write(digest_beside(&path), format!("{}  {file}\n", Digest::of(bytes)))
}

/// Where the digest of a runtime is written, as `make runtimes` does.
fn digest_beside(path: &Path) -> PathBuf {
    path.with_extension("wasm.sha256")
}

/// An interpreter of today, where there is one.
fn link(from: &Path, to: &Path, file: &str) -> std::io::Result<()> {
    let from = std::path::absolute(from.join(file))?;
    if from.exists() {
        std::os::unix::fs::symlink(&from, to.join(file))?;
        std::os::unix::fs::symlink(digest_beside(&from), digest_beside(&to.join(file)))?;
    }
    Ok(())
}
