//! Whether what was settled is what the receipt says.

use crate::journal::{Effect, Moved, SettlementRow};
use crate::outcome::Outcome;
use crate::receipt::Receipt;

/// How the money that moved differs from what was signed. How the price was divided between receiver and platform is signed
/// nowhere: only that it adds up is compared.
pub(super) fn moved_otherwise(receipt: &Receipt, settled: &SettlementRow) -> Option<String> {
    let moved = &settled.moved;
    let price = receipt.price_cents.unwrap_or(0);
    let effect = Effect::ALL
        .into_iter()
        .find(|effect| effect.as_str() == moved.effect);
    let fits = match (receipt.outcome, effect) {
        (Outcome::Verified, Some(Effect::Paid)) => {
            moved.paid_user == receipt.receiver
                && moved.amount_cents >= 0
                && moved.fee_cents >= 0
                && moved.amount_cents.checked_add(moved.fee_cents) == Some(price)
        }
        (Outcome::Retry, Some(Effect::Requeued)) => (moved.amount_cents, moved.fee_cents) == (0, 0),
        (Outcome::Retry, Some(Effect::Failed)) => (moved.amount_cents, moved.fee_cents) == (price, 0),
        (Outcome::Retry, Some(Effect::ReversedRequeued | Effect::ReversedFailed)) => settled
            .before
            .as_ref()
            .is_some_and(|paid| takes_back(moved, paid)),
        (Outcome::Verified | Outcome::Retry, _) => false,
    };
    (!fits).then(|| {
        let user = |user: &Option<String>| {
            user.as_ref()
                .map_or("nobody".to_owned(), |user| format!("`{user}`"))
        };
        format!(
            "{} with {} cents for {} and a fee of {}; signed was {} for {} at {price}",
            moved.effect,
            moved.amount_cents,
            user(&moved.paid_user),
            moved.fee_cents,
            receipt.outcome.as_str(),
            user(&receipt.receiver),
        )
    })
}

/// Whether exactly that payment was taken back.
fn takes_back(moved: &Moved, paid: &Moved) -> bool {
    let who = |moved: &Moved| (moved.paid_user.clone(), moved.fee_user.clone());
    paid.effect == Effect::Paid.as_str()
        && who(moved) == who(paid)
        && (moved.amount_cents, moved.fee_cents) == (paid.amount_cents, paid.fee_cents)
}
