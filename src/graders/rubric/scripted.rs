//! Answers that somebody wrote by hand: for fixtures that show what a good, a bad or a broken judge leads to.
//!
//! ```toml
//! [quality.criteria]                       # `quality` is a grader of the plan; one line for each criterion
//! greets = { met = true, reason = "It opens with a greeting.", quote = "Dear Ms Ortiz" }
//! report = { met = true, reason = "The report is there.", attachment = "report.pdf" }
//! spam = { met = false, reason = "There is none." }
//!
//! [style]                                  # or the very words of the judge; a list for when it is asked again
//! raw = ["I think it is fine!", '{"tone": {"reason": "It is.", "met": true}}']
//!
//! [law]
//! refuses = true
//! ```
//!
//! What is written here goes the way of every answer: it is parsed, and its quotes are looked up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::judge::JudgeError;
use super::question::{Finish, Question, Reply};
use super::settings::Settings;
use crate::verdict::{ErrorKind, GradeError};

/// The hand-written answers of a fixture.
pub(super) struct Script {
    path: PathBuf,
    graders: BTreeMap<String, Lines>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lines {
    #[serde(default)]
    criteria: BTreeMap<String, Line>,
    #[serde(default, deserialize_with = "one_or_more")]
    raw: Vec<String>,
    #[serde(default)]
    refuses: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    met: bool,
    reason: String,
    #[serde(default)]
    quote: Option<String>,
    #[serde(default)]
    attachment: Option<String>,
}

impl Script {
    /// Reads the file.
    pub(super) fn open(path: &Path) -> Result<Self, JudgeError> {
        let unusable = |message: String| JudgeError::Answers {
            path: path.to_owned(),
            message,
        };
        let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
        let graders: BTreeMap<String, Lines> =
            toml::from_str(&text).map_err(|error| unusable(error.to_string()))?;
        for (name, lines) in &graders {
            let ways = [!lines.criteria.is_empty(), !lines.raw.is_empty(), lines.refuses];
            if ways.iter().filter(|way| **way).count() != 1 {
                let message = format!("`{name}` needs exactly one of `criteria`, `raw` and `refuses = true`");
                return Err(unusable(message));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            graders,
        })
    }

    /// Whether the answers are those of the rubrics: every table is one of theirs, and every criterion is answered once.
    /// A rubric without a table is none of our business: a gate may keep it from being asked.
    pub(super) fn check_against(&self, rubrics: &[(&str, Settings)]) -> Result<(), JudgeError> {
        let unusable = |message: String| JudgeError::Answers {
            path: self.path.clone(),
            message,
        };
        for (grader, lines) in &self.graders {
            let Some((_, settings)) = rubrics.iter().find(|(name, _)| name == grader) else {
                let known: Vec<_> = rubrics.iter().map(|(name, _)| format!("`{name}`")).collect();
                let message = format!(
                    "the plan has no rubric `{grader}`; its rubrics are {}",
                    known.join(", ")
                );
                return Err(unusable(message));
            };
            if lines.criteria.is_empty() {
                continue;
            }
            let asked = |id: &str| settings.criteria.iter().any(|criterion| criterion.id == id);
            if let Some(id) = lines.criteria.keys().find(|id| !asked(id)) {
                return Err(unusable(format!(
                    "grader `{grader}` has no criterion `{id}`: remove it or correct its name"
                )));
            }
            let answered = |id: &str| lines.criteria.contains_key(id);
            if let Some(criterion) = settings
                .criteria
                .iter()
                .find(|criterion| !answered(&criterion.id))
            {
                let message = format!(
                    "grader `{grader}` has no answer for criterion `{}`: add it",
                    criterion.id
                );
                return Err(unusable(message));
            }
        }
        Ok(())
    }

    /// The answer to a question.
    pub(super) fn answer(&self, question: &Question<'_>) -> Result<Reply, GradeError> {
        let mismatch = |message: String| {
            let message = format!("{message} in the scripted answers {}", self.path.display());
            GradeError::new(ErrorKind::ReplayMismatch, message)
        };
        let grader = question.grader;
        let lines = self
            .graders
            .get(grader)
            .ok_or_else(|| mismatch(format!("add a table for grader `{grader}`")))?;
        let reply = |text, finish| Reply {
            text,
            finish,
            model: "scripted".to_owned(),
            usage: None,
        };
        if lines.refuses {
            return Ok(reply(String::new(), Finish::Refused));
        }
        if let Some(raw) = lines.raw.get(question.asked_before).or(lines.raw.last()) {
            return Ok(reply(raw.clone(), Finish::Complete));
        }
        let mut answers = Map::new();
        for criterion in question.criteria {
            let id = &criterion.id;
            let line = lines
                .criteria
                .get(id)
                .ok_or_else(|| mismatch(format!("add criterion `{id}` of grader `{grader}`")))?;
            let mut answer = Map::new();
            if let Some(evidence) = line.quote.as_ref().or(line.attachment.as_ref()) {
                answer.insert("evidence".to_owned(), Value::from(evidence.as_str()));
            }
            answer.insert("reason".to_owned(), Value::from(line.reason.as_str()));
            answer.insert("met".to_owned(), Value::from(line.met));
            answers.insert(id.clone(), Value::Object(answer));
        }
        Ok(reply(json!(answers).to_string(), Finish::Complete))
    }
}

/// One text or a list of texts.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Texts;

    impl<'de> Visitor<'de> for Texts {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a text or a list of texts")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![text.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut texts = Vec::new();
            while let Some(text) = items.next_element()? {
                texts.push(text);
            }
            Ok(texts)
        }
    }

    deserializer.deserialize_any(Texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> Result<Script, JudgeError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Script::open(file.path())
    }

    #[test]
    fn a_grader_is_answered_in_exactly_one_way() {
        let good = "[a]\nraw = 'x'\n[b]\nrefuses = true\n[c.criteria]\nx = { met = true, reason = 'r' }";
        assert_eq!(open(good).unwrap().graders.len(), 3);
        for wrong in [
            "[a]",
            "[a]\nraw = 'x'\nrefuses = true",
            "[a]\nraw = 1",
            "[a]\nrow = 'x'",
            "[",
        ] {
            assert!(open(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_misspelt_grader_or_criterion_is_found_before_it_is_asked() {
        let settings =
            serde_json::json!({"criteria": [{"id": "tone", "text": "t"}, {"id": "sum", "text": "t"}]});
        let rubrics = [
            ("quality", Settings::from_value(&settings).unwrap()),
            ("style", Settings::from_value(&settings).unwrap()),
        ];
        let check = |text: &str| {
            open(text)
                .unwrap()
                .check_against(&rubrics)
                .map_err(|error| match error {
                    JudgeError::Answers { message, .. } => message,
                    other => other.to_string(),
                })
        };
        let line = "{ met = true, reason = 'r' }";
        assert_eq!(
            check(&format!("[quality.criteria]\ntone = {line}\nsum = {line}")),
            Ok(())
        );
        assert_eq!(check("[quality]\nraw = 'x'\n[style]\nrefuses = true"), Ok(()));
        let wrong = |text: &str| check(text).unwrap_err();
        insta::assert_snapshot!(wrong("[qualty]\nraw = 'x'"), @"the plan has no rubric `qualty`; its rubrics are `quality`, `style`");
        insta::assert_snapshot!(wrong(&format!("[quality.criteria]\ntone = {line}\nsun = {line}")), @"grader `quality` has no criterion `sun`: remove it or correct its name");
        insta::assert_snapshot!(wrong(&format!("[quality.criteria]\ntone = {line}")), @"grader `quality` has no answer for criterion `sum`: add it");
    }
}
