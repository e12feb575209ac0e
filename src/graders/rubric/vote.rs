//! One judge's vote: every criterion asked about, in as many calls as the plan wants, each asked again once.

use super::answer::{self, Answer, AnswerError};
use super::asking::{Asked, Asker};
use super::criterion::{Criterion, EvidenceWanted};
use super::defences::{Defence, Defences};
use super::fence::Nonce;
use super::form;
use super::gate::Gate;
use super::panel::Seat;
use super::prompt::Prompt;
use super::question::{Finish, Question, Reply, content_key};
use super::quotes::QuoteError;
use super::shown::Shown;
use super::template::Template;
use crate::entry::Audience;
use crate::verdict::{ErrorKind, GradeError};

/// Questions in all: one, and one more where the answer was off the menu.
const MAX_QUESTIONS: usize = 2;

/// What is asked, whoever answers.
pub(super) struct Ballot<'a> {
    /// Name of the grader in the plan.
    pub(super) grader: &'a str,
    /// The prompt.
    pub(super) template: &'a Template,
    /// What is judged.
    pub(super) criteria: &'a [Criterion],
    /// Most criteria of one question.
    pub(super) max_criteria: usize,
    /// What the judge sees.
    pub(super) shown: &'a Shown,
    /// What is no work, and no evidence of any.
    pub(super) gate: &'a Gate,
    /// How strictly.
    pub(super) defences: Defences,
}

/// What one judge says.
pub(super) struct Given {
    /// An answer for each criterion, in their order.
    pub(super) answers: Vec<Answer>,
    /// The model as the server named it.
    pub(super) model: String,
}

impl Ballot<'_> {
    /// Asks one judge about every criterion.
    pub(super) async fn ask(&self, asker: &Asker<'_>, seat: Seat<'_>) -> Result<Given, GradeError> {
        let mut given = Given {
            answers: Vec::with_capacity(self.criteria.len()),
            model: String::new(),
        };
        for criteria in self.criteria.chunks(self.max_criteria) {
            let part = self.ask_about(criteria, asker, seat).await?;
            given.answers.extend(part.answers);
            given.model = part.model;
        }
        Ok(given)
    }

    async fn ask_about(
        &self,
        criteria: &[Criterion],
        asker: &Asker<'_>,
        seat: Seat<'_>,
    ) -> Result<Given, GradeError> {
        let prompt =
            Prompt::new(self.template, criteria, self.shown).fenced(self.defences.has(Defence::Fence));
        let schema = form::schema(criteria);
        let mut complaint: Option<AnswerError> = None;
        for asked_before in 0..MAX_QUESTIONS {
            let without_nonce = prompt.messages(Nonce::NONE, complaint.as_ref());
            let pictures = &self.shown.pictures;
            let question = Question {
                grader: self.grader,
                criteria,
                model: seat.model,
                messages: prompt.messages(Nonce::draw(), complaint.as_ref()),
                pictures,
                schema: &schema,
                asked_before,
                sample: seat.sample,
                key: content_key(&without_nonce, pictures, seat.model, &schema, seat.sample),
            };
            let Asked { answer, model } = asker.ask(&question, |reply| self.read(reply, criteria)).await?;
            match answer {
                Ok(answers) => return Ok(Given { answers, model }),
                Err(error) => {
                    let text = format!("the judge's answer is off the menu: {error}");
                    asker.context.log.info(Audience::Operator, text).await;
                    complaint = Some(error);
                }
            }
        }
        let why = complaint.map(|error| error.to_string()).unwrap_or_default();
        let message = format!("the judge was asked {MAX_QUESTIONS} times, and still {why}");
        Err(GradeError::new(ErrorKind::JudgeOffMenu, message))
    }

    /// Reads the answers and looks their evidence up.
    fn read(&self, reply: &Reply, criteria: &[Criterion]) -> Result<Vec<Answer>, AnswerError> {
        match reply.finish {
            Finish::Complete => {}
            Finish::Truncated => return Err(AnswerError::Truncated),
            Finish::TooLong => return Err(AnswerError::TooLong),
            Finish::Refused => return Err(AnswerError::Empty),
        }
        let answers = if self.defences.has(Defence::Structured) {
            answer::parse(&reply.text, criteria)?
        } else {
            answer::parse_anywhere(&reply.text, criteria)?
        };
        for (criterion, answer) in criteria.iter().zip(&answers) {
            let id = || criterion.id.clone();
            let evidence = answer.evidence.as_deref().unwrap_or_default();
            match criterion.evidence {
                _ if !answer.met => {}
                EvidenceWanted::None => {}
                EvidenceWanted::Quote if !self.defences.has(Defence::Quotes) => {}
                EvidenceWanted::Quote if self.gate.refuses_quote(evidence) => {
                    return Err(AnswerError::QuoteTooShort(id()));
                }
                EvidenceWanted::Quote => {
                    self.shown.quotable.check(evidence).map_err(|error| match error {
                        QuoteError::TooShort => AnswerError::QuoteTooShort(id()),
                        QuoteError::NotFound => AnswerError::QuoteNotFound(id()),
                    })?
                }
                EvidenceWanted::Attachment => {
                    if !self.shown.file_names.iter().any(|name| name == evidence) {
                        return Err(AnswerError::AttachmentUnknown(id()));
                    }
                }
            }
        }
        Ok(answers)
    }
}
