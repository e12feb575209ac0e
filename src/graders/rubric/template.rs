//! Fills a prompt template in one pass.
//!
//! A template is a Markdown file with placeholders in double braces. The text before the first line that is
//! just `---` is the system message, what follows is the user message; without such a line all of it is the
//! user message. What is filled in is never looked at again: a submission that contains a placeholder shows it.

use super::question::{Message, Role};

/// What a template may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    Task,
    Submission,
    Criteria,
    Form,
    Nonce,
}

impl Placeholder {
    const ALL: [(&'static str, Self); 5] = [
        ("task", Self::Task),
        ("submission", Self::Submission),
        ("criteria", Self::Criteria),
        ("form", Self::Form),
        ("nonce", Self::Nonce),
    ];
}

/// What placeholders stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a> {
    /// The fenced task.
    pub(super) task: &'a str,
    /// The fenced submission.
    pub(super) submission: &'a str,
    /// The list of criteria.
    pub(super) criteria: &'a str,
    /// The form of the answer.
    pub(super) form: &'a str,
    /// The number of the fences.
    pub(super) nonce: &'a str,
}

/// A template that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    /// Not UTF-8.
    #[error("the prompt is not UTF-8 text")]
    NotText,
    /// A placeholder that does not exist.
    #[error(
        "the prompt has an unknown placeholder `{{{{{0}}}}}`; known are task, submission, criteria, form and nonce"
    )]
    Unknown(String),
    /// Braces without an end.
    #[error("the prompt has `{{{{` without `}}}}`")]
    Unclosed,
    /// A placeholder that every prompt needs is not there.
    #[error("the prompt needs `{{{{{0}}}}}`")]
    Missing(&'static str),
    /// The judge must read the criteria last, so that nothing in the submission is the last word.
    #[error("the prompt must repeat `{{{{criteria}}}}` after `{{{{submission}}}}`")]
    CriteriaNotLast,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Placeholder),
}

/// A checked template.
#[derive(Debug, Clone)]
pub(super) struct Template {
    messages: Vec<(Role, Vec<Part>)>,
}

impl Template {
    /// Reads a template.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, TemplateError> {
        let text = std::str::from_utf8(bytes).map_err(|_| TemplateError::NotText)?;
        let text = text.replace("\r\n", "\n");
        let messages = match text.split_once("\n---\n") {
            Some((system, user)) => vec![(Role::System, parts(system)?), (Role::User, parts(user)?)],
            None => vec![(Role::User, parts(&text)?)],
        };
        let order: Vec<_> = messages
            .iter()
            .flat_map(|(_, parts)| parts)
            .filter_map(|part| match part {
                Part::Value(placeholder) => Some(*placeholder),
                Part::Text(_) => None,
            })
            .collect();
        for (name, placeholder) in Placeholder::ALL {
            if !order.contains(&placeholder) {
                return Err(TemplateError::Missing(name));
            }
        }
        let last = |wanted| order.iter().rposition(|placeholder| *placeholder == wanted);
        if last(Placeholder::Criteria) < last(Placeholder::Submission) {
            return Err(TemplateError::CriteriaNotLast);
        }
        Ok(Self { messages })
    }

    /// The same with what follows the submission before everything else of its message, so that the strangers' texts come
    /// last: what `assay attack` compares with.
    pub(super) fn texts_last(&self) -> Self {
        let mut texts_last = self.clone();
        for (_, parts) in &mut texts_last.messages {
            let at = parts
                .iter()
                .rposition(|part| *part == Part::Value(Placeholder::Submission));
            if let Some(at) = at {
                parts.rotate_left(at + 1);
            }
        }
        texts_last
    }

    /// The messages with every placeholder replaced.
    pub(super) fn fill(&self, values: &Values<'_>) -> Vec<Message> {
        self.messages
            .iter()
            .map(|(role, parts)| {
                let content: String = parts
                    .iter()
                    .map(|part| match part {
                        Part::Text(text) => text.as_str(),
                        Part::Value(Placeholder::Task) => values.task,
                        Part::Value(Placeholder::Submission) => values.submission,
                        Part::Value(Placeholder::Criteria) => values.criteria,
                        Part::Value(Placeholder::Form) => values.form,
                        Part::Value(Placeholder::Nonce) => values.nonce,
                    })
                    .collect();
                Message {
                    role: *role,
                    content: content.trim().to_owned(),
                }
            })
            .collect()
    }
}

fn parts(text: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or(TemplateError::Unclosed)?;
        let known = Placeholder::ALL.iter().find(|(known, _)| *known == name.trim());
        let (_, placeholder) = known.ok_or_else(|| TemplateError::Unknown(name.trim().to_owned()))?;
        parts.push(Part::Text(before.to_owned()));
        parts.push(Part::Value(*placeholder));
        rest = after;
    }
    parts.push(Part::Text(rest.to_owned()));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Rules {{nonce}}\n---\n{{task}}|{{submission}}|{{criteria}}|{{form}}";

    fn values(submission: &str) -> Values<'_> {
        Values {
            task: "T",
            submission,
            criteria: "C",
            form: "F",
            nonce: "N",
        }
    }

    #[test]
    fn what_is_filled_in_is_not_looked_at_again() {
        let template = Template::parse(GOOD.as_bytes()).unwrap();
        let messages = template.fill(&values("{{criteria}} {{x}} {{"));
        assert_eq!(messages[0].content, "Rules N");
        assert_eq!(messages[1].content, "T|{{criteria}} {{x}} {{|C|F");
    }

    #[test]
    fn a_template_that_would_not_ask_well_is_refused() {
        let error = |text: &str| Template::parse(text.as_bytes()).unwrap_err();
        assert_eq!(
            error(&GOOD.replace("task", "tusk")),
            TemplateError::Unknown("tusk".into())
        );
        assert_eq!(
            error(&GOOD.replace("{{nonce}}", "")),
            TemplateError::Missing("nonce")
        );
        assert_eq!(
            error("{{nonce}}{{task}}{{criteria}}{{form}}{{submission}}"),
            TemplateError::CriteriaNotLast
        );
        assert_eq!(error("{{nonce"), TemplateError::Unclosed);
        assert_eq!(Template::parse(&[0xff]).unwrap_err(), TemplateError::NotText);
        insta::assert_snapshot!(TemplateError::Unknown("x".into()), @"the prompt has an unknown placeholder `{{x}}`; known are task, submission, criteria, form and nonce");
    }
}
