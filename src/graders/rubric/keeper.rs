//! Where calls of models are kept, and where answers already paid for are found again.

use std::sync::Arc;

use async_trait::async_trait;

use crate::digest::Digest;
use crate::model_call::{ModelCall, NoRoom, Reservation, Spent};
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

    /// Notes that a call is about to be made, where the ceilings leave room for it: from then on it counts at what it may cost,
    /// until it is kept, and for good where nobody is left to keep it. Otherwise says why there is no room.
    ///
    /// Without a place to note it, only what is kept counts: enough for whoever asks one question after the other.
    ///
    /// # Errors
    /// Where it cannot be written: a transient error.
    async fn reserve(&self, reservation: &Reservation) -> Result<Option<NoRoom>, GradeError> {
        let spent = self.spent().await?;
        Ok(reservation.exceeds(spent).then_some(NoRoom {
            spent,
            under_way_on_job: 0,
        }))
    }
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
