//! The grader: looks before it asks, asks whom the plan wants, counts the votes.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;

use super::answer::Answer;
use super::asking::Asker;
use super::criterion::{Criterion, EvidenceWanted};
use super::defences::Defences;
use super::finding::Finding;
use super::influence;
use super::judge::{Judge, JudgeError};
use super::keeper::CallKeeper;
use super::met::met_word;
use super::panel::{self, Count, Seat, Vote};
use super::settings::Settings;
use super::shown::{self, Shown};
use super::template::Template;
use super::under_way::UnderWay;
use super::vote::{Ballot, Given};
use crate::digest::Digest;
use crate::entry::Audience;
use crate::graders::{Context, Grader, Tools};
use crate::log::Log;
use crate::plan::{Issue, PlanFiles, PlannedGrader};
use crate::submission::Submission;
use crate::verdict::{ErrorKind, GradeError, Verdict};

/// The prompts that a plan's files hold.
const PROMPTS: [&str; 2] = ["prompt", influence::FILE];

/// A rubric grader.
pub(super) struct Rubric {
    pub(super) name: String,
    pub(super) settings: Settings,
    pub(super) template: Template,
    /// The prompt of the second question, where the plan asks it.
    pub(super) influence: Option<Template>,
    pub(super) prompt_digest: Digest,
    pub(super) judge: Judge,
    calls: Arc<dyn CallKeeper>,
    /// Who may read what tells of hidden criteria.
    pub(super) audience: Audience,
    /// All of them, but for `assay attack`.
    pub(super) defences: Defences,
}

/// Whether the prompts are templates that can be asked with.
pub(super) fn check_files(files: &PlanFiles) -> Result<(), Issue> {
    for key in PROMPTS {
        if let Some(file) = files.get(key) {
            Template::parse(&file.bytes)
                .map_err(|error| Issue::new(key, format!("{}: {error}", file.path.display())))?;
        }
    }
    Ok(())
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
        if let Some(model) = tools
            .judge
            .default_model()
            .filter(|model| settings.asks_again(model))
        {
            let grader = planned.name.clone();
            let error = JudgeError::SameModel { grader, model };
            return Err(GradeError::new(ErrorKind::PlanInvalid, error.to_string()));
        }
        let template = |key: &str| {
            let file = planned
                .files
                .get(key)
                .ok_or_else(|| invalid(format!("{key}: the plan was loaded without its prompt")))?;
            let template = Template::parse(&file.bytes)
                .map_err(|error| invalid(format!("{key}: {}: {error}", file.path.display())))?;
            Ok((template, file.digest))
        };
        let (prompt, prompt_digest) = template("prompt")?;
        let influence = settings
            .influence
            .as_ref()
            .map(|_| template(influence::FILE))
            .transpose()?;
        Ok(Self {
            name: planned.name.clone(),
            settings,
            template: prompt,
            influence: influence.map(|(template, _)| template),
            prompt_digest,
            judge: tools.judge.clone(),
            calls: Arc::clone(&tools.calls),
            audience: if tools.reveal {
                Audience::Public
            } else {
                Audience::Operator
            },
            defences: Defences::ALL,
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
        let shown = shown::gather(submission, log, &self.settings).await?;
        if let Some(reason) = self.refused(&shown) {
            log.info(Audience::Public, "no judge is asked").await;
            return Ok(Verdict::fail(reason));
        }
        self.worth_asking(&shown, log).await?;
        let asker = Asker {
            judge: &self.judge,
            calls: &self.calls,
            context,
            audience: self.audience,
            under_way: UnderWay::default(),
        };
        if let Some(verdict) = self.look_for_influence(&shown, &asker).await? {
            return Ok(verdict);
        }
        let ballot = Ballot {
            grader: &self.name,
            template: &self.template,
            criteria: &self.settings.criteria,
            max_criteria: self.settings.max_criteria,
            shown: &shown,
            gate: &self.settings.gate,
            defences: self.defences,
        };
        let seats = self.settings.panel.seats(submission.price_cents);
        let finding = self.find(&ballot, &asker, &seats).await?;
        self.verdict(&finding, &shown, log)
    }
}

impl Rubric {
    /// Why the hand-in fails without a judge, by its texts alone.
    ///
    /// Not where a file may be the whole answer: a picture that the judge is shown, or the file that a criterion wants. A file
    /// that nobody looks at opens no gate. Nor where something is not shown and a person will look at it: it may be the work.
    fn refused(&self, shown: &Shown) -> Option<String> {
        let mut criteria = self.settings.criteria.iter();
        let file_wanted = criteria.any(|criterion| criterion.evidence == EvidenceWanted::Attachment);
        let file_counts = !shown.pictures.is_empty() || (file_wanted && shown.has_other_files);
        let person_looks = !shown.left_out.is_empty() && !self.settings.partial;
        if file_counts || person_looks {
            return None;
        }
        self.settings
            .gate
            .refuses(shown.handed_in.iter().map(String::as_str))
    }

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

    /// Asks everybody at once, counts, and asks the stronger judge where that leaves something open.
    async fn find(
        &self,
        ballot: &Ballot<'_>,
        asker: &Asker<'_>,
        seats: &[Seat<'_>],
    ) -> Result<Finding, GradeError> {
        let log = &asker.context.log;
        let asked = seats.iter().map(|seat| async {
            match ballot.ask(asker, *seat).await {
                Err(error) if !panel::is_of_one_judge(error.kind) => Err(error),
                given => Ok(given),
            }
        });
        // All of them to their end: an answer that is being written is paid, and is used again after an error of another.
        let given = join_all(asked).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut models = Vec::new();
        let mut votes: Vec<Vote> = Vec::with_capacity(given.len());
        for vote in given {
            if let Ok(Given { model, .. }) = &vote
                && !models.contains(model)
            {
                models.push(model.clone());
            }
            votes.push(vote.map(|given| given.answers));
        }
        if votes.len() > 1 {
            for (index, (vote, seat)) in votes.iter().zip(seats).enumerate() {
                let text = format!(
                    "vote {} of {} ({}, sample {}): {}",
                    index + 1,
                    votes.len(),
                    seat.model.unwrap_or("the default model"),
                    seat.sample,
                    self.vote_in_words(vote)
                );
                log.info(Audience::Operator, text).await;
            }
        }
        let count = panel::count(&self.settings.criteria, &votes);
        let decided: Option<Vec<_>> = count.met.iter().copied().collect();
        let open = self.open(&count, decided.as_deref(), &votes)?;
        if let (Some(why), Some(stronger)) = (&open, self.settings.panel.escalate_to.as_deref()) {
            log.info(
                Audience::Operator,
                format!("{why}: {stronger} is asked, and its word counts"),
            )
            .await;
            let seat = Seat {
                model: Some(stronger),
                sample: 0,
            };
            let given = ballot.ask(asker, seat).await?;
            let vote = self.vote_in_words(&Ok(given.answers.clone()));
            log.info(Audience::Operator, format!("vote of {stronger}: {vote}"))
                .await;
            return Ok(Finding {
                answers: given.answers,
                models: vec![given.model],
                how: Some("decided by the stronger judge".to_owned()),
            });
        }
        let Some(met) = decided else {
            let nothing = || GradeError::new(ErrorKind::JudgeOffMenu, "the judges' votes decide nothing");
            return Err(panel::worst(&votes).unwrap_or_else(nothing));
        };
        let how = (votes.len() > 1).then(|| {
            let agreed = if count.unanimous { "" } else { ", not unanimous" };
            format!("decided by {} votes{agreed}", votes.len())
        });
        Ok(Finding {
            answers: deciding_answers(&met, &votes),
            models,
            how,
        })
    }

    /// Why the votes leave something open that a stronger judge should decide.
    ///
    /// # Errors
    /// Where a vote is missing that comes back: it is waited for.
    fn open(
        &self,
        count: &Count,
        decided: Option<&[bool]>,
        votes: &[Vote],
    ) -> Result<Option<String>, GradeError> {
        let Some(met) = decided else {
            return match panel::worst(votes) {
                Some(error) if error.recourse() == crate::verdict::Recourse::Transient => Err(error),
                Some(error) => Ok(Some(format!("no decision ({})", error.kind))),
                None => Ok(None),
            };
        };
        if !count.unanimous {
            return Ok(Some("the judges disagree".to_owned()));
        }
        let (score, pass) = (self.score(met), self.pass_score()?);
        let close = panel::is_within(self.settings.panel.escalate_margin, score, pass);
        Ok(close.then(|| format!("the score {score} is close to {pass}")))
    }

    fn vote_in_words(&self, vote: &Vote) -> String {
        let answers = match vote {
            Ok(answers) => answers,
            Err(error) => return format!("none ({})", error.kind),
        };
        let word =
            |(criterion, answer): (&Criterion, &Answer)| format!("{} {}", criterion.id, met_word(answer.met));
        let words: Vec<_> = self.settings.criteria.iter().zip(answers).map(word).collect();
        words.join(", ")
    }
}

/// For each criterion the first answer that says what was decided.
fn deciding_answers(met: &[bool], votes: &[Vote]) -> Vec<Answer> {
    let given = || votes.iter().filter_map(|vote| vote.as_ref().ok());
    met.iter()
        .enumerate()
        .filter_map(|(index, met)| {
            given()
                .map(|answers| &answers[index])
                .find(|answer| answer.met == *met)
                .cloned()
        })
        .collect()
}
