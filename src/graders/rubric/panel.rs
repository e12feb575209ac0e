//! How many judges are asked, and what their votes come to.
//!
//! A criterion is fulfilled where a strict majority of all votes says so; who gave no answer stays in the denominator, and a
//! tie fails. Where those who gave no answer could have turned it, nothing is decided: our trouble is no fail.

use super::answer::Answer;
use super::criterion::Criterion;
use crate::plan::Issue;
use crate::verdict::{ErrorKind, GradeError, Recourse, Score};

/// Most votes on one submission.
const MAX_VOTES: usize = 15;

/// Who is asked, as a plan says it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Panel {
    /// The model to ask, else the operator's default.
    pub(super) model: Option<String>,
    /// How often each model is asked.
    pub(super) samples: u32,
    /// Models that are all asked, instead of `model`.
    pub(super) jurors: Vec<String>,
    /// A stronger model for what the others leave open.
    pub(super) escalate_to: Option<String>,
    /// How close to the pass score a score is left open.
    pub(super) escalate_margin: f64,
    /// Price in cents from which there is more than one vote.
    pub(super) jury_above_cents: Option<i64>,
}

/// A place on the panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat<'a> {
    /// The model; the operator's default where the plan names none.
    pub(super) model: Option<&'a str>,
    /// Which of several askings of that model, from 0.
    pub(super) sample: u32,
}

impl Panel {
    /// Refuses what makes no panel.
    pub(super) fn check(&self) -> Result<(), Issue> {
        let models = self.jurors.len().max(1);
        let votes = models.saturating_mul(usize::try_from(self.samples).unwrap_or(usize::MAX));
        if !(1..=MAX_VOTES).contains(&votes) {
            let message = format!("models times samples must be from 1 to {MAX_VOTES} votes");
            return Err(Issue::new("samples", message));
        }
        let named_well = |name: &String| !name.trim().is_empty();
        let twice = |(index, name): (usize, &String)| self.jurors[..index].contains(name);
        if !self.jurors.iter().all(named_well) || self.jurors.iter().enumerate().any(twice) {
            let message =
                "must name different models: one that votes twice is no second opinion; see `samples`";
            return Err(Issue::new("jurors", message));
        }
        if self.model.is_some() && !self.jurors.is_empty() {
            return Err(Issue::new("model", "leave it out where `jurors` name the models"));
        }
        if !self.escalate_to.iter().all(named_well) {
            return Err(Issue::new("escalate_to", "must name a model"));
        }
        if let Some(stronger) = &self.escalate_to
            && self.asks(stronger)
        {
            let message =
                "must be another model than those that left it open: its answers would be read back to it";
            return Err(Issue::new("escalate_to", message));
        }
        if !(0.0..=1.0).contains(&self.escalate_margin) {
            return Err(Issue::new("escalate_margin", "must be from 0 to 1"));
        }
        if self.escalate_margin > 0.0 && self.escalate_to.is_none() {
            return Err(Issue::new(
                "escalate_margin",
                "needs `escalate_to`: who is asked then?",
            ));
        }
        if self.jury_above_cents.is_some() && votes == 1 {
            let message = "needs `jurors` or `samples`: there is one vote at any price";
            return Err(Issue::new("jury_above_cents", message));
        }
        Ok(())
    }

    /// Whether that model is one of those that vote, as far as the plan names them.
    pub(super) fn asks(&self, model: &str) -> bool {
        self.model.as_deref() == Some(model) || self.jurors.iter().any(|juror| juror == model)
    }

    /// Whether the operator's default is asked.
    pub(super) fn asks_default(&self) -> bool {
        self.model.is_none() && self.jurors.is_empty()
    }

    /// Who is asked about a job of that price. A job without a price counts as one of any price.
    pub(super) fn seats(&self, price_cents: Option<i64>) -> Vec<Seat<'_>> {
        let models: Vec<_> = if self.jurors.is_empty() {
            vec![self.model.as_deref()]
        } else {
            self.jurors.iter().map(|model| Some(model.as_str())).collect()
        };
        let cheap = match (self.jury_above_cents, price_cents) {
            (Some(limit), Some(price)) => price < limit,
            (Some(_) | None, _) => false,
        };
        let (models, samples) = if cheap {
            (&models[..1], 1)
        } else {
            (&models[..], self.samples)
        };
        models
            .iter()
            .flat_map(|model| {
                (0..samples).map(|sample| Seat {
                    model: *model,
                    sample,
                })
            })
            .collect()
    }
}

/// One vote: an answer for each criterion, or why there is none.
pub(super) type Vote = Result<Vec<Answer>, GradeError>;

/// What the votes come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Count {
    /// For each criterion whether it is met; none where the votes that are missing could have turned it.
    pub(super) met: Vec<Option<bool>>,
    /// Whether every vote is there and says the same.
    pub(super) unanimous: bool,
}

/// Counts the votes.
pub(super) fn count(criteria: &[Criterion], votes: &[Vote]) -> Count {
    let given: Vec<_> = votes.iter().filter_map(|vote| vote.as_ref().ok()).collect();
    let missing = votes.len() - given.len();
    let mut unanimous = missing == 0;
    let met = criteria.iter().enumerate().map(|(index, criterion)| {
        let fulfilled = given
            .iter()
            .filter(|answers| criterion.fulfilled(answers[index].met))
            .count();
        unanimous &= fulfilled == 0 || fulfilled == given.len();
        // Fulfilled is met, but for what must not be there.
        let as_met = |fulfilled: bool| fulfilled == criterion.fulfilled(true);
        if 2 * fulfilled > votes.len() {
            Some(as_met(true))
        } else if 2 * (fulfilled + missing) <= votes.len() {
            Some(as_met(false))
        } else {
            None
        }
    });
    let met = met.collect();
    Count { met, unanimous }
}

/// Whether a score is at most the margin away from another, in millionths as scores are: 0.75 is 0.05 away from 0.8, which
/// is more in floating point.
pub(super) fn is_within(margin: f64, score: Score, other: Score) -> bool {
    margin > 0.0
        && Score::new(margin)
            .is_ok_and(|margin| score.millionths().abs_diff(other.millionths()) <= margin.millionths())
}

/// Whether a grade error of one vote leaves the others standing: it says something of that judge, not of us as a whole.
pub(super) fn is_of_one_judge(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::JudgeOffMenu
            | ErrorKind::JudgeRefused
            | ErrorKind::ModelUnavailable
            | ErrorKind::ModelRateLimited
            | ErrorKind::ModelStreamCut
            | ErrorKind::ModelRequestRefused
    )
}

/// The error of votes that decide nothing: one that passes before one that stays, for the others' answers are kept, and only
/// the missing one is asked for again.
pub(super) fn worst(votes: &[Vote]) -> Option<GradeError> {
    let errors = || votes.iter().filter_map(|vote| vote.as_ref().err());
    let passing = errors().find(|error| error.recourse() == Recourse::Transient);
    passing.or_else(|| errors().next()).cloned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::criterion::EvidenceWanted;
    use super::*;

    fn criterion(weight: f64) -> Criterion {
        Criterion {
            id: "c".into(),
            text: "t".into(),
            weight,
            required: false,
            evidence: EvidenceWanted::None,
            hidden: false,
        }
    }

    fn votes(met: &[Option<bool>]) -> Vec<Vote> {
        let vote = |met: &Option<bool>| {
            met.map(|met| {
                vec![Answer {
                    met,
                    reason: "r".into(),
                    evidence: None,
                }]
            })
            .ok_or_else(|| GradeError::new(ErrorKind::JudgeOffMenu, "m"))
        };
        met.iter().map(vote).collect()
    }

    #[test]
    fn a_strict_majority_of_all_votes_decides_and_a_tie_fails() {
        let (yes, no, none) = (Some(true), Some(false), None);
        for (weight, given, met, unanimous) in [
            (1.0, vec![yes], yes, true),
            (1.0, vec![yes, yes, no], yes, false),
            (1.0, vec![yes, no, no], no, false),
            (1.0, vec![yes, no], no, false),
            // Two of three are enough, whatever the third would have said.
            (1.0, vec![yes, yes, none], yes, false),
            (1.0, vec![no, no, none], no, false),
            // One of three is none, and it hangs on the one that is missing.
            (1.0, vec![yes, no, none], none, false),
            (1.0, vec![yes, none, none], none, false),
            (1.0, vec![none], none, false),
            // For what must not be there, a tie fails as well: it counts as there.
            (-1.0, vec![yes, no], yes, false),
            (-1.0, vec![no, no, yes], no, false),
        ] {
            let count = count(&[criterion(weight)], &votes(&given));
            assert_eq!(
                (count.met[0], count.unanimous),
                (met, unanimous),
                "{weight} {given:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_missing_vote_turns_what_is_decided(
            given in prop::collection::vec(any::<Option<bool>>(), 1..8), weight in prop_oneof![Just(1.0), Just(-1.0)],
            filled in any::<[bool; 8]>(),
        ) {
            let criteria = [criterion(weight)];
            if let Some(met) = count(&criteria, &votes(&given)).met[0] {
                let whole: Vec<_> = given.iter().zip(filled).map(|(vote, fill)| Some(vote.unwrap_or(fill))).collect();
                prop_assert_eq!(count(&criteria, &votes(&whole)).met[0], Some(met));
            }
        }
    }

    fn panel(samples: u32, jurors: &[&str]) -> Panel {
        Panel {
            model: None,
            samples,
            jurors: jurors.iter().map(|name| (*name).to_owned()).collect(),
            escalate_to: None,
            escalate_margin: 0.0,
            jury_above_cents: None,
        }
    }

    #[test]
    fn a_score_exactly_a_margin_away_is_close() {
        let score = |number| Score::new(number).unwrap();
        for (margin, a, b, close) in [
            (0.05, 0.8, 0.75, true),
            (0.1, 0.8, 0.7, true),
            (0.1, 0.7, 0.8, true),
            (0.05, 0.800_001, 0.75, false),
            (0.0, 0.8, 0.8, false),
        ] {
            assert_eq!(is_within(margin, score(a), score(b)), close, "{margin} {a} {b}");
        }
    }

    #[test]
    fn a_cheap_job_is_judged_by_one_and_a_dear_one_by_all() {
        let panel = Panel {
            jury_above_cents: Some(1000),
            ..panel(2, &["a", "b"])
        };
        assert_eq!(panel.check().map_err(|issue| issue.message), Ok(()));
        let seat = |model, sample| Seat {
            model: Some(model),
            sample,
        };
        assert_eq!(panel.seats(Some(999)), [seat("a", 0)]);
        for price in [Some(1000), None] {
            assert_eq!(
                panel.seats(price),
                [seat("a", 0), seat("a", 1), seat("b", 0), seat("b", 1)]
            );
        }
    }

    #[test]
    fn what_makes_no_panel_is_refused() {
        let issue = |panel: Panel| {
            let issue = panel.check().unwrap_err();
            format!("{}: {}", issue.key, issue.message)
        };
        insta::assert_snapshot!(issue(panel(0, &[])), @"samples: models times samples must be from 1 to 15 votes");
        insta::assert_snapshot!(issue(panel(8, &["a", "b"])), @"samples: models times samples must be from 1 to 15 votes");
        insta::assert_snapshot!(issue(panel(1, &["a", "a"])), @"jurors: must name different models: one that votes twice is no second opinion; see `samples`");
        let margin = Panel {
            escalate_margin: 0.1,
            ..panel(1, &[])
        };
        insta::assert_snapshot!(issue(margin), @"escalate_margin: needs `escalate_to`: who is asked then?");
        for same in [
            Panel {
                model: Some("m".into()),
                escalate_to: Some("m".into()),
                ..panel(1, &[])
            },
            Panel {
                escalate_to: Some("b".into()),
                ..panel(1, &["a", "b"])
            },
        ] {
            assert_eq!(
                issue(same),
                "escalate_to: must be another model than those that left it open: its answers would be read back to it"
            );
        }
        let price = Panel {
            jury_above_cents: Some(1),
            ..panel(1, &[])
        };
        insta::assert_snapshot!(issue(price), @"jury_above_cents: needs `jurors` or `samples`: there is one vote at any price");
        let both = Panel {
            model: Some("m".into()),
            ..panel(1, &["a"])
        };
        insta::assert_snapshot!(issue(both), @"model: leave it out where `jurors` name the models");
    }
}
