//! What a log says of its verification's calls: its chain binds by it what was kept of them.

use serde_json::{Value, json};

use super::ModelCall;
use crate::digest::Digest;
use crate::entry::{Entry, EntryType};

/// A call as the log of its verification names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedCall {
    /// The grader that asked.
    pub grader: String,
    /// Says what was asked: [`ModelCall::key`].
    pub question: Digest,
    /// Digest of the answer as it is kept; none where nothing was heard.
    pub answer: Option<Digest>,
}

impl LoggedCall {
    /// What the log is to say of a call.
    pub fn of(call: &ModelCall) -> Self {
        Self {
            grader: call.grader.clone(),
            question: call.key,
            answer: digest_of_kept(call),
        }
    }

    /// The content of its entry, a result for the operator: no limit leaves it out, and the values of the job's variables are
    /// not looked for in a `digest`.
    pub fn to_value(&self) -> Value {
        json!({
            "grader": self.grader, "question": {"digest": self.question},
            "answer": self.answer.map(|answer| json!({"digest": answer})),
        })
    }

    /// Reads an entry; none where it says something else.
    pub fn parse(entry: &Entry) -> Option<Self> {
        // Most results are verdicts: those are not read as JSON once more.
        if entry.kind != EntryType::Result || !entry.content.contains("\"question\":{\"digest\":") {
            return None;
        }
        let value: Value = serde_json::from_str(&entry.content).ok()?;
        let digest = |value: &Value| value.get("digest")?.as_str()?.parse().ok();
        Some(Self {
            grader: value.get("grader")?.as_str()?.to_owned(),
            question: digest(value.get("question")?)?,
            answer: match value.get("answer")? {
                Value::Null => None,
                answer => Some(digest(answer)?),
            },
        })
    }
}

/// Why what was kept of a call is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallFault {
    /// The log names no such call.
    #[error("the log of its verification does not name it")]
    NotLogged,
    /// It is another answer.
    #[error("it is not the answer that the log of its verification names")]
    Changed,
    /// Its content was erased.
    #[error("it was erased")]
    Erased,
    /// It is not there.
    #[error("the log names an answer, and none is kept")]
    Gone,
}

/// The calls that a log names, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoggedCalls(Vec<LoggedCall>);

impl LoggedCalls {
    /// Reads the entries of one verification, whose chain has been verified.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut calls = Self::default();
        entries.into_iter().for_each(|entry| calls.read(entry));
        calls
    }

    /// Reads one more entry.
    pub fn read(&mut self, entry: &Entry) {
        self.0.extend(LoggedCall::parse(entry));
    }

    /// The calls, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &LoggedCall> {
        self.0.iter()
    }

    /// What came of the question at last: where the same was asked twice, the later counted. `None` where it was not asked.
    pub fn last(&self, question: Digest) -> Option<&LoggedCall> {
        self.0.iter().rfind(|call| call.question == question)
    }

    /// Whether the log names this call with the answer that is kept.
    ///
    /// # Errors
    /// Says what is wrong with what is kept.
    pub fn vouch(&self, call: &ModelCall) -> Result<(), CallFault> {
        let mut asked = self.0.iter().filter(|logged| logged.question == call.key);
        let answer = digest_of_kept(call);
        match asked.next() {
            None => Err(CallFault::NotLogged),
            Some(first) if first.answer == answer || asked.any(|logged| logged.answer == answer) => Ok(()),
            Some(_) if call.answer.is_none() => Err(CallFault::Erased),
            Some(_) => Err(CallFault::Changed),
        }
    }

    /// Of the calls that were kept, the one that answered the question at last. `None` where the log names no such question.
    ///
    /// # Errors
    /// Where the kept call is not the one that the log names.
    pub fn believed<'a>(
        &self,
        question: Digest,
        kept: &'a [ModelCall],
    ) -> Result<Option<&'a ModelCall>, CallFault> {
        let Some(last) = self.last(question) else {
            return Ok(None);
        };
        let of_question = || kept.iter().filter(|call| call.key == question);
        match of_question().rfind(|call| digest_of_kept(call) == last.answer) {
            Some(call) => Ok(Some(call)),
            None if of_question().any(|call| call.answer.is_some()) => Err(CallFault::Changed),
            None if of_question().next().is_some() => Err(CallFault::Erased),
            None => Err(CallFault::Gone),
        }
    }
}

/// Never the digest that stands beside the answer: whoever changes the one can change the other.
fn digest_of_kept(call: &ModelCall) -> Option<Digest> {
    call.answer.as_ref().map(|answer| Digest::of(answer.as_bytes()))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::entry::Audience;
    use crate::model_call::CallFinish;

    fn call(question: &[u8], answer: Option<&str>) -> ModelCall {
        ModelCall {
            id: Uuid::now_v7(),
            grader: "quality".to_owned(),
            criteria: Vec::new(),
            sample: 0,
            model_asked: String::new(),
            model: None,
            judge_mode: "live".to_owned(),
            parameters: json!({}),
            prompt: None,
            prompt_digest: Digest::of(b""),
            answer: answer.map(str::to_owned),
            answer_digest: None,
            finish: CallFinish::Complete,
            rejected: None,
            usage: None,
            usage_estimated: false,
            cost_microcents: None,
            key: Digest::of(question),
            reused: None,
            started_at: Timestamp::UNIX_EPOCH,
            ended_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn logged(calls: &[ModelCall]) -> LoggedCalls {
        let entries: Vec<_> = calls.iter().map(LoggedCall::of).map(entry).collect();
        LoggedCalls::of(&entries)
    }

    fn entry(call: LoggedCall) -> Entry {
        Entry {
            kind: EntryType::Result,
            content: call.to_value().to_string(),
            audience: Audience::Operator,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_log_names_calls_as_they_were_and_nothing_else_is_one() {
        for call in [call(b"q", Some("a")), call(b"q", None)] {
            let logged = LoggedCall::of(&call);
            assert_eq!(LoggedCall::parse(&entry(logged.clone())), Some(logged));
        }
        let mut other = entry(LoggedCall::of(&call(b"q", Some("a"))));
        other.kind = EntryType::Reasoning;
        assert_eq!(LoggedCall::parse(&other), None);
        other.kind = EntryType::Result;
        other.content = r#"{"grader":"quality","verdict":"pass","reason":"question, answer"}"#.to_owned();
        assert_eq!(LoggedCall::parse(&other), None);
    }

    #[test]
    fn only_the_answer_that_the_log_names_last_is_believed() {
        let then = [
            call(b"q", Some("first")),
            call(b"q", Some("second")),
            call(b"r", None),
        ];
        let log = logged(&then);
        let believed = |kept: &[ModelCall]| {
            let found = log.believed(Digest::of(b"q"), kept);
            found.map(|call| call.and_then(|call| call.answer.clone()))
        };
        assert_eq!(believed(&then), Ok(Some("second".to_owned())));
        // The order in which they are kept, and rows of others' making, say nothing.
        let inserted = [then[1].clone(), then[0].clone(), call(b"q", Some("mine"))];
        assert_eq!(believed(&inserted), Ok(Some("second".to_owned())));
        assert_eq!(believed(&[call(b"q", Some("mine"))]), Err(CallFault::Changed));
        assert_eq!(believed(&[call(b"q", None)]), Err(CallFault::Erased));
        assert_eq!(believed(&[]), Err(CallFault::Gone));
        assert_eq!(log.believed(Digest::of(b"s"), &then), Ok(None));
    }

    #[test]
    fn a_call_is_vouched_for_by_its_question_and_its_answer() {
        let log = logged(&[call(b"q", Some("a")), call(b"r", None)]);
        assert_eq!(log.vouch(&call(b"q", Some("a"))), Ok(()));
        assert_eq!(log.vouch(&call(b"r", None)), Ok(()));
        assert_eq!(log.vouch(&call(b"q", Some("b"))), Err(CallFault::Changed));
        assert_eq!(log.vouch(&call(b"q", None)), Err(CallFault::Erased));
        assert_eq!(log.vouch(&call(b"s", Some("a"))), Err(CallFault::NotLogged));
    }
}
