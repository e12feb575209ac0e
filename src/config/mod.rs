//! Settings: flags, then `ASSAY_*` environment, then `assay.toml`. The only reader of the environment.

mod judge;
mod keeping;
mod pool;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use crate::graders::rubric::JudgeSettings;
use crate::plan::{InlineRules, line_at};
use crate::settle::SettleSettings;

use judge::JudgeTable;
pub use keeping::KeepingSettings;
use keeping::{AuditTable, EvidenceTable, StoreTable};
use pool::PoolTable;
pub use pool::{Lost, PoolSettings, Settlement};

/// Flags that every command takes; each also an environment variable.
#[derive(Debug, Clone, Default, Args)]
pub struct CommonArgs {
    /// Settings file
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "ASSAY_CONFIG",
        help_heading = "Places"
    )]
    pub config: Option<PathBuf>,
    /// Folder with plans/ and checks/ [default: graders]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "ASSAY_GRADERS",
        help_heading = "Places"
    )]
    pub graders: Option<PathBuf>,
    /// Folder of the rubric prompts [default: prompts]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "ASSAY_PROMPTS",
        help_heading = "Places"
    )]
    pub prompts: Option<PathBuf>,
    /// Journal of desk runs, an SQLite file [default: .assay/journal.sqlite]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "ASSAY_JOURNAL",
        help_heading = "Places"
    )]
    pub journal: Option<PathBuf>,
    /// Cache of compiled checks [default: .assay/cache]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "ASSAY_CACHE",
        help_heading = "Places"
    )]
    pub cache: Option<PathBuf>,
    /// Runtimes of Python and JavaScript checks, as built by `make runtimes` [default: .assay/runtimes]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "ASSAY_RUNTIMES",
        help_heading = "Places"
    )]
    pub runtimes: Option<PathBuf>,
}

/// The settings in force.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder with `plans/` and `checks/`.
    pub graders: PathBuf,
    /// Folder of the rubric prompts.
    pub prompts: PathBuf,
    /// The desk's journal.
    pub journal: PathBuf,
    /// Cache of compiled checks.
    pub cache: PathBuf,
    /// Runtimes of Python and JavaScript checks.
    pub runtimes: PathBuf,
    /// Processes that run checks, at most.
    pub sandbox_children: usize,
    /// The judge's endpoint, where one is configured.
    pub judge: Option<JudgeSettings>,
    /// The pool: broker, database, worker.
    pub pool: PoolSettings,
    /// Settlement: brakes and fee.
    pub settle: SettleSettings,
    /// What a sender's own plan may use.
    pub inline_plans: InlineRules,
    /// What is kept outside the database: evidence, checkpoints.
    pub keeping: KeepingSettings,
}

/// The settings file. Unknown keys are errors.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    graders: Option<PathBuf>,
    prompts: Option<PathBuf>,
    journal: Option<PathBuf>,
    cache: Option<PathBuf>,
    runtimes: Option<PathBuf>,
    sandbox_children: Option<usize>,
    judge: JudgeTable,
    pool: PoolTable,
    settle: SettleSettings,
    inline_plans: InlineRules,
    evidence: EvidenceTable,
    audit: AuditTable,
    stores: BTreeMap<String, StoreTable>,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the settings file {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{path}:{line}: {message}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A setting has a value that it cannot have.
    #[error("{key}: {message}")]
    Setting {
        /// The setting with its table.
        key: &'static str,
        /// What is wrong.
        message: String,
    },
    /// What the command needs is set nowhere.
    #[error("{name} is not set: set it, or {key} in assay.toml, to {what}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// The setting with its table.
        key: &'static str,
        /// What it should be.
        what: &'static str,
    },
    /// An environment variable is not what it should be.
    #[error("{name}: {message}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What is wrong.
        message: String,
    },
}

const FILE_NAME: &str = "assay.toml";

impl Config {
    /// Puts the settings together.
    ///
    /// # Errors
    /// Names the file and line, or the variable, that cannot be used. A missing `assay.toml` is no error unless
    /// `--config` names it.
    pub fn load(args: &CommonArgs) -> Result<Self, ConfigError> {
        let file = match &args.config {
            Some(path) => read(path)?,
            None if Path::new(FILE_NAME).exists() => read(Path::new(FILE_NAME))?,
            None => File::default(),
        };
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let children = match variable("ASSAY_SANDBOX_CHILDREN") {
            Some(text) => Some(text.parse().ok().filter(|count| *count > 0).ok_or_else(|| {
                let message = "expected a whole number above zero".to_owned();
                ConfigError::Variable {
                    name: "ASSAY_SANDBOX_CHILDREN",
                    message,
                }
            })?),
            None => file.sandbox_children,
        };
        let place = |flag: &Option<PathBuf>, file: Option<PathBuf>, default: &str| {
            flag.clone().or(file).unwrap_or_else(|| default.into())
        };
        file.settle.check().map_err(|error| ConfigError::Setting {
            key: error.key,
            message: error.message.to_owned(),
        })?;
        let pool = pool::settings(file.pool, variable)?;
        Ok(Self {
            graders: place(&args.graders, file.graders, "graders"),
            prompts: place(&args.prompts, file.prompts, "prompts"),
            journal: place(&args.journal, file.journal, ".assay/journal.sqlite"),
            cache: place(&args.cache, file.cache, ".assay/cache"),
            runtimes: place(&args.runtimes, file.runtimes, ".assay/runtimes"),
            sandbox_children: children.unwrap_or(cores).clamp(1, 64),
            judge: judge::endpoint(file.judge)?,
            settle: SettleSettings {
                deployment: pool.deployment.clone(),
                ..file.settle
            },
            pool,
            inline_plans: file.inline_plans,
            keeping: keeping::settings(file.evidence, file.audit, file.stores, variable)?,
        })
    }
}

fn variable(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn read(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    toml::from_str(&text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = line_at(&text, start);
        ConfigError::Invalid {
            path: path.to_owned(),
            line,
            message: error.message().to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("assay.toml");
        std::fs::write(&path, text).unwrap();
        let args = CommonArgs {
            config: Some(path),
            journal: Some("from-the-flag.sqlite".into()),
            ..CommonArgs::default()
        };
        Config::load(&args).map_err(|error| {
            error
                .to_string()
                .replace(&folder.path().display().to_string(), "")
        })
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let config = load("graders = \"g\"\njournal = \"j\"\n").unwrap();
        assert_eq!(config.graders, Path::new("g"));
        assert_eq!(config.journal, Path::new("from-the-flag.sqlite"));
        assert_eq!(config.prompts, Path::new("prompts"));
    }

    #[test]
    fn a_wrong_file_is_named_with_its_line() {
        let error = load("graders = \"g\"\n\n[judge]\nbase_ulr = \"x\"\n").unwrap_err();
        assert!(
            error.starts_with("/assay.toml:4: unknown field `base_ulr`"),
            "{error}"
        );
    }
}
