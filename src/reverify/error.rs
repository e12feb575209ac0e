//! Why something cannot be verified again.

use crate::entry::VerificationId;
use crate::job::JobId;
use crate::journal::{BeginDisputeError, ChainError, Erasure, JournalError};
use crate::message::MessageError;
use crate::plan::PlanError;
use crate::queue::QueueError;
use crate::receipt::ReceiptFault;
use crate::sandbox::SandboxError;
use crate::verdict::GradeError;

use super::evidence::ChangedFile;

/// Why something cannot be verified again, or not be published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReverifyError {
    /// The pool has decided nothing of this job.
    #[error("nothing was decided of the job `{0}`: `assay log {0}` shows how far it has come")]
    Undecided(JobId),
    /// Nothing was decided at this attempt.
    #[error("attempt {attempt} of the job `{job_id}` was not decided; decided attempts: {known}")]
    NoSuchAttempt {
        /// The job.
        job_id: JobId,
        /// What was asked for.
        attempt: u32,
        /// Those that were.
        known: String,
    },
    /// The hand-in is not there any more.
    #[error(
        "what was handed in at attempt {attempt} of the job `{job_id}` was {}: nobody can judge it again",
        .erasure.as_ref().map_or_else(|| "erased".to_owned(), ToString::to_string)
    )]
    Erased {
        /// The job.
        job_id: JobId,
        /// The attempt.
        attempt: u32,
        /// By whom and why; none where nothing tells.
        erasure: Option<Box<Erasure>>,
    },
    /// A stored message cannot be read.
    #[error("the stored message cannot be read: {0}")]
    Message(#[from] MessageError),
    /// What is stored is not what was written.
    #[error("the log of verification {id} does not hold: {source}; see `assay log {job_id} --all`")]
    Chain {
        /// The verification.
        id: VerificationId,
        /// The job.
        job_id: JobId,
        /// What does not hold.
        #[source]
        source: ChainError,
    },
    /// What was stored with the decision does not fit together.
    #[error("what is stored of verification {id} does not fit together: {what}; compare it with a backup")]
    Inconsistent {
        /// The verification.
        id: VerificationId,
        /// What does not fit.
        what: String,
    },
    /// The receipt of the decision in dispute is not one that settlement believed.
    #[error(
        "the receipt of verification {id}, which is in dispute, is not believed: {fault}; nothing is judged on what it does \
         not sign: see `assay audit {job_id}`"
    )]
    Receipt {
        /// The verification.
        id: VerificationId,
        /// The job.
        job_id: JobId,
        /// Why.
        fault: ReceiptFault,
    },
    /// A preview speaks of something else than the decision that it would overturn.
    #[error(
        "the preview of verification {id} has another {what} than the decision that it would overturn: verify it again"
    )]
    OtherThanDisputed {
        /// The verification.
        id: VerificationId,
        /// What.
        what: &'static str,
    },
    /// Attachments are other ones than those that were judged.
    #[error("the attachments are not those that were judged: {}", list(.0))]
    Changed(Vec<ChangedFile>),
    /// Attachments cannot be had any more.
    #[error("the attachments cannot be had again, and the originals are not kept: {0}")]
    Unobtainable(GradeError),
    /// The plan was not kept.
    #[error("the plan `{name}` ({digest}) that judged was not kept: name another with --plan")]
    PlanNotKept {
        /// Its name.
        name: String,
        /// Its digest.
        digest: String,
    },
    /// The kept plan is understood otherwise by this version.
    #[error(
        "this version reads the kept plan `{0}` otherwise than the one that judged: name another with --plan"
    )]
    PlanReadOtherwise(String),
    /// The plan cannot be used.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Checks cannot be run.
    #[error("the sandbox cannot be set up")]
    Sandbox(#[from] SandboxError),
    /// An interpreter cannot be put into a folder of ours.
    #[error("an interpreter cannot be written to a temporary folder")]
    Disk(#[from] std::io::Error),
    /// The database.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The broker.
    #[error("the decision is stored, and settlement applies it; its message could not be published yet")]
    Queue(#[from] QueueError),
    /// A preview was not signed with this key.
    #[error("the preview of verification {0} was not signed with this key as it is stored: verify it again")]
    Forged(VerificationId),
}

impl ReverifyError {
    /// A verification of that attempt that was not begun.
    pub(super) fn of_begin(error: BeginDisputeError, job_id: &JobId, attempt: u32) -> Self {
        match error {
            BeginDisputeError::Journal(error) => Self::Journal(error),
            BeginDisputeError::Erased(erasure) => Self::Erased {
                job_id: job_id.clone(),
                attempt,
                erasure: Some(erasure),
            },
        }
    }
}

fn list(files: &[ChangedFile]) -> String {
    let files: Vec<_> = files.iter().map(ToString::to_string).collect();
    files.join("; ")
}
