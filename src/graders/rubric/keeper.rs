//! Where calls of models are kept, and where answers already paid for are found again.

use std::sync::Arc;

use async_trait::async_trait;

use crate::digest::Digest;
use crate::model_call::{ModelCall, Spent};
use crate::verdict::GradeError;

/// What an earlier run over the same hand-in has paid for.
#[derive(Debug, Clone, PartialEq)]
pub enum Paid {
    /// Nothing that may be used.
    Nothing,
    /// This answer.
    Answer(Box<ModelCall>),
    /// An answer that is not believed, and why: the question is asked again.
    NotBelieved(String),
}

/// Keeps the calls of one verification.
#[async_trait]
pub trait CallKeeper: Send + Sync {
    /// Keeps a call, also one that failed. What it has returned `Ok` for is durable.
    ///
    /// # Errors
    /// Where it cannot be written: a transient error.
    async fn keep(&self, call: &ModelCall) -> Result<(), GradeError>;

    /// A reusable answer to that question, paid for at an earlier run over the same hand-in; nothing where there is none, or
    /// where answers are not to be used again.
    ///
    /// # Errors
    /// Where it cannot be read: a transient error.
    async fn paid(&self, key: Digest) -> Result<Paid, GradeError>;

    /// What was spent so far, for the ceilings.
    ///
    /// # Errors
    /// Where it cannot be read: a transient error.
    async fn spent(&self) -> Result<Spent, GradeError>;
}

/// Keeps nothing: for a look at one grader outside any verification.
struct NothingKept;

#[async_trait]
impl CallKeeper for NothingKept {
    async fn keep(&self, _call: &ModelCall) -> Result<(), GradeError> {
        Ok(())
    }

    async fn paid(&self, _key: Digest) -> Result<Paid, GradeError> {
        Ok(Paid::Nothing)
    }

    async fn spent(&self) -> Result<Spent, GradeError> {
        Ok(Spent::default())
    }
}

/// A keeper that keeps nothing.
pub fn nothing_kept() -> Arc<dyn CallKeeper> {
    Arc::new(NothingKept)
}
