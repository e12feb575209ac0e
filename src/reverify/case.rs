//! What was handed in and decided at one attempt, as it is kept.

use super::error::ReverifyError;
use super::told::Told;
use crate::audit::{contradicts_hand_in, contradicts_log, contradicts_receipt};
use crate::entry::VerificationId;
use crate::job::{Job, JobId};
use crate::journal::{DecisionRow, Journal as _, PgJournal, verify_chain};
use crate::message::{OutcomeMessage, SubmittedJob, Work};
use crate::receipt::{Purpose, Receipt, TrustFile};
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
    /// Loads an attempt of a job, by default the last that was decided. `trust` says which keys may have signed its decision:
    /// without it nothing tells what was judged from what somebody wrote into the database since.
    ///
    /// # Errors
    /// What is not there, not as it was written, or not what the receipt signs.
    pub async fn load(
        journal: &PgJournal,
        trust: Option<&TrustFile>,
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
            Some(decision) => Self::of(journal, trust, decision, count).await,
            None => Err(ReverifyError::NoSuchAttempt {
                job_id: job_id.clone(),
                attempt,
                known: known.join(", "),
            }),
        }
    }

    async fn of(
        journal: &PgJournal,
        trust: Option<&TrustFile>,
        decision: DecisionRow,
        decisions: usize,
    ) -> Result<Self, ReverifyError> {
        let (id, job_id, attempt) = (decision.verification_id, &decision.job_id, decision.attempt);
        let inconsistent = |what: String| ReverifyError::Inconsistent { id, what };
        let message: OutcomeMessage = serde_json::from_slice(&decision.message)
            .map_err(|error| inconsistent(format!("its outcome message: {error}")))?;
        if let Some(field) = contradicts_receipt(&message) {
            return Err(inconsistent(format!(
                "`{field}` of its outcome message is not what its receipt says"
            )));
        }
        if (message.verification_id, &message.job_id, message.attempt) != (id, job_id, attempt) {
            return Err(inconsistent(
                "its outcome message is another decision's".to_owned(),
            ));
        }
        check(trust, &message.receipt)?;
        let handed_in = journal.hand_in(job_id, attempt).await?;
        let work = match &handed_in {
            Some(handed_in) => Some(SubmittedJob::parse_kept(handed_in)?.work),
            None => None,
        };
        let Some(Work::Whole(job)) = work else {
            return Err(erased(journal, job_id, attempt).await?);
        };
        if let Some(what) = contradicts_hand_in(&message.receipt, &job) {
            return Err(inconsistent(format!(
                "the kept hand-in has another {what} than its receipt says"
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

/// Refuses a receipt on which nothing could have moved when it was signed. That a key was revoked later does not undo what it
/// signed before: disputes are about what is long past.
pub(super) fn check(trust: Option<&TrustFile>, receipt: &Receipt) -> Result<(), ReverifyError> {
    let id = receipt.verification_id;
    if receipt.purpose != Purpose::Settle {
        let what = "a preview stands where its decision should".to_owned();
        return Err(ReverifyError::Inconsistent { id, what });
    }
    let Some(trust) = trust else { return Ok(()) };
    let checked = trust.check(receipt, receipt.decided_at);
    checked.map_err(|fault| ReverifyError::Receipt {
        id,
        job_id: receipt.job_id.clone(),
        fault,
    })
}

/// Says by whom the hand-in was erased, and why.
async fn erased(journal: &PgJournal, job_id: &JobId, attempt: u32) -> Result<ReverifyError, ReverifyError> {
    let erasures = journal.within(journal.erasures(Some(job_id))).await?;
    let erasure = erasures
        .into_iter()
        .find(|erasure| erasure.covers(job_id, attempt));
    Ok(ReverifyError::Erased {
        job_id: job_id.clone(),
        attempt,
        erasure: erasure.map(Box::new),
    })
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
    // An erasure takes the hand-in, too; without entries nobody can say what the message may be believed.
    if entries.iter().any(|entry| entry.erased.is_some()) {
        return Err(erased(journal, job_id, message.attempt).await?);
    }
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
    if let Some(field) = contradicts_log(message, &entries) {
        return Err(inconsistent(&format!(
            "`{field}` of its outcome message is not what its log says"
        )));
    }
    Ok(Told::of(entries.iter().map(|entry| &entry.entry)))
}
