//! One line of the doctor's.

use std::error::Error;
use std::fmt;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::causes::in_full;

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// Works, and could be better.
    Note,
    /// Does not work.
    Problem,
}

/// What was looked at, how it stands, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) what: String,
    pub(super) state: State,
    pub(super) detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            state: State::Ok,
            detail: detail.into(),
            remedy: None,
        }
    }

    pub(super) fn note(
        what: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Note,
            remedy: Some(remedy.into()),
            ..Self::ok(what, detail)
        }
    }

    pub(super) fn problem(
        what: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Problem,
            remedy: Some(remedy.into()),
            ..Self::ok(what, detail)
        }
    }

    /// A problem whose error says itself what to do.
    pub(super) fn error(what: impl Into<String>, error: &dyn Error) -> Self {
        Self {
            state: State::Problem,
            ..Self::ok(what, in_full(error))
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, colour) = match self.state {
            State::Ok => ("ok", AnsiColor::Green),
            State::Note => ("note", AnsiColor::Yellow),
            State::Problem => ("problem", AnsiColor::Red),
        };
        let style: Style = colour.on_default();
        write!(f, "{style}{word:<8}{style:#}{}: {}", self.what, self.detail)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n        {remedy}"),
            None => Ok(()),
        }
    }
}
