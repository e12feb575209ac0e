//! The model that judges: where it is, and how it is asked.

use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::money::Money;
use crate::pacing::{Pace, Pacer};

/// How to reach a model: any endpoint that speaks `OpenAI`'s chat completions.
#[derive(Debug, Clone)]
pub struct JudgeSettings {
    /// The endpoint up to and with its version, e.g. `https://api.openai.com/v1`.
    pub base_url: String,
    /// The key; empty for endpoints that want none. Shown nowhere.
    pub api_key: SecretString,
    /// The model that is asked where a rubric names none.
    pub model: Option<String>,
    /// How the form of the answer is asked for.
    pub response_format: ResponseFormat,
    /// Sampling temperature; left out of the request where none, since some models refuse it.
    pub temperature: Option<f64>,
    /// Most tokens of an answer, its reasoning included; left out of the request where none.
    pub max_completion_tokens: Option<u32>,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// Longest silence within an answer.
    pub read_timeout: Duration,
    /// Longest time of one call in all.
    pub call_timeout: Duration,
    /// How fast it may be asked: shared by all clones of these settings.
    pub pacer: Pacer,
    /// What it costs, and how much may be spent.
    pub money: Money,
}

impl JudgeSettings {
    /// Settings with the usual time-outs: 10 s to connect, 60 s of silence, 5 minutes for a call. They name no model.
    pub fn new(base_url: impl Into<String>, api_key: SecretString) -> Self {
        Self {
            base_url: base_url.into(),
            api_key,
            model: None,
            response_format: ResponseFormat::JsonSchema,
            temperature: None,
            max_completion_tokens: None,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(60),
            call_timeout: Duration::from_secs(300),
            pacer: Pacer::alone(Pace::default()),
            money: Money::default(),
        }
    }
}

/// How the form of the answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResponseFormat {
    /// With a strict JSON schema, which the endpoint enforces.
    JsonSchema,
    /// In words only, for endpoints that know no schemas. The answer is read as strictly.
    Text,
}

impl ResponseFormat {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JsonSchema => "json-schema",
            Self::Text => "text",
        }
    }
}

/// The text names no way to ask for a form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no response format: use json-schema or text")]
pub struct UnknownResponseFormat(String);

impl FromStr for ResponseFormat {
    type Err = UnknownResponseFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::JsonSchema, Self::Text]
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| UnknownResponseFormat(text.to_owned()))
    }
}
