//! A verification that leaves nothing behind: for measuring a plan, not for deciding a job.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::notes::{Noted, Notes, RunningCost};
use crate::clock::Clock;
use crate::evidence::{Network, Sources};
use crate::graders::rubric::Judge;
use crate::graders::{Context, Grader, JudgeSlots, Tools};
use crate::job::Job;
use crate::log::Log;
use crate::model_call::ModelCall;
use crate::outcome::Verification;
use crate::plan::{Plan, PlannedGrader};
use crate::sandbox::Sandbox;
use crate::submission::Submission;
use crate::verdict::{ErrorKind, GradeError, Verdict};
use crate::verify::{collect_hand_in, undecided, verify_with};

/// Longest trial.
const LONGEST: Duration = Duration::from_secs(600);

/// What trials share. Cheap to clone.
#[derive(Clone)]
pub struct Trial {
    /// Runs checks.
    pub sandbox: Sandbox,
    /// What time it is.
    pub clock: Clock,
    /// Calls everything off.
    pub cancel: CancellationToken,
    /// What they may not exceed: the ceiling of a day is that of the run, for a desk remembers no other.
    pub cost_so_far: RunningCost,
}

/// Whether a verification that ended with such an error says something of its judge: what it said is what went wrong.
/// Everything else is trouble of ours, and says nothing.
pub fn speaks_of_judge(error: ErrorKind) -> bool {
    matches!(
        error,
        ErrorKind::JudgeOffMenu
            | ErrorKind::JudgeRefused
            | ErrorKind::JudgeInputTooLarge
            | ErrorKind::JudgeInputRedacted
            | ErrorKind::InfluenceSuspected
    )
}

/// What a trial came to.
#[derive(Debug)]
pub struct Tried {
    /// The decision and the graders' words.
    pub verification: Verification,
    /// Each grader's whole verdict by its name, of those that gave one.
    pub verdicts: BTreeMap<String, Verdict>,
    /// The calls of models that it took, those that failed among them.
    pub calls: Vec<ModelCall>,
}

impl Trial {
    /// Verifies a job by a plan. `fixture` is the folder that the job's attachments may lie in. `build` makes the graders:
    /// [`crate::graders::build`], or one that weakens them on purpose.
    pub async fn run(
        &self,
        job: &Job,
        fixture: Option<&Path>,
        plan: &Plan,
        judge: &Judge,
        build: impl Fn(&PlannedGrader, &Tools) -> Result<Arc<dyn Grader>, GradeError>,
    ) -> Tried {
        let submission = Submission::of(job);
        let (log, mut reader) = Log::new(self.clock.clone(), submission.secrets.clone());
        let notes = Arc::new(Notes::new(self.cost_so_far.clone()));
        let tools = Tools {
            sandbox: self.sandbox.clone(),
            judge: judge.clone(),
            calls: notes.clone(),
            reveal: plan.reveal,
        };
        let context = Context {
            log,
            clock: self.clock.clone(),
            cancel: self.cancel.clone(),
            deadline: Instant::now() + LONGEST,
            judge_slots: JudgeSlots::Unlimited,
        };
        let sources = Sources {
            fixture: fixture.map(Path::to_owned),
            network: Some(Network::default()),
            ..Sources::default()
        };
        let grading = async {
            let graders: Result<Vec<_>, _> = plan
                .graders
                .iter()
                .map(|planned| {
                    let grader = build(planned, &tools)?;
                    Ok(Arc::new(Noted::new(grader, &notes)) as Arc<dyn Grader>)
                })
                .collect();
            let collected = collect_hand_in(submission, sources, &context).await;
            let verification = match (graders, collected) {
                (Ok(graders), Ok(submission)) => verify_with(&submission, plan, &graders, &context).await,
                (Err(error), _) | (_, Err(error)) => undecided(error, Vec::new(), &context).await,
            };
            drop(context);
            verification
        };
        let read_away = async { while reader.recv().await.is_some() {} };
        let (verification, ()) = tokio::join!(grading, read_away);
        let (verdicts, calls) = notes.take();
        Tried {
            verification,
            verdicts,
            calls,
        }
    }
}
