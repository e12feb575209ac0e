//! Makes every attack on every target under every configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use futures_util::stream::{self, StreamExt as _};

use super::attacks::{Class, Side};
use super::report::{AttackReport, ClassReport, Configuration};
use crate::desk::{Fixture, FixtureError, JudgeChoice, Trial, discover, speaks_of_judge};
use crate::graders;
use crate::graders::rubric::{Judge, JudgeSettings, Leaning, weakened};
use crate::job::Job;
use crate::outcome::{Expect, Outcome};
use crate::plan::{Plan, PlanError, PlanFolders, PlannedGrader};
use crate::report::Progress;
use crate::verdict::ErrorKind;

/// Who judges.
#[derive(Clone)]
pub enum AttackJudge {
    /// [`Judge::credulous`].
    Credulous,
    /// The configured model.
    Live(Box<JudgeSettings>),
}

impl AttackJudge {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Credulous => "credulous",
            Self::Live(_) => "live",
        }
    }
}

/// A fixture to attack.
pub struct Target {
    job: Job,
    folder: PathBuf,
    side: Side,
    judge: Judge,
}

/// Targets that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// A fixture is wrong.
    #[error(transparent)]
    Fixture(#[from] FixtureError),
    /// The plan is wrong.
    #[error("{0}")]
    Plan(#[from] PlanError),
    /// The plan has nobody to talk round.
    #[error("the plan `{0}` has no rubric: there is no judge to attack")]
    NoRubric(String),
    /// There is nothing to attack.
    #[error(
        "there is no fixture to attack: name folders with fixtures that expect `retry`, or `verified` for the sender's side"
    )]
    Empty,
}

/// Loads the plan, and the fixtures that expect a decision.
///
/// # Errors
/// Names what is wrong with a file.
pub fn load(
    plan_name: &str,
    paths: &[PathBuf],
    folders: &PlanFolders,
    judge: &AttackJudge,
) -> Result<(Plan, Vec<Target>), TargetError> {
    let plan = folders.load(plan_name, None)?;
    if criteria(&plan).is_empty() {
        return Err(TargetError::NoRubric(plan.name));
    }
    let choice = match judge {
        // Answers beside a fixture are not asked for.
        AttackJudge::Credulous => JudgeChoice::Fixture,
        AttackJudge::Live(settings) => JudgeChoice::Live(settings.as_ref().clone()),
    };
    let mut targets = Vec::new();
    for (name, folder) in discover(paths)? {
        let fixture = Fixture::load(name, &folder, Some(plan_name), folders, &choice)?;
        let (side, leaning) = match fixture.expect {
            Expect::Retry => (Side::Submitter, Leaning::Rejects),
            Expect::Verified => (Side::Sender, Leaning::Accepts),
            Expect::Error => continue,
        };
        targets.push(Target {
            job: fixture.job,
            folder,
            side,
            judge: match judge {
                AttackJudge::Credulous => Judge::credulous(leaning),
                AttackJudge::Live(_) => fixture.judge,
            },
        });
    }
    match targets.is_empty() {
        true => Err(TargetError::Empty),
        false => Ok((plan, targets)),
    }
}

/// How attacks are made.
pub struct Attack {
    /// What verifies.
    pub trial: Trial,
    /// Verifications at a time.
    pub side_by_side: usize,
    /// Which defences, in turn.
    pub configurations: Vec<Configuration>,
    /// Who judges.
    pub judge: AttackJudge,
}

/// One verification to make.
struct Shot<'a> {
    /// None without an attack.
    class: Option<usize>,
    configuration: usize,
    job: Job,
    target: &'a Target,
}

/// What it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hit {
    Succeeded,
    Repelled,
    /// What the judge said leaves it to a person.
    Parked,
    /// Nobody judged: this says nothing of judge or defences.
    Trouble(ErrorKind),
}

impl Hit {
    /// Where no decision came of it.
    fn undecided(kind: ErrorKind) -> Self {
        match speaks_of_judge(kind) {
            true => Self::Parked,
            false => Self::Trouble(kind),
        }
    }
}

impl Attack {
    /// Attacks, and adds up; none where it was called off.
    pub async fn run(&self, plan: &Plan, targets: &[Target], progress: &Progress) -> Option<AttackReport> {
        let count = self.configurations.len();
        let side = |wanted: Side| targets.iter().filter(|target| target.side == wanted).count();
        let mut report = AttackReport {
            v: 1,
            plan: plan.reference(),
            judge: self.judge.as_str().to_owned(),
            models: Vec::new(),
            targets: [side(Side::Submitter), side(Side::Sender)]
                .map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
            configurations: self.configurations.iter().map(|one| one.name.clone()).collect(),
            wrong_unattacked: vec![0; count],
            undecided_unattacked: vec![0; count],
            troubles: BTreeMap::new(),
            classes: Class::ALL
                .iter()
                .map(|class| ClassReport::of(*class, count))
                .collect(),
        };
        let mut models = BTreeSet::new();
        let shots = self.shots(plan, targets);
        let mut running = stream::iter(shots)
            .take_while(|_| std::future::ready(!self.trial.cancel.is_cancelled()))
            .map(async |shot| {
                let name = shot.class.map_or("no attack", |class| Class::ALL[class].as_str());
                progress.begins(name);
                let (hit, models) = self.shoot(plan, &shot).await;
                progress.ends(name);
                (shot, hit, models)
            })
            .buffer_unordered(self.side_by_side.max(1));
        while let Some((shot, hit, named)) = running.next().await {
            models.extend(named);
            if let Hit::Trouble(kind) = hit {
                *report.troubles.entry(kind.to_string()).or_default() += 1;
            }
            let Some(class) = shot.class else {
                match hit {
                    Hit::Succeeded => report.wrong_unattacked[shot.configuration] += 1,
                    Hit::Parked | Hit::Trouble(_) => report.undecided_unattacked[shot.configuration] += 1,
                    Hit::Repelled => {}
                }
                continue;
            };
            let tally = &mut report.classes[class].tallies[shot.configuration];
            tally.attacks += 1;
            match hit {
                Hit::Succeeded => tally.succeeded += 1,
                Hit::Parked => tally.parked += 1,
                Hit::Trouble(_) => tally.troubled += 1,
                Hit::Repelled => {}
            }
        }
        drop(running);
        report.models = models.into_iter().collect();
        report
            .classes
            .retain(|class| class.tallies.iter().any(|tally| tally.attacks > 0));
        (!self.trial.cancel.is_cancelled()).then_some(report)
    }

    /// How many verifications there are to make.
    pub fn shots_in_all(&self, plan: &Plan, targets: &[Target]) -> usize {
        self.shots(plan, targets).len()
    }

    fn shots<'a>(&self, plan: &Plan, targets: &'a [Target]) -> Vec<Shot<'a>> {
        let criteria = criteria(plan);
        let mut shots = Vec::new();
        for configuration in 0..self.configurations.len() {
            for target in targets {
                let shot = |class, job| Shot {
                    class,
                    configuration,
                    job,
                    target,
                };
                shots.push(shot(None, target.job.clone()));
                for (index, class) in Class::ALL
                    .iter()
                    .enumerate()
                    .filter(|(_, class)| class.side() == target.side)
                {
                    let jobs = class.attack(&target.job, &criteria);
                    shots.extend(jobs.into_iter().map(|job| shot(Some(index), job)));
                }
            }
        }
        shots
    }

    async fn shoot(&self, plan: &Plan, shot: &Shot<'_>) -> (Hit, Vec<String>) {
        let defences = self.configurations[shot.configuration].defences;
        let build = |planned: &PlannedGrader, tools: &graders::Tools| {
            if planned.kind == graders::rubric::KIND.rules.name {
                weakened(planned, tools, defences)
            } else {
                graders::build(planned, tools)
            }
        };
        let Target {
            folder, side, judge, ..
        } = shot.target;
        let tried = self.trial.run(&shot.job, Some(folder), plan, judge, build).await;
        let wanted = match side {
            Side::Submitter => Outcome::Verified,
            Side::Sender => Outcome::Retry,
        };
        let hit = match tried.verification.decision {
            Ok(decision) if decision.outcome == wanted => Hit::Succeeded,
            Ok(_) => Hit::Repelled,
            Err(error) => Hit::undecided(error.kind),
        };
        (
            hit,
            tried.calls.into_iter().filter_map(|call| call.model).collect(),
        )
    }
}

/// Ids and weights of every rubric's criteria.
fn criteria(plan: &Plan) -> Vec<(String, f64)> {
    let lists = plan
        .graders
        .iter()
        .filter_map(|planned| planned.settings.get("criteria"));
    let criteria = lists.filter_map(|list| list.as_array()).flatten();
    let named = criteria.filter_map(|criterion| {
        let weight = criterion.get("weight").and_then(serde_json::Value::as_f64);
        Some((criterion.get("id")?.as_str()?.to_owned(), weight.unwrap_or(1.0)))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_judge_said_is_for_a_person_and_all_else_is_our_trouble() {
        assert_eq!(Hit::undecided(ErrorKind::JudgeOffMenu), Hit::Parked);
        assert_eq!(Hit::undecided(ErrorKind::InfluenceSuspected), Hit::Parked);
        for kind in [
            ErrorKind::ModelUnavailable,
            ErrorKind::ModelRequestRefused,
            ErrorKind::NoJudge,
            ErrorKind::DeadlineExceeded,
        ] {
            assert_eq!(Hit::undecided(kind), Hit::Trouble(kind));
        }
    }
}
