//! Where a fixture's judge gets its answers.

use std::path::Path;

use crate::graders::rubric::{Judge, JudgeError, JudgeSettings};

/// Name of a fixture's file of recorded answers.
const RECORDED: &str = "answers.json";

/// Name of a fixture's file of hand-written answers.
const SCRIPTED: &str = "answers.toml";

/// Where the judge's answers come from.
#[derive(Clone)]
pub enum JudgeChoice {
    /// Hand-written answers beside the fixture where there are some, else recorded ones, else nobody.
    Fixture,
    /// The configured endpoint.
    Live(JudgeSettings),
    /// The configured endpoint, and the answers are kept beside the fixture.
    Record(JudgeSettings),
    /// Recorded answers only.
    Replay,
    /// Hand-written answers only.
    Scripted,
}

impl JudgeChoice {
    /// The judge of the fixture in that folder.
    ///
    /// # Errors
    /// Where the fixture's answers, or the endpoint's settings, cannot be used.
    pub fn open(&self, folder: &Path) -> Result<Judge, JudgeError> {
        let recorded = folder.join(RECORDED);
        let scripted = folder.join(SCRIPTED);
        match self {
            Self::Live(settings) => Judge::live(settings.clone()),
            Self::Record(settings) => Judge::record(settings.clone(), &recorded),
            Self::Replay => Judge::replay(&recorded),
            Self::Scripted => Judge::scripted(&scripted),
            Self::Fixture if scripted.is_file() => Judge::scripted(&scripted),
            Self::Fixture if recorded.is_file() => Judge::replay(&recorded),
            Self::Fixture => Ok(Judge::none()),
        }
    }
}
