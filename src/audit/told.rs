//! Whether a decision's message says what the log says: the receipt signs the head of the log, and so what stands in it; of the
//! message itself it signs only some fields.

use serde_json::Value;

use crate::entry::{EntryType, LogEntry};
use crate::journal::Audited;
use crate::message::{GraderWords, OutcomeMessage, VERSION};
use crate::outcome::GraderEnd;
use crate::receipt::Receipt;

/// The first field of the message that its own receipt contradicts.
pub(crate) fn contradicts_receipt(message: &OutcomeMessage) -> Option<&'static str> {
    let receipt: &Receipt = &message.receipt;
    let fields = [
        ("v", message.v == VERSION),
        ("outcome", message.outcome == receipt.outcome),
        ("job_id", message.job_id == receipt.job_id),
        ("attempt", message.attempt == receipt.attempt),
        (
            "verification_id",
            message.verification_id == receipt.verification_id,
        ),
        ("trigger", message.trigger == receipt.trigger),
        ("supersedes", message.supersedes == receipt.supersedes),
        ("score", message.score == receipt.score),
        ("plan.digest", message.plan.digest == receipt.plan),
        ("decided_at", message.decided_at == receipt.decided_at),
    ];
    first_false(&fields)
}

/// What stands where a grader's words were, after an erasure.
const ERASED: &str = "[erased]";

/// Whether the log no longer says how each grader ended, and no checkpoint has sealed it: of the message then only what its
/// receipt signs is proven.
pub(super) fn is_unproven(audited: &Audited) -> bool {
    audited.decision.is_some()
        && erased_results(&audited.entries) > 0
        && audited.sealed.iter().all(|(_, _, leaf)| leaf.decision.is_none())
}

fn erased_results(entries: &[LogEntry]) -> usize {
    let results = entries
        .iter()
        .filter(|entry| entry.entry.kind == EntryType::Result);
    results.filter(|entry| entry.erased.is_some()).count()
}

/// The first field of the message that the log contradicts. Of results that were erased nothing is left to compare with: their
/// words must be gone from the message, too.
pub(crate) fn contradicts_log(message: &OutcomeMessage, entries: &[LogEntry]) -> Option<String> {
    let erased = erased_results(entries);
    let results: Vec<Value> = entries
        .iter()
        .filter(|entry| entry.entry.kind == EntryType::Result)
        .filter_map(|entry| serde_json::from_str(&entry.entry.content).ok())
        .collect();
    let decision = results
        .iter()
        .rev()
        .find(|result| result.get("outcome").is_some());
    if let Some(field) = decision.map_or_else(
        || (erased == 0).then_some("outcome"),
        |decision| contradicts_decision(message, decision),
    ) {
        return Some(field.to_owned());
    }
    let told = message
        .graders
        .iter()
        .find(|words| !is_told(words, &results, erased > 0));
    if let Some(words) = told {
        return Some(format!("graders.{}", words.name));
    }
    // No more can have been erased than there was; one of them is the decision, where that is gone.
    let untold = message
        .graders
        .iter()
        .filter(|words| words.verdict != GraderEnd::Skipped && find_told(words, &results).is_none());
    if untold.count() + usize::from(decision.is_none()) > erased {
        return Some("graders".to_owned());
    }
    // Who is left out of the message would not be missed above.
    let left_out = results.iter().filter_map(|result| result.get("grader")?.as_str());
    left_out
        .filter(|name| message.graders.iter().all(|words| words.name != *name))
        .map(|name| format!("graders.{name}"))
        .next()
}

/// The first field of the message that the log's last result contradicts.
fn contradicts_decision(message: &OutcomeMessage, decision: &Value) -> Option<&'static str> {
    let says = |key: &str, value: Result<Value, serde_json::Error>| value.ok().as_ref() == decision.get(key);
    let fields = [
        ("outcome", says("outcome", serde_json::to_value(message.outcome))),
        ("score", says("score", serde_json::to_value(message.score))),
        (
            "threshold",
            says("threshold", serde_json::to_value(message.threshold)),
        ),
        ("plan", says("plan", serde_json::to_value(&message.plan))),
        (
            "receipt.submission",
            says("submission", serde_json::to_value(message.receipt.submission)),
        ),
        (
            "receipt.evidence",
            says("evidence", serde_json::to_value(message.receipt.evidence)),
        ),
    ];
    first_false(&fields)
}

/// What is left in the log of the grader's words.
fn find_told<'a>(words: &GraderWords, results: &'a [Value]) -> Option<&'a Value> {
    results
        .iter()
        .rev()
        .filter(|result| result.get("verdict").is_some())
        .find(|result| result.get("grader").and_then(Value::as_str) == Some(&words.name))
}

/// Whether the log has the grader's words; of one that was not asked it has none. Where results were erased, a grader without
/// one has no words left.
fn is_told(words: &GraderWords, results: &[Value], erased: bool) -> bool {
    match (words.verdict, find_told(words, results)) {
        (GraderEnd::Skipped, told) => {
            let reason = words.reason == "not asked" || (erased && words.reason == ERASED);
            told.is_none() && reason && words.score.is_none()
        }
        (GraderEnd::Pass | GraderEnd::Fail | GraderEnd::Error, None) => erased && words.reason == ERASED,
        (GraderEnd::Pass | GraderEnd::Fail | GraderEnd::Error, Some(told)) => {
            let same = |key: &str, value: Value| told.get(key).unwrap_or(&Value::Null) == &value;
            let verdict = serde_json::to_value(words.verdict).unwrap_or_default();
            let score = serde_json::to_value(words.score).unwrap_or_default();
            same("kind", words.kind.clone().into())
                && same("verdict", verdict)
                && same("score", score)
                && same("reason", words.reason.clone().into())
        }
    }
}

fn first_false(fields: &[(&'static str, bool)]) -> Option<&'static str> {
    let wrong = fields.iter().find(|(_, fits)| !fits);
    wrong.map(|(field, _)| *field)
}
