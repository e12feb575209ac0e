//! What is kept of the calls of models, against the log that names them: a judge's words are replayed from there.

use super::finding::{Finding, What};
use crate::entry::VerificationId;
use crate::journal::{Audited, Journal as _, JournalError, PgJournal};
use crate::model_call::{CallFault, CallFinish, LoggedCalls, ModelCall};

/// Whatever is wrong with the kept calls of verifications that were decided; a log that does not hold is told elsewhere.
pub(super) async fn examine_calls(
    journal: &PgJournal,
    read: &[(VerificationId, Result<Audited, JournalError>)],
) -> Result<Vec<Finding>, JournalError> {
    let decided = read.iter().filter_map(|(_, audited)| audited.as_ref().ok());
    let decided: Vec<_> = decided.filter(|audited| is_decided(audited)).collect();
    let with_calls = journal
        .with_calls(&decided.iter().map(|audited| audited.row.id).collect::<Vec<_>>())
        .await?;
    let mut findings = Vec::new();
    for audited in decided {
        let logged = LoggedCalls::of(audited.entries.iter().map(|entry| &entry.entry));
        let kept = match with_calls.contains(&audited.row.id) {
            true => journal.within(journal.model_calls(audited.row.id)).await?,
            false => Vec::new(),
        };
        if audited.erasures.is_empty() {
            findings.extend(contradictions(audited, &logged, &kept));
        }
    }
    Ok(findings)
}

/// What ended otherwise may have lost a call between its log and its row: nothing is decided by it.
fn is_decided(audited: &Audited) -> bool {
    audited.has_answer() && audited.entries.iter().all(|entry| entry.erased.is_none())
}

fn contradictions(audited: &Audited, logged: &LoggedCalls, kept: &[ModelCall]) -> Vec<Finding> {
    let find = |detail: String| Finding {
        job_id: Some(audited.row.job_id.to_string()),
        verification_id: Some(audited.row.id),
        what: What::AnswerChanged,
        place: "model_call.answer".to_owned(),
        detail,
    };
    let mut findings = Vec::new();
    for call in kept {
        match logged.vouch(call) {
            Ok(()) => {}
            // Called off while the model wrote, so that nobody heard it.
            Err(CallFault::NotLogged) if matches!(call.finish, CallFinish::Failed(_)) => {}
            Err(fault) => findings.push(find(format!(
                "call {} of grader `{}`: {fault}",
                call.id, call.grader
            ))),
        }
    }
    for call in logged.iter() {
        if !kept.iter().any(|kept| kept.key == call.question) {
            let question = call.question.short();
            findings.push(find(format!(
                "question {question} of grader `{}`: {}",
                call.grader,
                CallFault::Gone
            )));
        }
    }
    findings
}
