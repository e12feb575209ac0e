//! From what the judges found to a verdict.

use super::answer::Answer;
use super::criterion::Criterion;
use super::grader::Rubric;
use super::met::{criterion_label, met_word};
use super::score::tally;
use super::shown::Shown;
use crate::entry::{Audience, cut};
use crate::log::Log;
use crate::verdict::{ErrorKind, Evidence, GradeError, Provenance, Score, Verdict};

/// Longest reason or quote of a judge that is kept as evidence, in bytes.
const MAX_EVIDENCE_BYTES: usize = 2 * 1024;

/// What the judges came to.
pub(super) struct Finding {
    /// For each criterion an answer that says what was decided.
    pub(super) answers: Vec<Answer>,
    /// The models as their servers named them.
    pub(super) models: Vec<String>,
    /// How it came about where more than one was asked, for the verdict's reason.
    pub(super) how: Option<String>,
}

impl Rubric {
    /// The score of that.
    pub(super) fn score(&self, met: &[bool]) -> Score {
        tally(&self.settings.criteria, met).score
    }

    /// The verdict, unless it could be another one with the words that were taken out.
    ///
    /// Where values of variables were taken out of what the judge saw, only the full score stands: the sender, who sets
    /// the variables, could blind the judge to what a criterion asks for, and any lower score may fail the plan. Nor
    /// does the submitter gain by repeating a value: a marker is no evidence, and a person looks at the rest.
    pub(super) fn verdict(&self, finding: &Finding, shown: &Shown, log: &Log) -> Result<Verdict, GradeError> {
        let met: Vec<_> = finding.answers.iter().map(|answer| answer.met).collect();
        let tally = tally(&self.settings.criteria, &met);
        if tally.score < Score::ONE && !shown.redacted.is_empty() {
            let message = format!(
                "the judge finds criteria not fulfilled, but did not see the values of {}, which stand in the task or \
                 in what was handed in; look at it yourself",
                shown.redacted
            );
            return Err(GradeError::new(ErrorKind::JudgeInputRedacted, message));
        }
        let pass_score = self.pass_score()?;
        let passed = tally.required_fulfilled && tally.score >= pass_score;
        let mut reason = self.reason(&met, tally.score, pass_score);
        if let Some(how) = &finding.how {
            reason.push_str("; ");
            reason.push_str(how);
        }
        if !shown.left_out.is_empty() {
            reason.push_str("; judged by a part of what was handed in");
        }
        let mut verdict = Verdict::new(passed, tally.score, reason);
        let criteria = self.settings.criteria.iter().zip(&finding.answers);
        verdict.evidence = criteria
            .map(|(criterion, answer)| self.evidence(criterion, answer, log))
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
            engine: Some(log.clean(&finding.models.join(", "))),
            judge_mode: Some(self.judge.mode().as_str().to_owned()),
            ..Provenance::default()
        };
        Ok(verdict)
    }

    /// The score at which the grader passes.
    pub(super) fn pass_score(&self) -> Result<Score, GradeError> {
        Score::new(self.settings.pass_score)
            .map_err(|error| GradeError::new(ErrorKind::PlanInvalid, format!("pass_score: {error}")))
    }

    fn evidence(&self, criterion: &Criterion, answer: &Answer, log: &Log) -> Evidence {
        let word = met_word(answer.met);
        let evidence = answer.evidence.as_ref().map_or_else(String::new, |evidence| {
            format!("\nevidence: {}", cut(evidence, MAX_EVIDENCE_BYTES))
        });
        let reason = cut(&answer.reason, MAX_EVIDENCE_BYTES);
        Evidence {
            label: criterion_label(&criterion.id),
            text: log.clean(&format!("{word}: {reason}{evidence}")),
            audience: self.audience,
        }
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
        let public = self.audience == Audience::Public;
        let mut named: Vec<_> = failed
            .iter()
            .filter(|criterion| public || !criterion.hidden)
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
