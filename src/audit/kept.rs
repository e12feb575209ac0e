//! What is kept beside the log, against the digests that were signed: hand-ins, plans and their files.

use std::collections::{BTreeMap, BTreeSet};

use super::examine::believes;
use super::finding::{Finding, What};
use crate::causes::in_full;
use crate::digest::Digest;
use crate::entry::VerificationId;
use crate::job::{Job, JobId};
use crate::journal::{Audited, JournalError, PgJournal};
use crate::message::{OutcomeMessage, SubmittedJob, Work};
use crate::receipt::{Receipt, TrustFile};
use crate::submission::{Submission, Task};

/// The plans that judged, each with a verification that it judged.
pub(super) type Judged = BTreeMap<Digest, (JobId, VerificationId)>;

/// What is wrong with the hand-in of a verification that ended with an answer; an erased one is not there.
pub(super) fn examine_hand_in(audited: &Audited, trust: &TrustFile) -> Option<Finding> {
    let row = &audited.row;
    if !audited.has_answer() || !audited.erasures.is_empty() {
        return None;
    }
    let find = |detail: String| Finding {
        job_id: Some(row.job_id.to_string()),
        verification_id: Some(row.id),
        what: What::HandInChanged,
        place: "hand_in.message".to_owned(),
        detail,
    };
    let Some(kept) = &audited.hand_in else {
        return Some(find("what was handed in is gone".to_owned()));
    };
    let job = match SubmittedJob::parse_kept(kept) {
        Ok(SubmittedJob {
            work: Work::Whole(job),
            ..
        }) => job,
        Ok(_) => return Some(find("it does not hold what was handed in".to_owned())),
        Err(error) => return Some(find(format!("it cannot be read: {error}"))),
    };
    if Submission::of(&job).digest != row.submission {
        return Some(find(
            "what was handed in has another digest than what was judged".to_owned(),
        ));
    }
    // Without a receipt nothing else of it was signed; that one is none is told elsewhere.
    let decision = audited.decision.as_ref()?;
    let message: OutcomeMessage = serde_json::from_slice(&decision.message).ok()?;
    believes(trust, &message.receipt).ok()?;
    let what = contradicts_hand_in(&message.receipt, &job)?;
    Some(find(format!("it has another {what} than its receipt says")))
}

/// The first thing of a kept hand-in that the receipt contradicts.
pub(crate) fn contradicts_hand_in(receipt: &Receipt, job: &Job) -> Option<&'static str> {
    let facts = [
        ("job", receipt.job_id == job.id),
        ("attempt", receipt.attempt == job.attempt_count),
        ("submission", receipt.submission == Submission::of(job).digest),
        ("task", receipt.task == Task::of(job).digest()),
        ("receiver", receipt.receiver == job.receiver),
        ("price", receipt.price_cents == job.price_cents),
    ];
    let wrong = facts.iter().find(|(_, fits)| !fits);
    wrong.map(|(what, _)| *what)
}

/// What is wrong with the plans that judged; those of senders that were erased are gone for a reason.
pub(super) async fn examine_plans(
    journal: &PgJournal,
    judged: &Judged,
) -> Result<Vec<Finding>, JournalError> {
    let mut wrong = Vec::new();
    let mut gone = Vec::new();
    for (digest, (job_id, verification_id)) in judged {
        let finding = |detail: String| Finding {
            job_id: Some(job_id.to_string()),
            verification_id: Some(*verification_id),
            what: What::PlanChanged,
            place: format!("plan {digest}"),
            detail,
        };
        match journal.kept_plan(*digest).await {
            Ok(Some(kept)) => match kept.computed_digest() {
                Ok(computed) if computed == *digest => {}
                Ok(computed) => wrong.push(finding(format!("what is kept of it has the digest {computed}"))),
                Err(error) => wrong.push(finding(format!("what is kept of it is no plan: {error}"))),
            },
            Ok(None) => gone.push((digest, finding("it is gone".to_owned()))),
            Err(error @ JournalError::Damaged(_)) => wrong.push(finding(in_full(&error))),
            Err(error) => return Err(error),
        }
    }
    if !gone.is_empty() {
        // Read last: whatever was erased meanwhile is among them.
        let erasures = journal.erasures(None).await?;
        let erased: BTreeSet<_> = erasures.iter().flat_map(|erasure| &erasure.plans).collect();
        gone.retain(|(digest, _)| !erased.contains(digest));
    }
    wrong.extend(gone.into_iter().map(|(_, finding)| finding));
    Ok(wrong)
}

/// Kept files whose bytes are not what their digests say: files of plans, and the interpreters that ran them.
pub(super) async fn examine_files(journal: &PgJournal) -> Result<Vec<Finding>, JournalError> {
    let damaged = journal.damaged_artifacts().await?;
    let finding = |digest: Digest| Finding {
        job_id: None,
        verification_id: None,
        what: What::PlanChanged,
        place: format!("artifact {digest}"),
        detail: "the kept file has other bytes".to_owned(),
    };
    Ok(damaged.into_iter().map(finding).collect())
}
