//! The grader: asks, checks the answer, adds up.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::answer::{self, Answer, AnswerError};
use super::asking::Asker;
use super::fence::Nonce;
use super::form;
use super::judge::{Finish, Judge, Question, Reply, content_key};
use super::keeper::CallKeeper;
use super::prompt::Prompt;
use super::quotes::QuoteError;
use super::score::tally;
use super::settings::{EvidenceWanted, Settings};
use super::shown::{self, Shown};
use super::template::Template;
use crate::digest::Digest;
use crate::entry::{Audience, cut};
use crate::graders::{Context, Grader, Tools};
use crate::log::Log;
use crate::plan::{Issue, PlanFiles, PlannedGrader};
use crate::submission::Submission;
use crate::verdict::{ErrorKind, Evidence, GradeError, Provenance, Score, Verdict};

/// Questions in all: one, and one more where the answer was off the menu.
const MAX_QUESTIONS: usize = 2;

/// Longest reason or quote of a judge that is kept as evidence, in bytes.
const MAX_EVIDENCE_BYTES: usize = 2 * 1024;

/// A rubric grader.
pub(super) struct Rubric {
    name: String,
    settings: Settings,
    template: Template,
    prompt_digest: Digest,
    schema: Value,
    judge: Judge,
    calls: Arc<dyn CallKeeper>,
    /// Who may read what tells of hidden criteria.
    audience: Audience,
    reveal: bool,
}

/// Whether the prompt is a template that can be asked with.
pub(super) fn check_files(files: &PlanFiles) -> Result<(), Issue> {
    match files.get("prompt") {
        Some(file) => Template::parse(&file.bytes)
            .map(|_| ())
            .map_err(|error| Issue::new("prompt", format!("{}: {error}", file.path.display()))),
        None => Ok(()),
    }
}

impl Rubric {
    /// Makes the grader of a checked plan.
    ///
    /// # Errors
    /// Where the prompt is no template that can be asked with.
    pub(super) fn new(planned: &PlannedGrader, tools: &Tools) -> Result<Self, GradeError> {
        let invalid = |message: String| {
            let message = format!("grader `{}`: {message}", planned.name);
            GradeError::new(ErrorKind::PlanInvalid, message)
        };
        let settings = Settings::from_value(&planned.settings)
            .map_err(|issue| invalid(format!("{}: {}", issue.key, issue.message)))?;
        let file = planned
            .files
            .get("prompt")
            .ok_or_else(|| invalid("prompt: the plan was loaded without its prompt".to_owned()))?;
        let template = Template::parse(&file.bytes)
            .map_err(|error| invalid(format!("prompt: {}: {error}", file.path.display())))?;
        Ok(Self {
            name: planned.name.clone(),
            schema: form::schema(&settings.criteria),
            settings,
            template,
            prompt_digest: file.digest,
            judge: tools.judge.clone(),
            calls: Arc::clone(&tools.calls),
            audience: if tools.reveal {
                Audience::Public
            } else {
                Audience::Operator
            },
            reveal: tools.reveal,
        })
    }
}

#[async_trait]
impl Grader for Rubric {
    fn name(&self) -> &str {
        &self.name
    }

    async fn grade(&self, submission: &Submission, context: &Context) -> Result<Verdict, GradeError> {
        let log = &context.log;
        let shown = shown::gather(submission, log, self.settings.max_input_bytes).await?;
        self.worth_asking(&shown, log).await?;
        let prompt = Prompt::new(&self.template, &self.settings.criteria, &shown);
        let mut complaint: Option<AnswerError> = None;
        let asker = Asker {
            judge: &self.judge,
            calls: &self.calls,
            context,
            audience: self.audience,
        };
        for asked_before in 0..MAX_QUESTIONS {
            let without_nonce = prompt.messages(Nonce::NONE, complaint.as_ref());
            let model = self.settings.model.as_deref();
            let question = Question {
                grader: &self.name,
                criteria: &self.settings.criteria,
                model,
                messages: prompt.messages(Nonce::draw(), complaint.as_ref()),
                schema: &self.schema,
                asked_before,
                sample: 0,
                key: content_key(&without_nonce, model, &self.schema, 0),
            };
            let asked = asker.ask(&question, |reply| self.read(reply, &shown)).await?;
            match asked.answer {
                Ok(answers) => return self.verdict(&answers, asked.model, &shown, log),
                Err(error) => {
                    let text = format!("the judge's answer is off the menu: {error}");
                    log.info(Audience::Operator, text).await;
                    complaint = Some(error);
                }
            }
        }
        let why = complaint.map(|error| error.to_string()).unwrap_or_default();
        let message = format!("the judge was asked {MAX_QUESTIONS} times, and still {why}");
        Err(GradeError::new(ErrorKind::JudgeOffMenu, message))
    }
}

impl Rubric {
    /// Tells what the judge does not see, and whether it can judge all the same: found out before a call is paid.
    async fn worth_asking(&self, shown: &Shown, log: &Log) -> Result<(), GradeError> {
        if shown.redacted.is_everything() {
            let message =
                "the job has more environment variables than can be kept from a judge; look at it yourself";
            return Err(GradeError::new(ErrorKind::JudgeInputRedacted, message));
        }
        if !shown.redacted.is_empty() {
            let text = format!("not shown to the judge: the values of {}", shown.redacted);
            log.info(Audience::Operator, text).await;
        }
        if shown.left_out.is_empty() {
            return Ok(());
        }
        let left_out = shown.left_out_in_words();
        if !self.settings.partial {
            let message = format!(
                "the judge would not see {left_out}; look at it yourself, raise max_input_bytes in the plan, or set \
                 partial = true there to judge by what fits"
            );
            return Err(GradeError::new(ErrorKind::JudgeInputTooLarge, message));
        }
        log.info(Audience::Operator, format!("not shown to the judge: {left_out}"))
            .await;
        Ok(())
    }

    /// Reads the answers and looks their evidence up.
    fn read(&self, reply: &Reply, shown: &Shown) -> Result<Vec<Answer>, AnswerError> {
        match reply.finish {
            Finish::Complete => {}
            Finish::Truncated => return Err(AnswerError::Truncated),
            Finish::TooLong => return Err(AnswerError::TooLong),
            Finish::Refused => return Err(AnswerError::Empty),
        }
        let answers = answer::parse(&reply.text, &self.settings.criteria)?;
        for (criterion, answer) in self.settings.criteria.iter().zip(&answers) {
            let id = || criterion.id.clone();
            let evidence = answer.evidence.as_deref().unwrap_or_default();
            match criterion.evidence {
                _ if !answer.met => {}
                EvidenceWanted::None => {}
                EvidenceWanted::Quote => shown.quotable.check(evidence).map_err(|error| match error {
                    QuoteError::TooShort => AnswerError::QuoteTooShort(id()),
                    QuoteError::NotFound => AnswerError::QuoteNotFound(id()),
                })?,
                EvidenceWanted::Attachment => {
                    if !shown.file_names.iter().any(|name| name == evidence) {
                        return Err(AnswerError::AttachmentUnknown(id()));
                    }
                }
            }
        }
        Ok(answers)
    }

    /// The verdict, unless it could be another one with the words that were taken out.
    ///
    /// Where values of variables were taken out of what the judge saw, only the full score stands: the sender, who sets
    /// the variables, could blind the judge to what a criterion asks for, and any lower score may fail the plan. Nor
    /// does the submitter gain by repeating a value: a marker is no evidence, and a person looks at the rest.
    fn verdict(
        &self,
        answers: &[Answer],
        model: String,
        shown: &Shown,
        log: &Log,
    ) -> Result<Verdict, GradeError> {
        let met: Vec<_> = answers.iter().map(|answer| answer.met).collect();
        let tally = tally(&self.settings.criteria, &met);
        if tally.score < Score::ONE && !shown.redacted.is_empty() {
            let message = format!(
                "the judge finds criteria not fulfilled, but did not see the values of {}, which stand in the task or \
                 in what was handed in; look at it yourself",
                shown.redacted
            );
            return Err(GradeError::new(ErrorKind::JudgeInputRedacted, message));
        }
        let pass_score = Score::new(self.settings.pass_score)
            .map_err(|error| GradeError::new(ErrorKind::PlanInvalid, format!("pass_score: {error}")))?;
        let passed = tally.required_fulfilled && tally.score >= pass_score;
        let mut reason = self.reason(&met, tally.score, pass_score);
        if !shown.left_out.is_empty() {
            reason.push_str("; judged by a part of what was handed in");
        }
        let mut verdict = Verdict::new(passed, tally.score, reason);
        verdict.evidence = self
            .settings
            .criteria
            .iter()
            .zip(answers)
            .map(|(criterion, answer)| {
                let word = if answer.met { "met" } else { "not met" };
                let evidence = answer.evidence.as_ref().map_or_else(String::new, |evidence| {
                    format!("\nevidence: {}", cut(evidence, MAX_EVIDENCE_BYTES))
                });
                let reason = cut(&answer.reason, MAX_EVIDENCE_BYTES);
                Evidence {
                    label: format!("criterion:{}", criterion.id),
                    text: log.clean(&format!("{word}: {reason}{evidence}")),
                    audience: self.audience,
                }
            })
            .collect();
        if !shown.left_out.is_empty() {
            verdict.evidence.push(Evidence {
                label: "not-shown".to_owned(),
                text: shown.left_out_in_words(),
                audience: self.audience,
            });
        }
        verdict.provenance = Provenance {
            artifact: Some(self.prompt_digest),
            engine: Some(log.clean(&model)),
            judge_mode: Some(self.judge.mode().as_str().to_owned()),
            ..Provenance::default()
        };
        Ok(verdict)
    }

    /// Says in public how many criteria are fulfilled, and which are not: hidden ones only by their number.
    fn reason(&self, met: &[bool], score: Score, pass_score: Score) -> String {
        let criteria = &self.settings.criteria;
        let failed: Vec<_> = criteria
            .iter()
            .zip(met)
            .filter(|(criterion, met)| !criterion.fulfilled(**met))
            .map(|(criterion, _)| criterion)
            .collect();
        let mut named: Vec<_> = failed
            .iter()
            .filter(|criterion| self.reveal || !criterion.hidden)
            .map(|criterion| {
                let required = if criterion.required { " (required)" } else { "" };
                format!("{}{required}", criterion.id)
            })
            .collect();
        let hidden = failed.len() - named.len();
        if hidden > 0 {
            named.push(format!("{hidden} hidden"));
        }
        let mut reason = format!(
            "{} of {} criteria fulfilled, score {score} (passes at {pass_score})",
            criteria.len() - failed.len(),
            criteria.len()
        );
        if !named.is_empty() {
            reason.push_str("; not fulfilled: ");
            reason.push_str(&named.join(", "));
        }
        reason
    }
}
