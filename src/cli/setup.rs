//! From settings to the parts that commands use.

use crate::cli::CliError;
use crate::config::{CommonArgs, Config};
use crate::graders;
use crate::journal::SqliteJournal;
use crate::plan::PlanFolders;
use crate::sandbox::{Sandbox, SandboxConfig};

/// What a sandbox says of itself where Landlock and seccomp both hold.
const FULL_CONFINEMENT: &str = "landlock on, seccomp on";

pub(super) fn config(common: &CommonArgs) -> Result<Config, CliError> {
    Config::load(common).map_err(CliError::usage)
}

pub(super) fn folders(config: &Config) -> PlanFolders {
    PlanFolders {
        plans: config.graders.join("plans"),
        checks: config.graders.join("checks"),
        prompts: config.prompts.clone(),
        kinds: graders::rules(),
    }
}

pub(super) fn sandbox(config: &Config) -> Result<Sandbox, CliError> {
    let settings = SandboxConfig {
        children: config.sandbox_children,
        runtimes: config.runtimes.clone(),
        ..SandboxConfig::new(config.cache.clone())
    };
    Sandbox::new(settings).map_err(CliError::trouble)
}

/// Says so where the kernel does not give a check's process its second wall.
pub(super) async fn tell_confinement(sandbox: &Sandbox) -> Result<(), CliError> {
    let confinement = sandbox.confinement().await.map_err(CliError::trouble)?;
    if confinement != FULL_CONFINEMENT {
        tracing::warn!(
            confinement,
            "checks run without all walls: this kernel or container lacks some"
        );
    }
    Ok(())
}

pub(super) async fn journal(config: &Config) -> Result<SqliteJournal, CliError> {
    SqliteJournal::open(&config.journal)
        .await
        .map_err(CliError::trouble)
}
