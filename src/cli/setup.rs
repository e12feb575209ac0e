//! From settings to the parts that commands use.

use crate::cli::CliError;
use crate::config::{CommonArgs, Config, JudgeEndpoint};
use crate::graders;
use crate::graders::rubric::JudgeSettings;
use crate::journal::SqliteJournal;
use crate::plan::PlanFolders;
use crate::sandbox::{Sandbox, SandboxConfig};

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
        ..SandboxConfig::new(config.cache.clone())
    };
    Sandbox::new(settings).map_err(CliError::trouble)
}

pub(super) async fn journal(config: &Config) -> Result<SqliteJournal, CliError> {
    SqliteJournal::open(&config.journal)
        .await
        .map_err(CliError::trouble)
}

pub(super) fn judge_settings(endpoint: &JudgeEndpoint) -> JudgeSettings {
    JudgeSettings {
        base_url: endpoint.base_url.clone(),
        api_key: endpoint.api_key.clone(),
        model: endpoint.model.clone(),
        call_timeout: std::time::Duration::from_secs(endpoint.timeout_seconds),
    }
}
