//! One call of a model as it is kept: enough to judge again without the model, and to account for what it cost.

mod logged;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::digest::Digest;
use crate::verdict::ErrorKind;
pub use logged::{CallFault, LoggedCall, LoggedCalls};

/// Tokens that a call used, as the server counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    /// Tokens of the question.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Tokens of the answer, its reasoning included.
    #[serde(default)]
    pub completion_tokens: u64,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallFinish {
    /// The model had said all.
    Complete,
    /// It ran out of tokens.
    Truncated,
    /// It went on beyond what we read.
    TooLong,
    /// It refused, or the endpoint did in its place.
    Refused,
    /// There is no answer: the call failed.
    Failed(ErrorKind),
}

impl CallFinish {
    /// The text form, e.g. `complete`; of a failed call the kind of its error.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Truncated => "truncated",
            Self::TooLong => "too-long",
            Self::Refused => "refused",
            Self::Failed(kind) => kind.as_str(),
        }
    }
}

/// The text is no end of a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no end of a model's call")]
pub struct ParseCallFinishError(String);

impl std::str::FromStr for CallFinish {
    type Err = ParseCallFinishError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Complete, Self::Truncated, Self::TooLong, Self::Refused]
            .into_iter()
            .find(|finish| finish.as_str() == text)
            .or_else(|| text.parse().ok().map(Self::Failed))
            .ok_or_else(|| ParseCallFinishError(text.to_owned()))
    }
}

/// One call of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelCall {
    /// Its id, in the order of time.
    pub id: Uuid,
    /// The grader that asked.
    pub grader: String,
    /// The ids of the criteria that it asked about; empty for another question than that of the criteria.
    pub criteria: Vec<String>,
    /// Which of several askings of the same question, from 0.
    pub sample: u32,
    /// The model that was asked for; empty where there is none, as with hand-written answers.
    pub model_asked: String,
    /// The model as the server named it.
    pub model: Option<String>,
    /// Where the answer came from: `live`, `record`, `replay`, `scripted`, `kept`.
    pub judge_mode: String,
    /// What was asked for beside the words: temperature, most tokens, form of the answer.
    pub parameters: Value,
    /// The messages with the nonce of their fences, as JSON; values of the job's variables are taken out. None where the
    /// content was erased.
    pub prompt: Option<String>,
    /// Digest of the messages as they were sent.
    pub prompt_digest: Digest,
    /// The raw answer, as far as it was heard. None where nothing was, or where the content was erased.
    pub answer: Option<String>,
    /// Digest of the answer as it is kept.
    pub answer_digest: Option<Digest>,
    /// How it ended.
    pub finish: CallFinish,
    /// Why the answer did not count: an error's message, or what was off the menu. None for one that did.
    pub rejected: Option<String>,
    /// Tokens used.
    pub usage: Option<TokenUsage>,
    /// Whether the tokens are our estimate, because the server did not say.
    pub usage_estimated: bool,
    /// What it cost, in millionths of a cent; none where the model has no price in the settings.
    pub cost_microcents: Option<u64>,
    /// Says what was asked: model, messages but for the nonce, form of the answer, sample.
    pub key: Digest,
    /// The earlier call whose answer this is: it was paid for then, and nobody was asked now.
    pub reused: Option<Uuid>,
    /// When it was sent.
    pub started_at: Timestamp,
    /// When it had ended.
    pub ended_at: Timestamp,
}

impl ModelCall {
    /// Whether the answer may be used again instead of paying for another: whole, not empty, and on the menu.
    pub fn is_reusable(&self) -> bool {
        let whole = self.finish == CallFinish::Complete && self.rejected.is_none();
        whole
            && self
                .answer
                .as_ref()
                .is_some_and(|answer| !answer.trim().is_empty())
    }
}

/// A call that is about to be made, at what it may cost, against what may be spent. In millionths of a cent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// The call's id. Where the call is kept under it, what it really cost counts instead.
    pub call: Uuid,
    /// What it may cost.
    pub more: u64,
    /// Most that the job may cost, at all its attempts.
    pub max_on_job: Option<u64>,
    /// Most that everybody may spend a day.
    pub max_today: Option<u64>,
}

impl Reservation {
    /// Whether the call may exceed a ceiling where so much was spent.
    pub fn exceeds(&self, spent: Spent) -> bool {
        self.exceeds_job(spent.on_job) || self.exceeds_day(spent.today)
    }

    /// Whether it may exceed the job's ceiling.
    pub fn exceeds_job(&self, on_job: u64) -> bool {
        self.max_on_job
            .is_some_and(|most| on_job.saturating_add(self.more) > most)
    }

    /// Whether it may exceed the day's ceiling.
    pub fn exceeds_day(&self, today: u64) -> bool {
        self.max_today
            .is_some_and(|most| today.saturating_add(self.more) > most)
    }
}

/// Why a call is not made: a ceiling leaves no room for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoRoom {
    /// What was spent, calls under way counted at what they may cost.
    pub spent: Spent,
    /// How much of the job's share is of calls under way, in millionths of a cent: most of them will have cost less.
    pub under_way_on_job: u64,
}

/// What was spent on models, in millionths of a cent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// For the job, at all its attempts.
    pub on_job: u64,
    /// By everybody since the day began, in UTC.
    pub today: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_of_a_call_round_trips() {
        let failed = ErrorKind::ALL.iter().map(|kind| CallFinish::Failed(*kind));
        let others = [
            CallFinish::Complete,
            CallFinish::Truncated,
            CallFinish::TooLong,
            CallFinish::Refused,
        ];
        for finish in failed.chain(others) {
            assert_eq!(finish.as_str().parse(), Ok(finish));
        }
        assert!("finished".parse::<CallFinish>().is_err());
    }
}
