//! Settings: flags, then `ASSAY_*` environment, then `assay.toml`. The only reader of the environment.

use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::SecretString;
use serde::Deserialize;

use crate::graders::rubric::{ResponseFormat, UnknownResponseFormat};

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
    pub judge: Option<JudgeEndpoint>,
}

/// An OpenAI-compatible endpoint.
#[derive(Debug, Clone)]
pub struct JudgeEndpoint {
    /// Base URL, e.g. `https://api.openai.com/v1`.
    pub base_url: String,
    /// The key; empty where the endpoint needs none.
    pub api_key: SecretString,
    /// Model for rubrics that name none.
    pub model: Option<String>,
    /// How the form of the answer is asked for.
    pub response_format: ResponseFormat,
    /// Sampling temperature, where it is to be asked for.
    pub temperature: Option<f64>,
    /// Most tokens of an answer, where that is to be asked for.
    pub max_completion_tokens: Option<u32>,
    /// Longest time of one call in all, in seconds.
    pub timeout_seconds: u64,
    /// Longest time to connect, in seconds; the usual one where none.
    pub connect_timeout_seconds: Option<u64>,
    /// Longest silence within an answer, in seconds; the usual one where none.
    pub read_timeout_seconds: Option<u64>,
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
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct JudgeTable {
    base_url: Option<String>,
    model: Option<String>,
    response_format: Option<ResponseFormat>,
    temperature: Option<f64>,
    max_completion_tokens: Option<u32>,
    timeout_seconds: Option<u64>,
    connect_timeout_seconds: Option<u64>,
    read_timeout_seconds: Option<u64>,
}

impl JudgeTable {
    /// Refuses what no call could be made with.
    fn check(&self) -> Result<(), ConfigError> {
        let setting = |key, message: &str| {
            Err(ConfigError::Setting {
                key,
                message: message.to_owned(),
            })
        };
        let counts = [
            (
                "judge.max_completion_tokens",
                self.max_completion_tokens.map(u64::from),
            ),
            ("judge.timeout_seconds", self.timeout_seconds),
            ("judge.connect_timeout_seconds", self.connect_timeout_seconds),
            ("judge.read_timeout_seconds", self.read_timeout_seconds),
        ];
        for (key, count) in counts {
            if count == Some(0) {
                return setting(key, "must be above zero; leave it out for the usual value");
            }
        }
        if self
            .temperature
            .is_some_and(|temperature| !(0.0..=2.0).contains(&temperature))
        {
            return setting(
                "judge.temperature",
                "must be from 0 to 2; leave it out for the model's own",
            );
        }
        if self.model.as_ref().is_some_and(|model| model.trim().is_empty()) {
            return setting(
                "judge.model",
                "must name a model; leave it out where every rubric names one",
            );
        }
        Ok(())
    }
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

/// How the form of the judge's answer is asked for.
const RESPONSE_FORMAT: &str = "ASSAY_JUDGE_RESPONSE_FORMAT";

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
        Ok(Self {
            graders: place(&args.graders, file.graders, "graders"),
            prompts: place(&args.prompts, file.prompts, "prompts"),
            journal: place(&args.journal, file.journal, ".assay/journal.sqlite"),
            cache: place(&args.cache, file.cache, ".assay/cache"),
            runtimes: place(&args.runtimes, file.runtimes, ".assay/runtimes"),
            sandbox_children: children.unwrap_or(cores).clamp(1, 64),
            judge: judge(file.judge)?,
        })
    }
}

/// The judge's endpoint: `OPENAI_BASE_URL` and `OPENAI_API_KEY` as every client of that protocol reads them. A key
/// alone means the protocol's own server; nothing at all means no judge.
fn judge(file: JudgeTable) -> Result<Option<JudgeEndpoint>, ConfigError> {
    file.check()?;
    let api_key = variable("OPENAI_API_KEY");
    let base_url = variable("OPENAI_BASE_URL").or(file.base_url);
    if api_key.is_none() && base_url.is_none() {
        return Ok(None);
    }
    let response_format = match variable(RESPONSE_FORMAT) {
        Some(text) => Some(
            text.parse()
                .map_err(|error: UnknownResponseFormat| ConfigError::Variable {
                    name: RESPONSE_FORMAT,
                    message: error.to_string(),
                })?,
        ),
        None => file.response_format,
    };
    Ok(Some(JudgeEndpoint {
        base_url: base_url.unwrap_or_else(|| "https://api.openai.com/v1".to_owned()),
        api_key: SecretString::from(api_key.unwrap_or_default()),
        model: variable("ASSAY_MODEL").or(file.model),
        response_format: response_format.unwrap_or(ResponseFormat::JsonSchema),
        temperature: file.temperature,
        max_completion_tokens: file.max_completion_tokens,
        timeout_seconds: file.timeout_seconds.unwrap_or(120),
        connect_timeout_seconds: file.connect_timeout_seconds,
        read_timeout_seconds: file.read_timeout_seconds,
    }))
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
        let line = 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
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

    fn load(text: &str) -> Result<Config, String> {
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
    fn every_setting_of_the_judge_can_be_written_and_no_senseless_one() {
        let judge = |text: &str| load(&format!("[judge]\nbase_url = \"http://127.0.0.1:1/v1\"\n{text}"));
        let text = "response_format = \"text\"\ntemperature = 0\nmax_completion_tokens = 900\ntimeout_seconds = 30\n\
                    connect_timeout_seconds = 5\nread_timeout_seconds = 25\n";
        let endpoint = judge(text).unwrap().judge.unwrap();
        assert_eq!(endpoint.response_format, ResponseFormat::Text);
        assert_eq!(
            (endpoint.temperature, endpoint.max_completion_tokens),
            (Some(0.0), Some(900))
        );
        assert_eq!(endpoint.timeout_seconds, 30);
        assert_eq!(
            (endpoint.connect_timeout_seconds, endpoint.read_timeout_seconds),
            (Some(5), Some(25))
        );
        let wrong = |text: &str| judge(text).unwrap_err();
        insta::assert_snapshot!(wrong("timeout_seconds = 0"), @"judge.timeout_seconds: must be above zero; leave it out for the usual value");
        insta::assert_snapshot!(wrong("max_completion_tokens = 0"), @"judge.max_completion_tokens: must be above zero; leave it out for the usual value");
        insta::assert_snapshot!(wrong("temperature = 2.5"), @"judge.temperature: must be from 0 to 2; leave it out for the model's own");
        insta::assert_snapshot!(wrong("model = \" \""), @"judge.model: must name a model; leave it out where every rubric names one");
        insta::assert_snapshot!(wrong("response_format = \"json\""), @"/assay.toml:3: unknown variant `json`, expected `json-schema` or `text`");
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
