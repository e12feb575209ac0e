//! Which criteria a rubric's verdict says are met.

use crate::verdict::Verdict;

/// Begins the label of a criterion's evidence; its id follows.
const CRITERION: &str = "criterion:";

/// Begins its text where it is met; `not met` else.
const MET: &str = "met";

/// The id of each criterion of a rubric's verdict, and whether it is met. Nothing for verdicts of other kinds.
pub fn criteria_met(verdict: &Verdict) -> Vec<(String, bool)> {
    let evidence = verdict.evidence.iter();
    let answers = evidence.filter_map(|evidence| {
        let id = evidence.label.strip_prefix(CRITERION)?;
        Some((id.to_owned(), evidence.text.starts_with(MET)))
    });
    answers.collect()
}
