//! Whether a judge may be paid on: what a calibration must show.

use serde::Serialize;

use super::agreement::Confusion;

/// Fewest cases with a decision: below, even a perfect judge's interval is wide.
const LEAST_CASES: u64 = 30;

/// Fewest cases of each label: a rate of false accepts needs something to be accepted falsely.
const LEAST_OF_A_CLASS: u64 = 8;

/// Most cases without a decision, as one in so many: what they would have come to is not known.
const MOST_ERRORS_ONE_IN: u64 = 10;

/// What the caller asks for beyond that.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Demands {
    /// Least kappa.
    pub min_kappa: f64,
    /// Most cases that were accepted falsely, in any sample.
    pub max_false_accepts: Option<u64>,
}

/// Why a judge is not blessed.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Too little to tell anything.
    #[error(
        "{decided} cases with a decision are too few to tell a judge from luck: label at least {LEAST_CASES}"
    )]
    TooFewCases {
        /// Cases with a decision.
        decided: u64,
    },
    /// One answer would always be right.
    #[error(
        "every label is `{label}`: a judge that always says so would be perfect; add cases that must come out otherwise"
    )]
    OneClass {
        /// The only label.
        label: &'static str,
    },
    /// Too few cases of one label.
    #[error("only {count} cases are labelled `{label}`: label at least {LEAST_OF_A_CLASS}")]
    TooFewOfAClass {
        /// The label.
        label: &'static str,
        /// Its cases.
        count: u64,
    },
    /// Luck explains it.
    #[error(
        "the judge cannot be told from chance: the 95 % interval of kappa begins at {low:.3}, not above 0; take a better \
         model, clearer criteria, or more cases"
    )]
    NotAboveChance {
        /// Low end of kappa's interval.
        low: f64,
    },
    /// Not good enough.
    #[error("kappa is {kappa:.3}, below the {wanted} that is asked for")]
    KappaTooLow {
        /// Kappa.
        kappa: f64,
        /// The least that is wanted.
        wanted: f64,
    },
    /// It pays for too much that is nothing.
    #[error("cases accepted falsely: {count}, more than the {most} allowed")]
    TooManyFalseAccepts {
        /// Cases accepted falsely in any sample.
        count: u64,
        /// The most that are allowed.
        most: u64,
    },
    /// Too many cases without a decision.
    #[error(
        "{errors} of {cases} cases came to no decision, more than one in {MOST_ERRORS_ONE_IN}: mend that first"
    )]
    TooManyErrors {
        /// Cases without a decision.
        errors: u64,
        /// All cases.
        cases: u64,
    },
    /// Nobody was asked.
    #[error(
        "no judge was asked: the plan has no rubric, or its gates decide every case; there is nothing to calibrate"
    )]
    NoJudge,
    /// No judge was heard.
    #[error("the judge's answers were written by hand: they say nothing of a model; run with --judge live")]
    WrittenByHand,
}

/// Every reason not to bless; none where the judge may be paid on.
///
/// `errors` are cases without a decision, `false_accepts` cases that were accepted falsely in any sample.
pub fn bless(confusion: &Confusion, errors: u64, false_accepts: u64, demands: &Demands) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let decided = confusion.total();
    if decided < LEAST_CASES {
        refusals.push(Refusal::TooFewCases { decided });
    }
    let classes = [
        ("verified", confusion.labelled_yes(), confusion.labelled_no()),
        ("retry", confusion.labelled_no(), confusion.labelled_yes()),
    ];
    for (label, count, others) in classes {
        if others == 0 && count > 0 {
            refusals.push(Refusal::OneClass { label });
        } else if (1..LEAST_OF_A_CLASS).contains(&count) {
            refusals.push(Refusal::TooFewOfAClass { label, count });
        }
    }
    let low = confusion.kappa_interval().map(|interval| interval.low);
    if decided > 0 && low.is_none_or(|low| low <= 0.0) {
        refusals.push(Refusal::NotAboveChance {
            low: low.unwrap_or(0.0),
        });
    } else if let Some(kappa) = confusion.kappa().filter(|kappa| *kappa < demands.min_kappa) {
        refusals.push(Refusal::KappaTooLow {
            kappa,
            wanted: demands.min_kappa,
        });
    }
    if let Some(most) = demands.max_false_accepts.filter(|most| false_accepts > *most) {
        refusals.push(Refusal::TooManyFalseAccepts {
            count: false_accepts,
            most,
        });
    }
    let cases = decided + errors;
    if errors * MOST_ERRORS_ONE_IN > cases {
        refusals.push(Refusal::TooManyErrors { errors, cases });
    }
    refusals
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMANDS: Demands = Demands {
        min_kappa: 0.6,
        max_false_accepts: None,
    };

    fn table(true_accepts: u64, false_accepts: u64, false_rejects: u64, true_rejects: u64) -> Confusion {
        Confusion {
            true_accepts,
            false_accepts,
            false_rejects,
            true_rejects,
        }
    }

    fn refusals(confusion: Confusion, errors: u64, demands: Demands) -> String {
        let refusals = bless(&confusion, errors, confusion.false_accepts, &demands);
        let lines: Vec<_> = refusals.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn a_judge_that_agrees_on_many_cases_is_blessed() {
        assert_eq!(refusals(table(92, 7, 8, 93), 0, DEMANDS), "");
        assert_eq!(refusals(table(92, 7, 8, 93), 20, DEMANDS), "");
    }

    #[test]
    fn luck_is_not_blessed_however_good_it_looks() {
        insta::assert_snapshot!(refusals(table(4, 0, 0, 4), 0, DEMANDS), @"
        8 cases with a decision are too few to tell a judge from luck: label at least 30
        only 4 cases are labelled `verified`: label at least 8
        only 4 cases are labelled `retry`: label at least 8
        ");
        insta::assert_snapshot!(refusals(table(190, 10, 0, 0), 0, DEMANDS), @"the judge cannot be told from chance: the 95 % interval of kappa begins at 0.000, not above 0; take a better model, clearer criteria, or more cases");
        insta::assert_snapshot!(refusals(table(50, 50, 50, 50), 0, DEMANDS), @"the judge cannot be told from chance: the 95 % interval of kappa begins at -0.134, not above 0; take a better model, clearer criteria, or more cases");
        insta::assert_snapshot!(refusals(table(200, 0, 0, 0), 0, DEMANDS), @"
        every label is `verified`: a judge that always says so would be perfect; add cases that must come out otherwise
        the judge cannot be told from chance: the 95 % interval of kappa begins at 0.000, not above 0; take a better model, clearer criteria, or more cases
        ");
    }

    #[test]
    fn what_the_caller_asks_for_is_refused_by_number() {
        let strict = Demands {
            min_kappa: 0.9,
            max_false_accepts: Some(6),
        };
        insta::assert_snapshot!(refusals(table(92, 7, 8, 93), 23, strict), @"
        kappa is 0.850, below the 0.9 that is asked for
        cases accepted falsely: 7, more than the 6 allowed
        23 of 223 cases came to no decision, more than one in 10: mend that first
        ");
    }
}
