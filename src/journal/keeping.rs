//! The calls of models of one verification, kept in a journal.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Journal, JournalError, verify_chain};
use crate::causes::in_full;
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::graders::rubric::{CallKeeper, Paid};
use crate::job::JobId;
use crate::model_call::{CallFault, LoggedCalls, ModelCall, NoRoom, Reservation, Spent};
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

    /// Why a call that `of` has paid for is not believed: whoever may write to the table of calls must not judge by it. A worker
    /// that died between the two may have kept a call and not its entry.
    async fn fault_of(&self, of: VerificationId, call: &ModelCall) -> Result<Option<String>, JournalError> {
        let rows = self.journal.verifications(&self.job_id).await?;
        let Some(row) = rows.into_iter().find(|row| row.id == of) else {
            return Ok(Some(CallFault::NotLogged.to_string()));
        };
        let entries = self.journal.entries(of).await?;
        if let Err(error) = verify_chain(&row, &entries) {
            return Ok(Some(error.to_string()));
        }
        let logged = LoggedCalls::of(entries.iter().map(|entry| &entry.entry));
        Ok(logged.vouch(call).err().map(|fault| fault.to_string()))
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

    async fn paid(&self, key: Digest) -> Result<Paid, GradeError> {
        if !self.reuse {
            return Ok(Paid::Nothing);
        }
        let found = self.journal.paid_call((&self.job_id, self.attempt), key).await;
        let Some((of, call)) = found.map_err(|error| failed(&error))? else {
            return Ok(Paid::Nothing);
        };
        let fault = self.fault_of(of, &call).await.map_err(|error| failed(&error))?;
        Ok(match fault {
            None => Paid::Answer(Box::new(call)),
            Some(why) => Paid::NotBelieved(format!("call {}, verification {of}: {why}", call.id)),
        })
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
