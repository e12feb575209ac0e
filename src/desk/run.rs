//! Runs one fixture: collect, verify, keep the log, compare with what is expected.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fixture::Fixture;
use crate::causes::in_full;
use crate::clock::Clock;
use crate::entry::{Entry, VerificationId};
use crate::evidence::{Network, Sources};
use crate::graders::rubric::Judge;
use crate::graders::{Context, JudgeSlots, Tools};
use crate::job::Job;
use crate::journal::{self, Cause, Journal, JournalError, JournalKeeper, NewVerification};
use crate::log::Log;
use crate::outcome::{Expect, GraderReport, Verification};
use crate::plan::{Plan, Stage};
use crate::report::{ErrorReport, FixtureReport, LogLine};
use crate::sandbox::Sandbox;
use crate::submission::Submission;
use crate::verdict::{ErrorKind, GradeError, Recourse};
use crate::verify::verify_hand_in;

/// Longest verification at a desk.
const LONGEST: Duration = Duration::from_secs(600);

/// What desk runs share. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    /// Where verifications are kept.
    pub journal: Arc<dyn Journal>,
    /// Runs checks.
    pub sandbox: Sandbox,
    /// What time it is.
    pub clock: Clock,
    /// Calls everything off.
    pub cancel: CancellationToken,
}

impl Desk {
    /// Verifies the fixture's job and compares. Whatever goes wrong, a journal that fails among it, is in the report.
    pub async fn run(&self, fixture: &Fixture) -> FixtureReport {
        let started = Instant::now();
        let judge = fixture.judge.clone();
        let (verification, entries) = match self
            .verify(&fixture.job, &fixture.plan, judge, Some(fixture.folder.clone()))
            .await
        {
            Ok(ended) => ended,
            Err(error) => {
                let error = GradeError::new(ErrorKind::Journal, in_full(&error));
                (
                    Verification {
                        decision: Err(error),
                        graders: Vec::new(),
                        runtimes: BTreeMap::new(),
                    },
                    Vec::new(),
                )
            }
        };
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        compare(fixture, verification, entries, millis)
    }

    /// Verifies one job by a plan, its log kept in the journal.
    ///
    /// # Errors
    /// Only where the journal cannot be written.
    pub async fn verify(
        &self,
        job: &Job,
        plan: &Plan,
        judge: Judge,
        fixture: Option<PathBuf>,
    ) -> Result<(Verification, Vec<Entry>), JournalError> {
        let submission = Submission::of(job);
        let id = VerificationId::new();
        let new = NewVerification {
            id,
            job_id: job.id.clone(),
            attempt: submission.attempt,
            cause: Cause::Desk,
            plan: plan.reference(),
            submission: submission.digest,
            started_at: self.clock.now(),
        };
        self.journal.begin(&new).await?;
        let (log, reader) = Log::new(self.clock.clone(), submission.secrets.clone());
        let recorder = journal::record(Arc::clone(&self.journal), id, reader);
        let context = Context {
            log,
            clock: self.clock.clone(),
            cancel: self.cancel.clone(),
            deadline: Instant::now() + LONGEST,
            judge_slots: JudgeSlots::Unlimited,
        };
        let sources = Sources {
            fixture,
            network: Some(Network::default()),
            ..Sources::default()
        };
        let journal = Arc::clone(&self.journal);
        let tools = Tools {
            judge,
            // Whoever runs a fixture wants to hear the judge anew.
            calls: JournalKeeper::of(journal, id, (&job.id, new.attempt), false),
            sandbox: self.sandbox.clone(),
            reveal: plan.reveal,
        };
        let verification = verify_hand_in(submission, sources, plan, &tools, &context).await;
        drop(context);
        let entries = match recorder.await {
            Ok(entries) => entries?,
            Err(error) => return Err(JournalError::Lost(error.to_string())),
        };
        self.journal
            .conclude(id, &verification.decision, self.clock.now())
            .await?;
        Ok((verification, entries))
    }
}

fn compare(fixture: &Fixture, verification: Verification, entries: Vec<Entry>, millis: u64) -> FixtureReport {
    let Verification {
        decision, graders, ..
    } = verification;
    let outcome = decision
        .as_ref()
        .map_or(Expect::Error, |decision| decision.outcome.into());
    let score = decision.as_ref().ok().map(|decision| decision.score);
    let why = unexpected(
        fixture,
        outcome,
        score.map(|score| score.as_f64()),
        decision.as_ref().err(),
        &graders,
    );
    let asks_a_judge = fixture
        .plan
        .graders
        .iter()
        .any(|grader| grader.stage == Stage::Judge);
    FixtureReport {
        name: fixture.name.clone(),
        description: fixture.description.clone(),
        job_id: fixture.job.id.to_string(),
        expected: fixture.expect,
        expected_error: fixture.error,
        score_min: fixture.score_min,
        score_max: fixture.score_max,
        outcome,
        as_expected: why.is_none(),
        score,
        threshold: fixture.plan.threshold,
        plan: fixture.plan.name.clone(),
        judge: asks_a_judge.then(|| fixture.judge.mode().as_str().to_owned()),
        why,
        millis,
        error: decision.as_ref().err().map(ErrorReport::from),
        graders,
        log: entries.into_iter().map(log_line).collect(),
    }
}

fn log_line(entry: Entry) -> LogLine {
    let Entry {
        kind,
        content,
        audience,
        created_at,
    } = entry;
    LogLine {
        kind,
        content,
        audience,
        created_at,
    }
}

/// Says in one line what is not as expected.
fn unexpected(
    fixture: &Fixture,
    outcome: Expect,
    score: Option<f64>,
    error: Option<&GradeError>,
    graders: &[GraderReport],
) -> Option<String> {
    if outcome != fixture.expect {
        let because = match error {
            Some(error) => error.to_string().replace('\n', " "),
            None => because(graders),
        };
        return Some(format!(
            "expected {}, came out {outcome}: {because}",
            fixture.expect
        ));
    }
    if let Some(error) = error {
        // Trouble of ours that passes is what a fixture asks for only where it names it: else a full disk or a Ctrl-C
        // would look like what was expected.
        match fixture.error {
            Some(wanted) if wanted != error.kind => {
                return Some(format!("expected the error {wanted}, met {error}"));
            }
            None if error.recourse() == Recourse::Transient => {
                return Some(format!(
                    "trouble of ours that passes, which the fixture does not name: {error}"
                ));
            }
            Some(_) | None => {}
        }
    }
    match (score, fixture.score_min, fixture.score_max) {
        (Some(score), Some(least), _) if score < least => {
            Some(format!("the score is {score:.3}, below score_min {least}"))
        }
        (Some(score), _, Some(most)) if score > most => {
            Some(format!("the score is {score:.3}, above score_max {most}"))
        }
        _ => None,
    }
}

/// The reasons of the graders that did not pass; of all, where all passed.
fn because(graders: &[GraderReport]) -> String {
    use crate::outcome::GraderEnd;
    let reason = |report: &GraderReport| format!("{} ({})", report.reason.replace('\n', " "), report.name);
    let failed: Vec<_> = graders
        .iter()
        .filter(|report| matches!(report.verdict, GraderEnd::Fail | GraderEnd::Error))
        .map(reason)
        .collect();
    if failed.is_empty() {
        graders.iter().map(reason).collect::<Vec<_>>().join("; ")
    } else {
        failed.join("; ")
    }
}
