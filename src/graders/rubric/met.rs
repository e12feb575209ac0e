//! How a rubric's verdict tells which criteria are met: written and read in one place.

use crate::verdict::Verdict;

/// Begins the label of a criterion's evidence; its id follows.
const CRITERION: &str = "criterion:";

/// Begin its text; a colon and the reason follow.
const MET: &str = "met";
const NOT_MET: &str = "not met";

/// The label of a criterion's evidence.
pub fn criterion_label(id: &str) -> String {
    format!("{CRITERION}{id}")
}

/// The word of an answer.
pub fn met_word(met: bool) -> &'static str {
    if met { MET } else { NOT_MET }
}

/// Whether the text of a criterion's evidence says that it is met, and why. `None`: it is no such text.
pub fn read_answer(text: &str) -> Option<(bool, &str)> {
    let said = |met| text.strip_prefix(met_word(met))?.strip_prefix(": ");
    said(true)
        .map(|why| (true, why))
        .or_else(|| said(false).map(|why| (false, why)))
}

/// The id of each criterion of a rubric's verdict, and whether it is met. Nothing for verdicts of other kinds.
pub fn criteria_met(verdict: &Verdict) -> Vec<(String, bool)> {
    let evidence = verdict.evidence.iter();
    let answers = evidence.filter_map(|evidence| {
        let id = evidence.label.strip_prefix(CRITERION)?;
        let (met, _) = read_answer(&evidence.text)?;
        Some((id.to_owned(), met))
    });
    answers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_is_written() {
        for met in [true, false] {
            assert_eq!(
                read_answer(&format!("{}: why", met_word(met))),
                Some((met, "why"))
            );
        }
        assert_eq!(read_answer("metric: 3"), None);
    }
}
