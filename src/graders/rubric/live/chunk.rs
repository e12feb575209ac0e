//! A piece of a streamed answer, read leniently: endpoints differ in all but the fields named here.

use serde::Deserialize;
use serde_json::Value;

/// One event of the stream.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Chunk {
    /// The model as the server names it.
    #[serde(default)]
    pub(super) model: Option<String>,
    /// New words; only the first choice is ours.
    #[serde(default)]
    pub(super) choices: Option<Vec<Choice>>,
    /// Tokens used, usually in the last event; its form is not worth an answer.
    #[serde(default)]
    pub(super) usage: Option<Value>,
    /// Some endpoints report trouble inside the stream.
    #[serde(default)]
    pub(super) error: Option<Value>,
}

/// A choice of the answer.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Choice {
    /// What is new.
    #[serde(default)]
    pub(super) delta: Option<Delta>,
    /// Why the answer ends here.
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
}

/// New words of an answer.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Delta {
    /// Words of the answer.
    #[serde(default)]
    pub(super) content: Option<String>,
    /// Words of the model's reasoning, as most servers name them.
    #[serde(default)]
    pub(super) reasoning_content: Option<String>,
    /// Words of the model's reasoning, as the others do.
    #[serde(default)]
    pub(super) reasoning: Option<String>,
    /// Words of a refusal.
    #[serde(default)]
    pub(super) refusal: Option<String>,
}
