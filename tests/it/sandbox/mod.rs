//! The sandbox, through its real child processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cache;
mod contract;
mod limits;
mod processes;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assay::sandbox::{Call, Limits, ModuleSource, Ran, Sandbox, SandboxConfig, SandboxError};

const CONTRACT: &str = include_str!("../modules/contract.wat");

struct Bench {
    sandbox: Sandbox,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(children: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            sandbox: sandbox(folder.path(), children),
            folder,
        }
    }

    async fn run(&self, module: &str) -> Result<Ran, SandboxError> {
        self.run_with(module, &Limits::default()).await
    }

    async fn run_with(&self, module: &str, limits: &Limits) -> Result<Ran, SandboxError> {
        let module = self.sandbox.prepare(&component(module)).await?;
        self.sandbox.run(&module, &call("some text"), limits).await
    }

    fn native_files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder.path().join("cache")).unwrap();
        let files = files.map(|file| file.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|extension| extension == "cwasm"))
            .collect()
    }
}

fn sandbox(folder: &Path, children: usize) -> Sandbox {
    Sandbox::new(SandboxConfig {
        program: env!("CARGO_BIN_EXE_assay").into(),
        children,
        grace: Duration::from_secs(20),
        ..SandboxConfig::new(folder.join("cache"))
    })
    .unwrap()
}

/// The core module `tests/it/modules/NAME.wat` as a component.
fn component(name: &str) -> ModuleSource {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/modules/{name}.wat"));
    let core = fs::read_to_string(path).unwrap();
    let body = &core[core.find("(module").unwrap() + "(module".len()..core.rfind(')').unwrap()];
    ModuleSource::new(CONTRACT.replace("CORE", body).into_bytes())
}

fn call(output_text: &str) -> Call {
    Call {
        job_id: "job-1".into(),
        attempt: 1,
        title: "A job".into(),
        prompt: "Do it".into(),
        description: None,
        requirements: Some("well".into()),
        output_text: output_text.into(),
        files: Vec::new(),
        params: "{}".into(),
    }
}

/// Processes that this test process has started and that still run.
fn children() -> Vec<u32> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .map(|id| id.parse().unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The children whose command line names this cache.
fn children_of(bench: &Bench) -> Vec<u32> {
    let cache = bench.folder.path().join("cache").display().to_string();
    let names_it = |id: &u32| {
        fs::read(format!("/proc/{id}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&cache))
    };
    children().into_iter().filter(names_it).collect()
}
