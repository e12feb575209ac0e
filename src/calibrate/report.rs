//! What a calibration came to, as data.

use std::collections::BTreeMap;

use serde::Serialize;

use super::agreement::{Confusion, Interval};
use super::blessing::{Demands, Refusal, bless};
use super::cases::{Cases, criteria};
use crate::desk::{Tried, speaks_of_judge};
use crate::graders::rubric::criteria_met;
use crate::outcome::{GraderReport, Outcome};
use crate::plan::PlanRef;
use crate::report::ErrorReport;
use crate::secrets::Secrets;
use crate::verdict::Score;

/// What was calibrated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Subject {
    /// The plan.
    pub plan: PlanRef,
    /// Where the answers came from, e.g. `live`; several, where fixtures have answers of different kinds.
    pub judges: Vec<String>,
    /// The models as their servers named them.
    pub models: Vec<String>,
    /// How often each case was verified.
    pub samples: usize,
    /// Fixtures left out because they expect an error.
    pub left_out: usize,
}

/// What the plan said of a case once.
#[derive(Debug, Clone, Serialize)]
pub struct Said {
    /// Whether it was verified; none where there is no decision.
    pub accept: Option<bool>,
    /// The plan's score.
    pub score: Option<Score>,
    /// The trouble, where there is no decision.
    pub error: Option<ErrorReport>,
    /// The graders' words.
    pub graders: Vec<GraderReport>,
    /// Whether each criterion is met, by its id, where a rubric has said so.
    pub criteria: BTreeMap<String, bool>,
    /// What the verdicts rest on: label and text, the judge's reasons and quotes among it.
    pub evidence: Vec<(String, String)>,
}

impl Said {
    /// What a trial came to, without the values of the job's variables.
    pub fn of(tried: &Tried, secrets: &Secrets) -> Self {
        let decision = tried.verification.decision.as_ref();
        let verdicts = tried.verdicts.values();
        Self {
            accept: decision
                .ok()
                .map(|decision| decision.outcome == Outcome::Verified),
            score: decision.ok().map(|decision| decision.score),
            error: decision.err().map(ErrorReport::from),
            graders: tried.verification.graders.clone(),
            criteria: verdicts.clone().flat_map(criteria_met).collect(),
            evidence: verdicts
                .flat_map(|verdict| &verdict.evidence)
                .map(|evidence| (evidence.label.clone(), secrets.scrub(&evidence.text).into_owned()))
                .collect(),
        }
    }
}

/// A case with everything that was said of it.
#[derive(Debug, Clone, Serialize)]
pub struct CaseReport {
    /// The case.
    pub name: String,
    /// What was asked for.
    pub prompt: String,
    /// What was handed in.
    pub output: String,
    /// The label: whether it must be verified.
    pub label: bool,
    /// The labels of criteria.
    pub labels: BTreeMap<String, bool>,
    /// What the plan said, each time. The first counts in the table.
    pub said: Vec<Said>,
}

impl CaseReport {
    /// Whether not every time the same was said.
    pub fn flips(&self) -> bool {
        self.said.windows(2).any(|pair| pair[0].accept != pair[1].accept)
    }

    /// Whether it was accepted at least once though it must not be.
    pub fn accepted_falsely(&self) -> bool {
        !self.label && self.said.iter().any(|said| said.accept == Some(true))
    }

    /// What counts in the table.
    pub fn first(&self) -> Option<bool> {
        self.said.first()?.accept
    }
}

/// How far judge and people agree on one criterion. A yes is `met`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CriterionReport {
    /// The criterion.
    pub id: String,
    /// The table.
    pub confusion: Confusion,
    /// Kappa; none where chance explains everything.
    pub kappa: Option<f64>,
    /// Kappa's 95 % interval.
    pub kappa_interval: Option<Interval>,
}

/// What the calls of models took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Spending {
    /// Calls, those that failed among them.
    pub calls: u64,
    /// Tokens of questions, as servers counted them.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// Calls whose server did not say how many tokens they took.
    pub calls_without_usage: u64,
    /// Cost in millionths of a cent, of the calls whose model has a price.
    pub cost_microcents: u64,
    /// Calls whose model has no price in the settings.
    pub calls_without_price: u64,
}

impl Spending {
    /// Adds the calls of a trial.
    pub fn add(&mut self, tried: &Tried) {
        for call in &tried.calls {
            self.calls += 1;
            match call.usage {
                Some(usage) => {
                    self.prompt_tokens += usage.prompt_tokens;
                    self.completion_tokens += usage.completion_tokens;
                }
                None => self.calls_without_usage += 1,
            }
            match call.cost_microcents {
                Some(cost) => self.cost_microcents += cost,
                None => self.calls_without_price += 1,
            }
        }
    }
}

/// A calibration's report; `--json`.
#[derive(Debug, Clone, Serialize)]
pub struct CalibrationReport {
    /// Version of this form: 1.
    pub v: u32,
    /// Whether the judge may be paid on.
    pub blessed: bool,
    /// Why not.
    pub refusals: Vec<String>,
    /// What was calibrated.
    pub subject: Subject,
    /// What was asked for.
    pub demands: Demands,
    /// The table, by each case's first sample.
    pub confusion: Confusion,
    /// Cases without a decision in their first sample.
    pub errors: u64,
    /// Cases that were accepted falsely in any sample.
    pub false_accepts_in_any_sample: u64,
    /// Share of the decided cases whose label is `verified`.
    pub base_rate: Option<f64>,
    /// Share of the decided cases in which judge and label agree.
    pub accuracy: Option<f64>,
    /// Its 95 % interval (Wilson).
    pub accuracy_interval: Option<Interval>,
    /// Cohen's kappa.
    pub kappa: Option<f64>,
    /// Its 95 % interval (seeded bootstrap over the cases).
    pub kappa_interval: Option<Interval>,
    /// Cases of which not every sample said the same.
    pub flips: u64,
    /// One for each labelled criterion, in the order of the plan.
    pub criteria: Vec<CriterionReport>,
    /// What the calls took.
    pub spending: Spending,
    /// Every case, in the order given.
    pub cases: Vec<CaseReport>,
}

impl CalibrationReport {
    /// Adds up.
    pub fn new(
        subject: Subject,
        cases: Vec<CaseReport>,
        spending: Spending,
        loaded: &Cases,
        demands: Demands,
    ) -> Self {
        let mut confusion = Confusion::default();
        for case in &cases {
            if let Some(said) = case.first() {
                confusion.add(case.label, said);
            }
        }
        let count = |wanted: fn(&CaseReport) -> bool| cases.iter().filter(|case| wanted(case)).count() as u64;
        let errors = count(|case| case.first().is_none());
        let false_accepts = count(CaseReport::accepted_falsely);
        let mut refusals = bless(&confusion, errors, false_accepts, &demands);
        if subject.judges.iter().any(|mode| mode == "scripted") {
            refusals.push(Refusal::WrittenByHand);
        }
        if subject.judges.is_empty() && confusion.total() > 0 {
            refusals.push(Refusal::NoJudge);
        }
        let ids = criteria(&loaded.plan);
        let criteria = ids.into_iter().filter_map(|id| CriterionReport::of(id, &cases));
        Self {
            v: 1,
            blessed: refusals.is_empty(),
            refusals: refusals.iter().map(ToString::to_string).collect(),
            subject,
            demands,
            confusion,
            errors,
            false_accepts_in_any_sample: false_accepts,
            base_rate: confusion.base_rate(),
            accuracy: confusion.accuracy(),
            accuracy_interval: confusion.accuracy_interval(),
            kappa: confusion.kappa(),
            kappa_interval: confusion.kappa_interval(),
            flips: count(CaseReport::flips),
            criteria: criteria.collect(),
            spending,
            cases,
        }
    }
}

impl CalibrationReport {
    /// Whether no case was decided by trouble of ours: that is no answer to whether the judge may be paid on.
    pub fn nobody_judged(&self) -> bool {
        let ours = |case: &CaseReport| {
            let error = case.said.first().and_then(|said| said.error.as_ref());
            error.is_some_and(|error| !speaks_of_judge(error.kind))
        };
        self.cases.iter().all(ours)
    }
}

impl CriterionReport {
    /// The criterion's table; none where no case has a label and an answer for it.
    fn of(id: String, cases: &[CaseReport]) -> Option<Self> {
        let mut confusion = Confusion::default();
        for case in cases {
            let said = case.said.first().and_then(|said| said.criteria.get(&id));
            if let (Some(label), Some(said)) = (case.labels.get(&id), said) {
                confusion.add(*label, *said);
            }
        }
        (confusion.total() > 0).then(|| Self {
            id,
            kappa: confusion.kappa(),
            kappa_interval: confusion.kappa_interval(),
            confusion,
        })
    }
}
