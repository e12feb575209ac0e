//! A verification that leaves nothing behind: for measuring a plan, not for deciding a job.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::digest::Digest;
use crate::evidence::{Network, Sources};
use crate::graders::rubric::{CallKeeper, Judge, Paid};
use crate::graders::{Context, Grader, JudgeSlots, Tools};
use crate::job::Job;
use crate::log::Log;
use crate::model_call::{ModelCall, Spent};
use crate::outcome::Verification;
use crate::plan::{Plan, PlannedGrader};
use crate::sandbox::Sandbox;
use crate::submission::Submission;
use crate::verdict::{ErrorKind, GradeError, Verdict};
use crate::verify::{collect_hand_in, undecided, verify_with};

/// Longest trial.
const LONGEST: Duration = Duration::from_secs(600);

/// What the calls of a run's trials cost so far. Cheap to clone; all clones add up.
#[derive(Debug, Clone, Default)]
pub struct RunningCost(Arc<AtomicU64>);

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
        let notes = Arc::new(Notes {
            noting: Mutex::default(),
            cost_so_far: self.cost_so_far.clone(),
        });
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
                    let notes = Arc::clone(&notes);
                    Ok(Arc::new(Noted { grader, notes }) as Arc<dyn Grader>)
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
        let mut inner = notes.noting.lock().unwrap_or_else(PoisonError::into_inner);
        Tried {
            verification,
            verdicts: std::mem::take(&mut inner.verdicts),
            calls: std::mem::take(&mut inner.calls),
        }
    }
}

/// What is written down of a trial.
struct Notes {
    noting: Mutex<Noting>,
    cost_so_far: RunningCost,
}

#[derive(Default)]
struct Noting {
    verdicts: BTreeMap<String, Verdict>,
    calls: Vec<ModelCall>,
}

/// A trial pays for each of its questions: what it measures is what the judge says when it is asked.
#[async_trait]
impl CallKeeper for Notes {
    async fn keep(&self, call: &ModelCall) -> Result<(), GradeError> {
        let mut inner = self.noting.lock().unwrap_or_else(PoisonError::into_inner);
        inner.calls.push(call.clone());
        let cost = call.cost_microcents.unwrap_or_default();
        self.cost_so_far.0.fetch_add(cost, Ordering::Relaxed);
        Ok(())
    }

    async fn paid(&self, _key: Digest) -> Result<Paid, GradeError> {
        Ok(Paid::Nothing)
    }

    async fn spent(&self) -> Result<Spent, GradeError> {
        let inner = self.noting.lock().unwrap_or_else(PoisonError::into_inner);
        let costs = inner.calls.iter().filter_map(|call| call.cost_microcents);
        Ok(Spent {
            on_job: costs.sum(),
            today: self.cost_so_far.0.load(Ordering::Relaxed),
        })
    }
}

/// A grader whose verdicts are written down whole.
struct Noted {
    grader: Arc<dyn Grader>,
    notes: Arc<Notes>,
}

#[async_trait]
impl Grader for Noted {
    fn name(&self) -> &str {
        self.grader.name()
    }

    async fn grade(&self, submission: &Submission, context: &Context) -> Result<Verdict, GradeError> {
        let verdict = self.grader.grade(submission, context).await?;
        let mut inner = self.notes.noting.lock().unwrap_or_else(PoisonError::into_inner);
        inner.verdicts.insert(self.name().to_owned(), verdict.clone());
        Ok(verdict)
    }
}
