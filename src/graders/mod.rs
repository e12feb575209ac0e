//! Graders: the judges of a submission, and the registry of their kinds.
//!
//! A kind is one file (or folder) here and one line in [`KINDS`].

mod check;
mod context;
pub mod diff;
pub mod rubric;

use std::sync::Arc;

use async_trait::async_trait;

use crate::plan::{KindRules, PlannedGrader};
use crate::submission::Submission;
use crate::verdict::{GradeError, Verdict};
pub use context::{Context, JudgeSlots, Tools};

/// One judge of a submission.
#[async_trait]
pub trait Grader: Send + Sync {
    /// Its name in the plan.
    fn name(&self) -> &str;

    /// Judges the submission.
    ///
    /// # Errors
    /// A [`GradeError`] says that the trouble was ours or the sender's; it never says anything of the submission.
    async fn grade(&self, submission: &Submission, context: &Context) -> Result<Verdict, GradeError>;
}

/// Makes a grader from a plan's checked settings.
pub type Build = fn(&PlannedGrader, &Tools) -> Result<Arc<dyn Grader>, GradeError>;

/// A kind of grader.
pub struct Kind {
    /// What plans may say of it.
    pub rules: KindRules,
    /// Makes one.
    pub build: Build,
}

/// Every kind of grader.
pub static KINDS: &[&Kind] = &[&diff::KIND, &check::KIND, &rubric::KIND];

/// The rules of every kind, for reading plans.
pub fn rules() -> Vec<&'static KindRules> {
    KINDS.iter().map(|kind| &kind.rules).collect()
}

/// Makes a planned grader.
///
/// # Errors
/// Where the kind is not in the registry or the kind refuses the settings.
pub fn build(planned: &PlannedGrader, tools: &Tools) -> Result<Arc<dyn Grader>, GradeError> {
    let kind = KINDS
        .iter()
        .find(|kind| kind.rules.name == planned.kind)
        .ok_or_else(|| {
            let message = format!("`{}` is no kind of grader of this version", planned.kind);
            GradeError::new(crate::verdict::ErrorKind::PlanInvalid, message)
        })?;
    (kind.build)(planned, tools)
}
