//! The calls of models of one verification, kept in a journal.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Journal, JournalError};
use crate::causes::in_full;
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::graders::rubric::CallKeeper;
use crate::job::JobId;
use crate::model_call::{ModelCall, NoRoom, Reservation, Spent};
use crate::verdict::{ErrorKind, GradeError};

/// Keeps the calls of one verification in a journal.
pub struct JournalKeeper {
    journal: Arc<dyn Journal>,
    verification: VerificationId,
    job_id: JobId,
    attempt: u32,
    reuse: bool,
}

impl JournalKeeper {
    /// For that verification of that hand-in. `reuse`: answers paid for at an earlier run over the same hand-in are used
    /// again, as after a crash; not where somebody wants to hear the judge anew.
    pub fn of(
        journal: Arc<dyn Journal>,
        verification: VerificationId,
        (job_id, attempt): (&JobId, u32),
        reuse: bool,
    ) -> Arc<dyn CallKeeper> {
        Arc::new(Self {
            journal,
            verification,
            job_id: job_id.clone(),
            attempt,
            reuse,
        })
    }
}

fn failed(error: &JournalError) -> GradeError {
    let message = format!("the calls of the judge cannot be kept: {}", in_full(error));
    GradeError::new(ErrorKind::Journal, message)
}

#[async_trait]
impl CallKeeper for JournalKeeper {
    async fn keep(&self, call: &ModelCall) -> Result<(), GradeError> {
        let about = (self.verification, &self.job_id, self.attempt);
        self.journal
            .keep_call(about, call)
            .await
            .map_err(|error| failed(&error))
    }

    async fn paid(&self, key: Digest) -> Result<Option<ModelCall>, GradeError> {
        if !self.reuse {
            return Ok(None);
        }
        let found = self.journal.paid_call((&self.job_id, self.attempt), key).await;
        found.map_err(|error| failed(&error))
    }

    async fn spent(&self) -> Result<Spent, GradeError> {
        self.journal
            .spent(&self.job_id)
            .await
            .map_err(|error| failed(&error))
    }

    async fn reserve(&self, reservation: &Reservation) -> Result<Option<NoRoom>, GradeError> {
        let reserved = self.journal.reserve_spending(&self.job_id, reservation).await;
        reserved.map_err(|error| failed(&error))
    }
}
