//! What settlement tells of what it does: in its log and its metrics.

use super::apply::SettleTrouble;
use crate::causes::in_full;
use crate::journal::Settled;
use crate::metrics::Metrics;

pub(super) fn tell_trouble(trouble: &SettleTrouble) {
    tracing::warn!(
        error = in_full(trouble),
        "settlement: outcomes wait until this trouble is over"
    );
}

pub(super) fn tell(settled: &Settled, metrics: &Metrics) {
    match settled {
        Settled::Applied(effect) => {
            metrics.settled(effect.as_str());
            tracing::debug!(effect = effect.as_str(), "outcome applied");
        }
        Settled::Already => tracing::debug!("outcome applied before"),
        Settled::Held(reason) => tracing::info!(reason = reason.as_str(), "outcome held"),
        Settled::Exception(reason) => {
            metrics.exception(reason);
            tracing::warn!(reason, "outcome not applied: look at `assay settle exceptions`");
        }
    }
}
