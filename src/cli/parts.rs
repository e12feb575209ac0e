//! From settings to the parts that commands use.

use std::sync::Arc;

use anyhow::anyhow;
use secrecy::ExposeSecret as _;

use crate::audit::Anchor;
use crate::cli::CliError;
use crate::config::{CommonArgs, Config};
use crate::evidence::store::{BlobStore, EvidenceStore};
use crate::graders;
use crate::graders::rubric::JudgeSettings;
use crate::journal::{Market, PgJournal, SqliteJournal};
use crate::plan::PlanFolders;
use crate::queue::{Queue, RabbitQueue, RabbitSettings};
use crate::sandbox::{Sandbox, SandboxConfig};

/// Connections of settlement: one for each outcome that is applied at a time, and some for what waits.
const SETTLE_CONNECTIONS: u32 = 24;

/// What a sandbox says of itself where Landlock and seccomp both hold.
pub(super) const FULL_CONFINEMENT: &str = "landlock on, seccomp on";

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

pub(super) fn sandbox_config(config: &Config) -> SandboxConfig {
    SandboxConfig {
        children: config.sandbox_children,
        runtimes: config.runtimes.clone(),
        ..SandboxConfig::new(config.cache.clone())
    }
}

pub(super) fn sandbox(config: &Config) -> Result<Sandbox, CliError> {
    Sandbox::new(sandbox_config(config)).map_err(CliError::trouble)
}

/// The configured model.
pub(super) fn endpoint(config: &Config) -> Result<JudgeSettings, CliError> {
    config.judge.clone().ok_or_else(|| {
        CliError::usage(anyhow!(
            "no model is configured: set OPENAI_API_KEY, and OPENAI_BASE_URL for another server"
        ))
    })
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

/// The pool's journal, with at most so many connections.
pub(super) async fn pool_journal(config: &Config, connections: u32) -> Result<PgJournal, CliError> {
    let url = config.pool.database_url().map_err(CliError::usage)?;
    PgJournal::connect(url.expose_secret(), connections)
        .await
        .map_err(CliError::trouble)
}

/// The marketplace's tables in the pool's database.
pub(super) async fn market(config: &Config) -> Result<Market, CliError> {
    let journal = pool_journal(config, SETTLE_CONNECTIONS).await?;
    journal.check_set_up().await.map_err(CliError::usage)?;
    journal.market().await.map_err(CliError::usage)
}

/// The evidence store, where one is configured.
pub(super) fn evidence_store(config: &Config) -> Result<Option<EvidenceStore>, CliError> {
    let keeping = &config.keeping;
    let opened = keeping
        .evidence
        .as_deref()
        .map(|place| BlobStore::open(place, &keeping.stores));
    Ok(opened
        .transpose()
        .map_err(CliError::usage)?
        .map(EvidenceStore::new))
}

/// Where checkpoints are kept outside the database, where that is configured.
pub(super) fn anchor(config: &Config) -> Result<Option<Anchor>, CliError> {
    let keeping = &config.keeping;
    let opened = keeping
        .anchor
        .as_deref()
        .map(|place| Anchor::open(place, &keeping.stores));
    opened.transpose().map_err(CliError::usage)
}

/// The broker, under a name that its operators see.
pub(super) async fn queue(config: &Config, name: &str) -> Result<Arc<dyn Queue>, CliError> {
    let url = config.pool.amqp_url().map_err(CliError::usage)?;
    let queue = RabbitQueue::connect(RabbitSettings::new(url.clone(), name))
        .await
        .map_err(CliError::trouble)?;
    Ok(Arc::new(queue))
}
