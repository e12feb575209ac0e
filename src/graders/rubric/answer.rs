//! Reads a judge's answer, strictly: exactly one JSON object, exactly one answer for each criterion.
//!
//! ```json
//! {"tone": {"evidence": "Dear Ms Ortiz,", "reason": "The letter opens politely.", "met": true}}
//! ```
//!
//! Nothing is searched for and nothing is guessed: an object that stands between other texts may have been
//! written by the submitter.

use serde::Deserialize as _;
use serde_json::Value;

use super::criterion::{Criterion, EvidenceWanted};
use super::members::Members;

/// Longest answer that is read, in bytes. A hundred criteria with a paragraph each take a fifth of it.
pub(super) const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// What the judge says of one criterion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// Whether what the criterion describes is there.
    pub(super) met: bool,
    /// Why.
    pub(super) reason: String,
    /// The quote or the file name that shows it.
    pub(super) evidence: Option<String>,
}

/// Why an answer is off the menu. The texts go to the judge, outside the fence: they hold no word that the
/// judge or the submitter wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnswerError {
    /// There is no text.
    #[error("the answer is empty")]
    Empty,
    /// The model stopped before the end.
    #[error("the answer is cut off before its end: answer more briefly")]
    Truncated,
    /// Too much text.
    #[error("the answer is longer than {MAX_ANSWER_BYTES} bytes: answer more briefly")]
    TooLong,
    /// No JSON, or not of the form that was asked for.
    #[error("the answer is not one JSON object in the form that was asked for")]
    NotTheForm,
    /// Something stands before or after the object.
    #[error("there is more than one JSON object, or text around it")]
    MoreThanOneObject,
    /// A criterion is answered twice.
    #[error("criterion `{0}` is answered more than once")]
    Duplicate(String),
    /// A criterion is not answered.
    #[error("criterion `{0}` is not answered")]
    Missing(String),
    /// Something else is answered.
    #[error("a criterion is answered that was not asked about")]
    Unknown,
    /// A key of an answer is missing.
    #[error("the answer for criterion `{id}` has no `{key}`, or one of the wrong type")]
    KeyMissing {
        /// The criterion.
        id: String,
        /// The key.
        key: &'static str,
    },
    /// A key of an answer stands there twice.
    #[error("the answer for criterion `{id}` has `{key}` more than once")]
    KeyTwice {
        /// The criterion.
        id: String,
        /// The key.
        key: &'static str,
    },
    /// An answer has a key that was not asked for.
    #[error("the answer for criterion `{0}` has a key that was not asked for")]
    KeyUnknown(String),
    /// The verdict was written before the reason.
    #[error("the answer for criterion `{0}` gives `met` before its reason and evidence")]
    VerdictFirst(String),
    /// The quote is not in the submission.
    #[error("the evidence for criterion `{0}` is not in the submission word for word")]
    QuoteNotFound(String),
    /// The quote proves nothing.
    #[error("the evidence for criterion `{0}` is too short: quote at least a few words")]
    QuoteTooShort(String),
    /// No such file was handed in.
    #[error("the evidence for criterion `{0}` is not the name of a file that was handed in")]
    AttachmentUnknown(String),
}

/// Reads one answer for each criterion, in the order of the criteria.
pub(super) fn parse(text: &str, criteria: &[Criterion]) -> Result<Vec<Answer>, AnswerError> {
    if text.len() > MAX_ANSWER_BYTES {
        return Err(AnswerError::TooLong);
    }
    let text = object_text(text)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let Members(members) = Members::<Members<Value>>::deserialize(&mut reader).map_err(|error| {
        if error.is_eof() {
            AnswerError::Truncated
        } else {
            AnswerError::NotTheForm
        }
    })?;
    reader.end().map_err(|_| AnswerError::MoreThanOneObject)?;
    for (index, (id, _)) in members.iter().enumerate() {
        if !criteria.iter().any(|criterion| criterion.id == *id) {
            return Err(AnswerError::Unknown);
        }
        if members[..index].iter().any(|(earlier, _)| earlier == id) {
            return Err(AnswerError::Duplicate(id.clone()));
        }
    }
    criteria
        .iter()
        .map(|criterion| {
            let found = members.iter().find(|(id, _)| *id == criterion.id);
            let (_, Members(keys)) = found.ok_or_else(|| AnswerError::Missing(criterion.id.clone()))?;
            answer(criterion, keys)
        })
        .collect()
}

/// [`parse`] as lenient readers do it: the first object anywhere in the text that has the form. Only `assay attack` reads so.
pub(super) fn parse_anywhere(text: &str, criteria: &[Criterion]) -> Result<Vec<Answer>, AnswerError> {
    let objects = text.match_indices('{').filter_map(|(start, _)| {
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        values.next()?.ok()?;
        Some(&text[start..start + values.byte_offset()])
    });
    let mut answers = objects.filter_map(|object| parse(object, criteria).ok());
    answers.next().ok_or(AnswerError::NotTheForm)
}

/// The answer's text without what models put around it by habit: their thinking, and a code fence.
fn object_text(text: &str) -> Result<&str, AnswerError> {
    let mut text = text.trim();
    if let Some(thinking) = text.strip_prefix("<think>") {
        let (_, after) = thinking.split_once("</think>").ok_or(AnswerError::Truncated)?;
        text = after.trim();
    }
    if let Some(inner) = text.strip_prefix("```json").or_else(|| text.strip_prefix("```")) {
        text = inner.strip_suffix("```").ok_or(AnswerError::Truncated)?.trim();
    }
    if text.is_empty() {
        return Err(AnswerError::Empty);
    }
    Ok(text)
}

fn answer(criterion: &Criterion, keys: &[(String, Value)]) -> Result<Answer, AnswerError> {
    let (mut evidence, mut reason, mut met) = (None, None, None);
    for (key, value) in keys {
        let (place, key) = match key.as_str() {
            "evidence" => (&mut evidence, "evidence"),
            "reason" => (&mut reason, "reason"),
            "met" => (&mut met, "met"),
            _ => return Err(AnswerError::KeyUnknown(criterion.id.clone())),
        };
        if place.replace(value).is_some() {
            let id = criterion.id.clone();
            return Err(AnswerError::KeyTwice { id, key });
        }
        if key != "met" && met.is_some() {
            return Err(AnswerError::VerdictFirst(criterion.id.clone()));
        }
    }
    let missing = |key| AnswerError::KeyMissing {
        id: criterion.id.clone(),
        key,
    };
    let met = met.and_then(Value::as_bool).ok_or_else(|| missing("met"))?;
    let reason = reason
        .and_then(Value::as_str)
        .filter(|reason| !reason.trim().is_empty())
        .ok_or_else(|| missing("reason"))?;
    let evidence = match evidence {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.trim()).filter(|text| !text.is_empty()),
        Some(_) => return Err(missing("evidence")),
    };
    if met && evidence.is_none() && criterion.evidence != EvidenceWanted::None {
        return Err(missing("evidence"));
    }
    Ok(Answer {
        met,
        reason: reason.to_owned(),
        evidence: evidence.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn criteria() -> Vec<Criterion> {
        let criterion = |id: &str, evidence| Criterion {
            id: id.into(),
            text: "t".into(),
            weight: 1.0,
            required: false,
            evidence,
            hidden: false,
        };
        vec![
            criterion("tone", EvidenceWanted::Quote),
            criterion("spam", EvidenceWanted::None),
        ]
    }

    const TONE: &str = r#""tone": {"evidence": "Dear", "reason": "polite", "met": true}"#;
    const SPAM: &str = r#""spam": {"reason": "none", "met": false}"#;

    fn error(text: &str) -> AnswerError {
        parse(text, &criteria()).unwrap_err()
    }

    #[test]
    fn one_object_with_each_criterion_once_is_read_in_the_criterias_order() {
        for text in [
            format!("{{{SPAM}, {TONE}}}"),
            format!("<think>{{\"tone\": 1}} hm</think>\n{{{TONE}, {SPAM}}}"),
            format!("```json\n{{{TONE}, {SPAM}}}\n```"),
        ] {
            let answers = parse(&text, &criteria()).unwrap();
            assert_eq!(answers[0].evidence.as_deref(), Some("Dear"));
            assert_eq!((answers[0].met, answers[1].met), (true, false));
        }
    }

    #[test]
    fn whatever_else_comes_is_named_and_never_an_answer() {
        use AnswerError::*;
        let one = |answer: &str| format!(r#"{{"tone": {answer}, {SPAM}}}"#);
        let good = format!("{{{TONE}, {SPAM}}}");
        let cases = [
            (String::new(), Empty),
            ("<think>hm</think>".into(), Empty),
            ("<think>hm".into(), Truncated),
            (good[..good.len() - 1].into(), Truncated),
            ("I would say that it passes.".into(), NotTheForm),
            ("[]".into(), NotTheForm),
            (r#"{"tone": true}"#.into(), NotTheForm),
            (format!("{good} {good}"), MoreThanOneObject),
            (format!("{good} That is all."), MoreThanOneObject),
            (format!("Here: {good}"), NotTheForm),
            (format!("{{{TONE}, {TONE}, {SPAM}}}"), Duplicate("tone".into())),
            (format!("{{{TONE}}}"), Missing("spam".into())),
            (format!(r#"{{{TONE}, {SPAM}, "all": {{"met": true}}}}"#), Unknown),
            (
                one(r#"{"evidence": "Dear", "reason": "r", "met": "yes"}"#),
                KeyMissing {
                    id: "tone".into(),
                    key: "met",
                },
            ),
            (
                one(r#"{"evidence": "Dear", "reason": "r"}"#),
                KeyMissing {
                    id: "tone".into(),
                    key: "met",
                },
            ),
            (
                one(r#"{"evidence": "Dear", "reason": " ", "met": true}"#),
                KeyMissing {
                    id: "tone".into(),
                    key: "reason",
                },
            ),
            (
                one(r#"{"evidence": "", "reason": "r", "met": true}"#),
                KeyMissing {
                    id: "tone".into(),
                    key: "evidence",
                },
            ),
            (
                one(r#"{"evidence": ["Dear"], "reason": "r", "met": true}"#),
                KeyMissing {
                    id: "tone".into(),
                    key: "evidence",
                },
            ),
            (
                one(r#"{"evidence": "Dear", "reason": "r", "met": false, "met": true}"#),
                KeyTwice {
                    id: "tone".into(),
                    key: "met",
                },
            ),
            (
                one(r#"{"evidence": "Dear", "reason": "r", "met": true, "score": 1}"#),
                KeyUnknown("tone".into()),
            ),
            (
                one(r#"{"met": true, "evidence": "Dear", "reason": "r"}"#),
                VerdictFirst("tone".into()),
            ),
            ("x".repeat(MAX_ANSWER_BYTES + 1), TooLong),
        ];
        for (text, expected) in cases {
            assert_eq!(error(&text), expected, "{}", &text[..text.len().min(200)]);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_the_parser(bytes in any::<Vec<u8>>()) {
            let _ = parse(&String::from_utf8_lossy(&bytes), &criteria());
        }

        #[test]
        fn nothing_added_to_an_answer_is_read_as_an_answer(before in ".{0,20}", after in ".{0,20}") {
            prop_assume!(!before.trim().is_empty() || !after.trim().is_empty());
            let text = format!("{before}{{{TONE}, {SPAM}}}{after}");
            prop_assert!(parse(&text, &criteria()).is_err());
        }
    }
}
