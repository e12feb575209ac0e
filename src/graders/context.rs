//! What a grader may use while it judges.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::rubric::{CallKeeper, Judge};
use crate::clock::Clock;
use crate::log::Log;
use crate::sandbox::Sandbox;
use crate::verdict::{ErrorKind, GradeError};

/// What every verification gives its graders. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Where everything that happens is told.
    pub log: Log,
    /// What time it is.
    pub clock: Clock,
    /// Fires when the verification is called off.
    pub cancel: CancellationToken,
    /// When the verification must have ended; passing it is a transient error, never a verdict.
    pub deadline: Instant,
    /// How a judge's slot is had.
    pub judge_slots: JudgeSlots,
}

/// Judges that are asked at a time: slots that a worker's verifications share.
#[derive(Clone, Default)]
pub enum JudgeSlots {
    /// As many as want to.
    #[default]
    Unlimited,
    /// Where none is free, the verification ends with [`ErrorKind::JudgesBusy`]: it makes room for quick checks.
    Free(Arc<Semaphore>),
    /// Where none is free, the verification waits.
    Wait(Arc<Semaphore>),
}

impl JudgeSlots {
    /// A slot, held until it is dropped.
    ///
    /// # Errors
    /// Where none is free and this verification does not wait.
    pub async fn take(&self) -> Result<Option<OwnedSemaphorePermit>, GradeError> {
        let slot = match self {
            Self::Unlimited => return Ok(None),
            Self::Free(slots) => Arc::clone(slots).try_acquire_owned().ok(),
            Self::Wait(slots) => Arc::clone(slots).acquire_owned().await.ok(),
        };
        slot.map(Some).ok_or_else(|| {
            let message = "every judge's slot is taken: the submission waits in the judges' lane";
            GradeError::new(ErrorKind::JudgesBusy, message)
        })
    }
}

/// What graders are made with.
#[derive(Clone)]
pub struct Tools {
    /// Runs checks.
    pub sandbox: Sandbox,
    /// Answers rubrics.
    pub judge: Judge,
    /// Where the calls of models are kept.
    pub calls: Arc<dyn CallKeeper>,
    /// Whether the plan lets the submitter see expected text, hidden criteria and the like.
    pub reveal: bool,
}
