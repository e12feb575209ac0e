//! Where a rubric's answers come from.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Secret;

/// How to reach a model.
#[derive(Debug, Clone)]
pub struct JudgeSettings {
    /// Base URL of the endpoint.
    pub base_url: String,
    /// Its key.
    pub api_key: Secret,
    /// Model for rubrics that name none.
    pub model: Option<String>,
    /// Longest wait for one call.
    pub call_timeout: Duration,
}

/// Answers rubrics.
#[derive(Debug, Clone)]
pub struct Judge;

impl Judge {
    /// Asks the model.
    pub fn live(_: JudgeSettings) -> Self {
        Self
    }

    /// Asks the model and keeps its answers.
    pub fn record(_: JudgeSettings, _: PathBuf) -> Self {
        Self
    }

    /// Answers from what was recorded.
    pub fn replay(_: PathBuf) -> Self {
        Self
    }

    /// Answers from what was written by hand.
    pub fn scripted(_: PathBuf) -> Self {
        Self
    }

    /// Nobody answers.
    pub fn none() -> Self {
        Self
    }

    /// What reports call it.
    pub fn mode(&self) -> Option<&'static str> {
        None
    }
}
