//! What was handed in and decided at one attempt, as it is kept.

use super::error::ReverifyError;
use super::told::Told;
use crate::entry::VerificationId;
use crate::job::{Job, JobId};
use crate::journal::{DecisionRow, Journal as _, PgJournal, verify_chain};
use crate::message::{OutcomeMessage, SubmittedJob, Work};
use crate::submission::Submission;

/// An attempt in dispute.
#[derive(Debug, Clone)]
pub struct Case {
    /// The job as it was handed in.
    pub job: Job,
    /// The effective decision: the last that nobody has overturned.
    pub decision: DecisionRow,
    /// The message that carried it.
    pub message: OutcomeMessage,
    /// What the log of its verification tells.
    pub told: Told,
    /// Decisions on this attempt, the effective one included.
    pub decisions: usize,
}

impl Case {
    /// Loads an attempt of a job, by default the last that was decided.
    ///
    /// # Errors
    /// What is not there, or not as it was written.
    pub async fn load(
        journal: &PgJournal,
        job_id: &JobId,
        attempt: Option<u32>,
    ) -> Result<Self, ReverifyError> {
        let mut decisions = journal.decisions(job_id).await?;
        let Some(last) = decisions.iter().map(|decision| decision.attempt).max() else {
            return Err(ReverifyError::Undecided(job_id.clone()));
        };
        let attempt = attempt.unwrap_or(last);
        let known: Vec<_> = decisions
            .iter()
            .filter(|decision| decision.supersedes.is_none())
            .map(|decision| decision.attempt.to_string())
            .collect();
        decisions.retain(|decision| decision.attempt == attempt);
        let count = decisions.len();
        let effective = decisions
            .into_iter()
            .find(|decision| decision.superseded_by.is_none());
        match effective {
            Some(decision) => Self::of(journal, decision, count).await,
            None => Err(ReverifyError::NoSuchAttempt {
                job_id: job_id.clone(),
                attempt,
                known: known.join(", "),
            }),
        }
    }

    async fn of(journal: &PgJournal, decision: DecisionRow, decisions: usize) -> Result<Self, ReverifyError> {
        let (id, job_id, attempt) = (decision.verification_id, &decision.job_id, decision.attempt);
        let inconsistent = |what: String| ReverifyError::Inconsistent { id, what };
        let message: OutcomeMessage = serde_json::from_slice(&decision.message)
            .map_err(|error| inconsistent(format!("its outcome message: {error}")))?;
        let handed_in = journal.hand_in(job_id, attempt).await?;
        let work = match &handed_in {
            Some(handed_in) => Some(SubmittedJob::parse(handed_in)?.work),
            None => None,
        };
        let Some(Work::Whole(job)) = work else {
            let erasures = journal.within(journal.erasures(Some(job_id))).await?;
            let erasure = erasures
                .into_iter()
                .find(|erasure| erasure.covers(job_id, attempt));
            return Err(ReverifyError::Erased {
                job_id: job_id.clone(),
                attempt,
                erasure: erasure.map(Box::new),
            });
        };
        let judged = Submission::of(&job).digest;
        if judged != message.receipt.submission {
            return Err(inconsistent(format!(
                "the kept hand-in has the digest {judged}, its receipt says {}",
                message.receipt.submission
            )));
        }
        let told = told(journal, job_id, id, &message).await?;
        Ok(Self {
            job: *job,
            decision,
            message,
            told,
            decisions,
        })
    }

    /// What was handed in, its attachments not yet collected.
    pub fn submission(&self) -> Submission {
        Submission::of(&self.job)
    }
}

/// Reads the log, if its chain holds and ends where the receipt says.
async fn told(
    journal: &PgJournal,
    job_id: &JobId,
    id: VerificationId,
    message: &OutcomeMessage,
) -> Result<Told, ReverifyError> {
    let (verifications, entries) = journal
        .within(async {
            Ok((
                journal.verifications(job_id).await?,
                journal.entries_from(id, 0).await?,
            ))
        })
        .await?;
    let inconsistent = |what: &str| ReverifyError::Inconsistent {
        id,
        what: what.to_owned(),
    };
    let row = verifications
        .into_iter()
        .find(|row| row.id == id)
        .ok_or_else(|| inconsistent("there is no such verification"))?;
    verify_chain(&row, &entries).map_err(|source| ReverifyError::Chain {
        id,
        job_id: job_id.clone(),
        source,
    })?;
    if row.head != message.receipt.log_head {
        return Err(inconsistent("its log does not end where its receipt says"));
    }
    Ok(Told::of(entries.iter().map(|entry| &entry.entry)))
}
