//! From a hand-in to an answer: its attachments are collected, then the plan runs.

use tokio::time::timeout_at;

use super::{undecided, verify};
use crate::evidence::{self, Sources};
use crate::graders::{Context, Tools};
use crate::outcome::Verification;
use crate::plan::Plan;
use crate::submission::Submission;
use crate::verdict::{ErrorKind, GradeError};

/// Collects the submission's attachments and runs the plan over it.
pub async fn verify_hand_in(
    submission: Submission,
    sources: Sources,
    plan: &Plan,
    tools: &Tools,
    context: &Context,
) -> Verification {
    match collect_hand_in(submission, sources, context).await {
        Ok(submission) => verify(&submission, plan, tools, context).await,
        Err(error) => undecided(error, Vec::new(), context).await,
    }
}

/// Collects the submission's attachments. Collecting ends with the verification that it is for, like every grader.
///
/// # Errors
/// As [`evidence::collect`]; also where the verification is called off or its deadline passes meanwhile.
pub async fn collect_hand_in(
    submission: Submission,
    sources: Sources,
    context: &Context,
) -> Result<Submission, GradeError> {
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => {
            Err(GradeError::new(ErrorKind::Cancelled, "called off while evidence was collected"))
        }
        collected = timeout_at(context.deadline, evidence::collect(submission, sources)) => {
            collected.unwrap_or_else(|_| {
                let message = "the verification's deadline passed while evidence was collected";
                Err(GradeError::new(ErrorKind::DeadlineExceeded, message))
            })
        }
    }
}
