//! A folder with graders, prompts and fixtures of its own, and the `assay` command run in it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

pub(crate) struct Workbench {
    folder: tempfile::TempDir,
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Workbench {
    /// An empty bench; its checks and prompts are the repository's.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bench = Self { folder };
        let repo = Path::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::create_dir(bench.path("graders")).unwrap();
        std::os::unix::fs::symlink(repo.join("graders/checks"), bench.path("graders/checks")).unwrap();
        std::os::unix::fs::symlink(repo.join("prompts"), bench.path("prompts")).unwrap();
        bench
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    pub(crate) fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A plan in the plans' folder.
    pub(crate) fn plan(&self, name: &str, text: &str) {
        self.write(&format!("graders/plans/{name}.toml"), text);
    }

    /// A fixture whose job has the given fields besides the necessary ones.
    pub(crate) fn fixture(&self, name: &str, fixture: &str, fields: Value) {
        self.write(&format!("fixtures/{name}/fixture.toml"), fixture);
        let mut job = json!({
            "id": format!("job-{name}"), "status": "submitted", "prompt": "Write it.", "title": "T", "sender": "s",
            "created_at": "2026-11-24T09:00:00Z", "updated_at": "2026-11-24T09:00:00Z",
        });
        job.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        self.write(&format!("fixtures/{name}/job.json"), &job.to_string());
    }

    /// Runs `assay` in the bench, without a model and without colour.
    pub(crate) fn assay(&self, args: &[&str]) -> Ended {
        let output = self.command(args).output().unwrap();
        Ended::of(&output, self.folder.path())
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
        command.args(args).current_dir(self.folder.path());
        for variable in [
            "OPENAI_API_KEY",
            "OPENAI_BASE_URL",
            "ASSAY_MODEL",
            "ASSAY_CONFIG",
            "ASSAY_JOURNAL",
        ] {
            command.env_remove(variable);
        }
        command
    }

    /// The report of a run of all fixtures, and how it ended.
    pub(crate) fn run(&self, args: &[&str]) -> (Value, Ended) {
        let mut all = vec!["run", "fixtures", "--json"];
        all.extend(args);
        let ended = self.assay(&all);
        let report = serde_json::from_str(&ended.out).unwrap_or(Value::Null);
        (report, ended)
    }

    /// The report of a run of the repository's own fixtures, its journal kept in the bench, and how it ended.
    pub(crate) fn run_repository(&self) -> (Value, Ended) {
        let journal = self.path("journal.sqlite");
        let mut command = self.command(&["run", "--json", "--journal", journal.to_str().unwrap()]);
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (report, Ended::of(&output, self.folder.path()))
    }
}

impl Ended {
    pub(crate) fn of(output: &Output, folder: &Path) -> Self {
        let text =
            |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&folder.display().to_string(), "DIR");
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}
