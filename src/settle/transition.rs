//! The table of transitions (DESIGN.md section 6), as a pure function.

use std::collections::BTreeMap;

use super::exception::{Exception, status_word};
use super::settings::{SettleSettings, WHOLE};
use crate::job::{Job, JobStatus};
use crate::journal::{Applied, Change, Decided, Effect, HoldReason, Movement, Situation, Transition};
use crate::message::OutcomeMessage;
use crate::outcome::Outcome;
use crate::submission::Submission;

/// What the decision does to the job that was found. The receipt was believed before.
///
/// # Errors
/// What is not in the table, and what contradicts the locked row: nothing moves.
pub fn transition(
    settings: &SettleSettings,
    message: &OutcomeMessage,
    found: &Situation,
) -> Result<Transition, Exception> {
    // Whatever the message says: `Settler` looks whether somebody has altered one that differs.
    if found.applied {
        return Ok(Transition::AlreadyApplied);
    }
    match found.decided {
        Decided::Same => {}
        Decided::Other => return Err(Exception::DecisionDiffers),
        Decided::Unknown => return Err(Exception::UnknownDecision),
    }
    let job = found.job.as_ref().ok_or(Exception::NoSuchJob)?;
    if found.overturned {
        return Err(Exception::Overturned);
    }
    let moved_on = Exception::MovedOn {
        status: status_word(job.status),
        attempt: job.attempt_count,
        decided: message.attempt,
    };
    if job.attempt_count != message.attempt {
        return Err(moved_on);
    }
    let change = match (job.status, message.outcome, &found.superseded) {
        (JobStatus::Submitted, Outcome::Verified, _) => {
            compare(job, message)?;
            let change = payout(settings, job)?;
            let moved = check_balances(change, found)?;
            return brake(settings, job, moved, found);
        }
        (JobStatus::Submitted, Outcome::Retry, _) => {
            compare(job, message)?;
            retry(settings, job)?
        }
        (JobStatus::Verified, Outcome::Retry, Some(paid))
            if paid.effect == Effect::Paid && paid.job_id == job.id.as_str() =>
        {
            compare(job, message)?;
            reversal(paid, message, retry(settings, job)?)
        }
        _ => return Err(moved_on),
    };
    check_balances(change, found).map(Transition::Apply)
}

/// What was signed, against the locked row.
fn compare(job: &Job, message: &OutcomeMessage) -> Result<(), Exception> {
    let receipt = &message.receipt;
    if job.receiver != receipt.receiver {
        let user = |user: &Option<String>| {
            user.as_ref()
                .map_or("nobody".to_owned(), |user| format!("`{user}`"))
        };
        return Err(Exception::ReceiverDiffers {
            found: user(&job.receiver),
            signed: user(&receipt.receiver),
        });
    }
    if job.price_cents != receipt.price_cents {
        let cents = |cents: Option<i64>| cents.map_or("none".to_owned(), |cents| cents.to_string());
        return Err(Exception::PriceDiffers {
            found: cents(job.price_cents),
            signed: cents(receipt.price_cents),
        });
    }
    if Submission::of(job).digest != receipt.submission {
        return Err(Exception::SubmissionDiffers);
    }
    if job.price_cents.is_some_and(|cents| cents < 0) {
        return Err(Exception::Price);
    }
    Ok(())
}

fn payout(settings: &SettleSettings, job: &Job) -> Result<Change, Exception> {
    let price = job.price_cents.unwrap_or(0);
    let receiver = job.receiver.as_ref().ok_or(Exception::NoReceiver)?;
    let fee = fee(price, settings.fee_basis_points);
    let fee_user = settings.platform_user.as_ref().filter(|_| fee > 0);
    let mut movements = vec![Movement {
        user: receiver.clone(),
        delta: price - fee,
        reason: format!("payout:{}", job.id),
    }];
    movements.extend(fee_user.map(|user| Movement {
        user: user.clone(),
        delta: fee,
        reason: format!("fee:{}", job.id),
    }));
    Ok(Change {
        effect: Effect::Paid,
        movements,
        user: Some(receiver.clone()),
        amount_cents: price - fee,
        fee_user: fee_user.cloned(),
        fee_cents: fee,
    })
}

/// The fee, rounded down to a cent. Never above the price: basis points are at most 10,000.
fn fee(price: i64, basis_points: u32) -> i64 {
    let fee = i128::from(price) * i128::from(basis_points) / i128::from(WHOLE);
    i64::try_from(fee).unwrap_or(price)
}

/// The attempt counter moves: the job is open again, or it has failed and the sender has his money back.
fn retry(settings: &SettleSettings, job: &Job) -> Result<Change, Exception> {
    let attempts = job.attempt_count.saturating_add(1);
    if attempts < settings.max_attempts {
        return Ok(Change {
            effect: Effect::Requeued,
            movements: Vec::new(),
            user: None,
            amount_cents: 0,
            fee_user: None,
            fee_cents: 0,
        });
    }
    let price = job.price_cents.unwrap_or(0);
    Ok(Change {
        effect: Effect::Failed,
        movements: vec![Movement {
            user: job.sender.clone(),
            delta: price,
            reason: format!("refund:{}", job.id),
        }],
        user: Some(job.sender.clone()),
        amount_cents: price,
        fee_user: None,
        fee_cents: 0,
    })
}

/// The payment is taken back from whom it went to, before the job goes the way of a retry.
fn reversal(paid: &Applied, message: &OutcomeMessage, retry: Change) -> Change {
    let back = [(&paid.user, paid.amount_cents), (&paid.fee_user, paid.fee_cents)];
    let mut movements: Vec<_> = back
        .into_iter()
        .filter_map(|(user, cents)| {
            Some(Movement {
                user: user.clone()?,
                delta: -cents,
                reason: format!("reversal:{}", message.verification_id),
            })
        })
        .collect();
    movements.extend(retry.movements);
    Change {
        effect: match retry.effect {
            Effect::Failed | Effect::ReversedFailed => Effect::ReversedFailed,
            Effect::Requeued | Effect::ReversedRequeued | Effect::Paid => Effect::ReversedRequeued,
        },
        movements,
        user: paid.user.clone(),
        amount_cents: paid.amount_cents,
        fee_user: paid.fee_user.clone(),
        fee_cents: paid.fee_cents,
    }
}

/// Movements of nothing are left out; the rest must end with balances that exist, fit, and are not below zero.
fn check_balances(mut change: Change, found: &Situation) -> Result<Change, Exception> {
    change.movements.retain(|movement| movement.delta != 0);
    let mut balances: BTreeMap<&str, i64> = found
        .balances
        .iter()
        .map(|(user, cents)| (user.as_str(), *cents))
        .collect();
    for Movement { user, delta, .. } in &change.movements {
        let balance = balances
            .get_mut(user.as_str())
            .ok_or_else(|| Exception::NoSuchUser(user.clone()))?;
        let after = balance
            .checked_add(*delta)
            .ok_or_else(|| Exception::Overflow(user.clone()))?;
        if after < 0 {
            return Err(Exception::BalanceTooLow {
                user: user.clone(),
                balance: *balance,
                needed: -delta,
            });
        }
        *balance = after;
    }
    Ok(change)
}

/// A payment that is right may still have to wait. Approval opens every brake but the pause.
fn brake(
    settings: &SettleSettings,
    job: &Job,
    change: Change,
    found: &Situation,
) -> Result<Transition, Exception> {
    let price_cents = job.price_cents.unwrap_or(0);
    let hold = |reason| Ok(Transition::Hold { reason, price_cents });
    if found.paused {
        return hold(HoldReason::Paused);
    }
    if found.held.is_some_and(|(_, approved)| approved) {
        return Ok(Transition::Apply(change));
    }
    // What would never fit into an hour waits for a person, not for room.
    let limits = [settings.hold_above_cents, settings.max_paid_per_hour_cents];
    if limits.into_iter().flatten().any(|limit| price_cents > limit) {
        return hold(HoldReason::Price);
    }
    if let Some(limit) = settings.max_paid_per_hour_cents {
        // Whoever waits for room goes first, so that a large payment is not passed by small ones for ever.
        let waits = matches!(found.held, Some((HoldReason::Rate, _)));
        let room = limit.saturating_sub(found.paid_last_hour);
        if price_cents > room || (found.others_wait && !waits) {
            return hold(HoldReason::Rate);
        }
    }
    Ok(Transition::Apply(change))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn job(price_cents: Option<i64>, receiver: Option<&str>) -> Job {
        serde_json::from_value(serde_json::json!({
            "id": "j", "status": "submitted", "prompt": "p", "title": "t", "sender": "s",
            "receiver": receiver, "price_cents": price_cents,
            "created_at": "2026-11-24T09:00:00Z", "updated_at": "2026-11-24T09:00:00Z",
        }))
        .unwrap()
    }

    fn found(balances: &[(&str, i64)]) -> Situation {
        Situation {
            applied: false,
            decided: Decided::Same,
            job: None,
            superseded: None,
            overturned: false,
            balances: balances
                .iter()
                .map(|(user, cents)| ((*user).to_owned(), *cents))
                .collect(),
            paused: false,
            held: None,
            paid_last_hour: 0,
            others_wait: false,
        }
    }

    fn with_fee(fee_basis_points: u32) -> SettleSettings {
        SettleSettings {
            fee_basis_points,
            platform_user: Some("platform".to_owned()),
            ..SettleSettings::default()
        }
    }

    #[test]
    fn a_balance_that_would_not_fit_and_a_user_who_is_not_there_are_exceptions() {
        let change = payout(&with_fee(0), &job(Some(1), Some("r"))).unwrap();
        let result = check_balances(change.clone(), &found(&[("r", i64::MAX)]));
        assert_eq!(result, Err(Exception::Overflow("r".to_owned())));
        let result = check_balances(change, &found(&[("s", 0)]));
        assert_eq!(result, Err(Exception::NoSuchUser("r".to_owned())));
        assert_eq!(
            payout(&with_fee(0), &job(Some(1), None)),
            Err(Exception::NoReceiver)
        );
    }

    #[test]
    fn movements_of_one_user_add_up() {
        let change = payout(&with_fee(5_000), &job(Some(3), Some("platform"))).unwrap();
        let change = check_balances(change, &found(&[("platform", i64::MAX - 3)])).unwrap();
        assert_eq!(
            change
                .movements
                .iter()
                .map(|movement| movement.delta)
                .sum::<i64>(),
            3
        );
    }

    proptest! {
        #[test]
        fn fee_and_payout_are_the_price_and_neither_is_below_zero(price in 0..=i64::MAX, points in 0..=WHOLE) {
            let change = payout(&with_fee(points), &job(Some(price), Some("r"))).unwrap();
            prop_assert_eq!(change.amount_cents + change.fee_cents, price);
            prop_assert!(change.amount_cents >= 0 && change.fee_cents >= 0);
            let exact = i128::from(price) * i128::from(points);
            prop_assert!(i128::from(change.fee_cents) * 10_000 <= exact);
        }
    }
}
