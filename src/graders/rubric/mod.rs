//! `rubric`: a language model judges the submission by weighted criteria.
//!
//! The submission is a stranger's text, and so is the task: both are shown to the judge as fenced data
//! (`fence`), and the judge's answer counts only where it is exactly one JSON object with one answer for each
//! criterion (`answer`) whose evidence is really there (`quotes`). Whatever else comes back is our trouble, a
//! [`GradeError`], never a verdict.

mod answer;
mod asking;
mod bookkeeping;
mod credulous;
mod criterion;
mod defences;
mod excerpt;
mod fence;
mod finding;
mod form;
mod gate;
mod grader;
mod influence;
mod judge;
mod keeper;
mod kept;
mod listener;
mod live;
mod members;
mod met;
mod model;
mod money;
mod panel;
mod picture;
mod prompt;
mod question;
mod quotes;
mod recorded;
mod score;
mod scripted;
mod settings;
mod shown;
mod template;
mod under_way;
mod vote;

use std::sync::Arc;

use super::{Grader, Kind, Tools};
use crate::plan::{KindRules, PlannedGrader, Stage};
use crate::verdict::GradeError;
pub use credulous::Leaning;
pub use defences::{Defence, Defences, weakened};
pub use judge::{Judge, JudgeError, JudgeMode};
pub use keeper::{CallKeeper, Paid, nothing_kept};
pub use met::{criteria_met, criterion_label, met_word, read_answer};
pub use model::{JudgeSettings, ResponseFormat, UnknownResponseFormat};
pub use money::{Money, Price};

/// The kind `rubric`.
pub static KIND: Kind = Kind {
    rules: KindRules {
        name: "rubric",
        stage: Stage::Judge,
        check: settings::check,
        check_files: grader::check_files,
        schema: settings::schema,
    },
    build,
};

fn build(planned: &PlannedGrader, tools: &Tools) -> Result<Arc<dyn Grader>, GradeError> {
    Ok(Arc::new(grader::Rubric::new(planned, tools)?))
}
