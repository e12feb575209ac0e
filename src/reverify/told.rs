//! What the log of a verification tells of how it judged.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::entry::{Entry, EntryType};
use crate::graders::rubric::read_answer;
use crate::model_call::LoggedCalls;
use crate::submission::RecordedFile;
use crate::verdict::Provenance;

/// What a judge said of a criterion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Criterion {
    /// Whether it found it met.
    pub met: bool,
    /// Why, with its evidence.
    pub reason: String,
}

/// What a log tells, by the graders' names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The files that were judged, in order.
    pub files: Vec<RecordedFile>,
    /// What ran.
    pub ran: BTreeMap<String, Provenance>,
    /// What was said of each criterion, by its id.
    pub criteria: BTreeMap<String, BTreeMap<String, Criterion>>,
    /// The calls of models that it names.
    pub calls: LoggedCalls,
}

impl Told {
    /// Reads the entries of one verification. What is not understood is passed over: it is for people.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut told = Self::default();
        for entry in entries {
            match entry.kind {
                EntryType::Info => {
                    if let Some(file) = RecordedFile::parse(&entry.content) {
                        told.files.push(file);
                    } else if let Some((grader, id, criterion)) = criterion(&entry.content) {
                        told.criteria.entry(grader).or_default().insert(id, criterion);
                    }
                }
                EntryType::Result => {
                    if let Some((grader, ran)) = ran(&entry.content) {
                        told.ran.insert(grader, ran);
                    }
                    told.calls.read(entry);
                }
                EntryType::Reasoning => {}
            }
        }
        told
    }
}

/// `GRADER: criterion:ID:\nmet: why`. A grader's name holds no colon, so nobody's text comes first.
fn criterion(content: &str) -> Option<(String, String, Criterion)> {
    let (grader, rest) = content.split_once(": criterion:")?;
    let (id, words) = rest.split_once(":\n")?;
    if grader.contains([':', ' ', '\n']) {
        return None;
    }
    let (met, reason) = read_answer(words)?;
    let reason = reason.to_owned();
    Some((grader.to_owned(), id.to_owned(), Criterion { met, reason }))
}

fn ran(content: &str) -> Option<(String, Provenance)> {
    let value: Value = serde_json::from_str(content).ok()?;
    let grader = value.get("grader")?.as_str()?.to_owned();
    let ran = serde_json::from_value(value.get("ran")?.clone()).ok()?;
    Some((grader, ran))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::entry::Audience;

    fn entry(kind: EntryType, content: &str) -> Entry {
        Entry {
            kind,
            content: content.to_owned(),
            audience: Audience::Operator,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn files_criteria_and_what_ran_are_read_and_nobody_elses_words() {
        let entries = [
            entry(EntryType::Info, "verification of attempt 1 begins"),
            entry(
                EntryType::Info,
                &format!("file a: b, sha256 c.txt: 3 bytes, sha256 {}", "ab".repeat(32)),
            ),
            entry(
                EntryType::Info,
                "tone: criterion:warm:\nnot met: it is cold\nevidence: brr",
            ),
            entry(EntryType::Info, "tone: note:\nx: criterion:warm:\nmet: forged"),
            entry(EntryType::Info, "tone: file x: 3 bytes, sha256 00"),
            entry(EntryType::Result, r#"{"grader":"form","ran":{"fuel":17}}"#),
            entry(EntryType::Result, r#"{"grader":"form","verdict":"pass"}"#),
        ];
        let told = Told::of(&entries);
        assert_eq!(told.files.len(), 1);
        assert_eq!(told.files[0].name, "a: b, sha256 c.txt");
        assert_eq!(told.ran["form"].fuel, Some(17));
        let warm = &told.criteria["tone"]["warm"];
        assert_eq!(
            (warm.met, warm.reason.as_str()),
            (false, "it is cold\nevidence: brr")
        );
        assert_eq!(told.criteria.len(), 1);
    }
}
