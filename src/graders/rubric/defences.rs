//! What keeps a judge from being talked round, as switches: `assay attack` turns them off to see what each is worth.
//!
//! Every grader has all of them. There is one way to fewer, [`weakened`], and a test keeps it to `attack`.

use std::sync::Arc;

use super::grader::Rubric;
use crate::graders::{Grader, Tools};
use crate::plan::PlannedGrader;
use crate::verdict::GradeError;

/// One defence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defence {
    /// Hand-ins without a word, or with only an opening, fail unjudged, as the plan says.
    Gates,
    /// Strangers' texts stand between fences with a random number, and what looks like structure in them is taken apart.
    Fence,
    /// The criteria and the form of the answer come after the texts, so that no stranger has the last word.
    Restating,
    /// What is met must be shown by words that really were handed in.
    Quotes,
    /// The answer is one JSON object and nothing else; none is searched for in a text.
    Structured,
    /// Another model is asked whether the text tries to influence its grading, as the plan says.
    Influence,
}

impl Defence {
    /// All of them, in the order in which they come into play.
    pub const ALL: [Self; 6] = [
        Self::Gates,
        Self::Fence,
        Self::Restating,
        Self::Quotes,
        Self::Structured,
        Self::Influence,
    ];

    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gates => "gates",
            Self::Fence => "fence",
            Self::Restating => "restating",
            Self::Quotes => "quotes",
            Self::Structured => "structured",
            Self::Influence => "influence",
        }
    }
}

/// Which defences are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defences([bool; Defence::ALL.len()]);

impl Defences {
    /// All: what every verdict that counts is made with.
    pub const ALL: Self = Self([true; Defence::ALL.len()]);

    /// None.
    pub const NONE: Self = Self([false; Defence::ALL.len()]);

    /// The same with one of them on or off.
    #[must_use]
    pub fn with(mut self, defence: Defence, on: bool) -> Self {
        self.0[defence as usize] = on;
        self
    }

    /// Whether that one is on.
    pub fn has(self, defence: Defence) -> bool {
        self.0[defence as usize]
    }
}

/// A rubric grader with only these defences: for `assay attack`, whose verdicts decide nothing.
///
/// # Errors
/// As every grader's: where the plan cannot be used.
pub fn weakened(
    planned: &PlannedGrader,
    tools: &Tools,
    defences: Defences,
) -> Result<Arc<dyn Grader>, GradeError> {
    let mut rubric = Rubric::new(planned, tools)?;
    rubric.defences = defences;
    if !defences.has(Defence::Gates) {
        rubric.settings.gate = super::gate::Gate::default();
    }
    if !defences.has(Defence::Influence) {
        rubric.settings.influence = None;
    }
    if !defences.has(Defence::Restating) {
        rubric.template = rubric.template.texts_last();
    }
    Ok(Arc::new(rubric))
}
