//! What calls of models cost, and how much may be spent.

use std::collections::BTreeMap;

use serde::Deserialize;
use uuid::Uuid;

use crate::model_call::{Reservation, Spent, TokenUsage};
use crate::verdict::{ErrorKind, GradeError};

/// Millionths of a cent in a cent.
const MICROCENTS: f64 = 1e6;

/// What the operator says of money.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Money {
    /// Prices by the name of the model as it is asked for.
    pub prices: BTreeMap<String, Price>,
    /// Most that a job's judges may cost, in cents, at all its attempts.
    pub max_cents_per_job: Option<f64>,
    /// Most that all judges may cost a day (UTC), in cents.
    pub max_cents_per_day: Option<f64>,
}

/// What a model costs, in cents for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Tokens of the question.
    pub input: f64,
    /// Tokens of the answer, its reasoning included.
    pub output: f64,
}

impl Price {
    /// Whether both are amounts that somebody could ask for.
    pub fn is_sound(self) -> bool {
        [self.input, self.output]
            .into_iter()
            .all(|price| price.is_finite() && price >= 0.0)
    }

    /// What that many tokens cost, in millionths of a cent, rounded up.
    fn of(self, usage: TokenUsage) -> u64 {
        #[expect(clippy::cast_precision_loss, reason = "counts of tokens are far below 2^53")]
        let tokens = |count: u64| count as f64;
        // A cent for a million tokens is a millionth of a cent for each.
        whole(tokens(usage.prompt_tokens) * self.input + tokens(usage.completion_tokens) * self.output)
    }
}

impl Money {
    /// Whether there are ceilings at all, for which it has to be added up what was spent.
    pub(super) fn has_ceilings(&self) -> bool {
        self.max_cents_per_job.is_some() || self.max_cents_per_day.is_some()
    }

    /// What a call of that model costs, in millionths of a cent; none where it has no price.
    pub(super) fn cost(&self, model: &str, usage: TokenUsage) -> Option<u64> {
        self.prices.get(model).map(|price| price.of(usage))
    }

    /// What a call of about so many tokens may cost, against the ceilings.
    ///
    /// # Errors
    /// Where nobody can say what it may cost.
    pub(super) fn reservation(
        &self,
        call: Uuid,
        model: &str,
        estimate: TokenUsage,
    ) -> Result<Reservation, GradeError> {
        let Some(more) = self.cost(model, estimate) else {
            let message = format!(
                "there is a ceiling on what judges may cost, and no price of `{model}`: add it under [judge.prices]"
            );
            return Err(GradeError::new(ErrorKind::NoJudge, message));
        };
        let most = |ceiling: Option<f64>| ceiling.map(|cents| whole(cents * MICROCENTS));
        Ok(Reservation {
            call,
            more,
            max_on_job: most(self.max_cents_per_job),
            max_today: most(self.max_cents_per_day),
        })
    }
}

/// Says that there is no room for a call. Where both ceilings are reached, the job's: it is not higher tomorrow.
pub(super) fn refusal(reservation: &Reservation, spent: Spent) -> GradeError {
    if reservation.exceeds_job(spent.on_job) {
        let message = format!(
            "{} were spent on this job's judges, and another call may exceed judge.max_cents_per_job; look at it \
                 yourself, or raise it",
            in_cents(spent.on_job)
        );
        return GradeError::new(ErrorKind::SpendCeilingJob, message);
    }
    let message = format!(
        "{} were spent on judges today, and another call may exceed judge.max_cents_per_day; it goes on \
                 tomorrow, or when that is raised",
        in_cents(spent.today)
    );
    GradeError::new(ErrorKind::SpendCeilingDay, message)
}

/// An amount for people.
pub(super) fn in_cents(microcents: u64) -> String {
    format!(
        "{}.{:04} cents",
        microcents / 1_000_000,
        microcents % 1_000_000 / 100
    )
}

fn whole(amount: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an amount is not negative, and one beyond u64 is cut off there"
    )]
    let whole = amount.max(0.0).ceil() as u64;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(prompt_tokens: u64, completion_tokens: u64) -> TokenUsage {
        TokenUsage {
            prompt_tokens,
            completion_tokens,
        }
    }

    fn money(max_cents_per_job: Option<f64>, max_cents_per_day: Option<f64>) -> Money {
        let price = Price {
            input: 250.0,
            output: 1000.5,
        };
        Money {
            prices: [("m".to_owned(), price)].into(),
            max_cents_per_job,
            max_cents_per_day,
        }
    }

    #[test]
    fn tokens_times_price_are_millionths_of_a_cent() {
        let money = money(None, None);
        assert_eq!(money.cost("m", usage(1_000_000, 0)), Some(250_000_000));
        assert_eq!(money.cost("m", usage(10, 3)), Some(5_502));
        assert_eq!(money.cost("other", usage(10, 3)), None);
        assert_eq!(in_cents(2_512_345), "2.5123 cents");
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(
                !Price {
                    input: wrong,
                    output: 0.0
                }
                .is_sound()
            );
        }
    }

    #[test]
    fn what_may_exceed_a_ceiling_is_not_asked() {
        // Half a cent each.
        let estimate = usage(2_000, 0);
        let spent = |on_job, today| Spent { on_job, today };
        let refused = |money: Money, spent| {
            let reservation = money.reservation(Uuid::nil(), "m", estimate).unwrap();
            reservation
                .exceeds(spent)
                .then(|| refusal(&reservation, spent).kind)
        };
        assert_eq!(refused(money(Some(1.0), None), spent(500_000, 9_000_000)), None);
        assert_eq!(
            refused(money(Some(1.0), None), spent(500_001, 0)),
            Some(ErrorKind::SpendCeilingJob)
        );
        assert_eq!(
            refused(money(None, Some(1.0)), spent(0, 500_001)),
            Some(ErrorKind::SpendCeilingDay)
        );
        let error = money(Some(1.0), None)
            .reservation(Uuid::nil(), "other", estimate)
            .unwrap_err();
        insta::assert_snapshot!(error, @"no-judge: there is a ceiling on what judges may cost, and no price of `other`: add it under [judge.prices]");
    }
}
