//! What the series are told apart by.

use prometheus_client::encoding::EncodeLabelSet;

use super::CallEnd;
use crate::outcome::{GraderEnd, Outcome};

/// Stands for all that came after a family had grown too large.
const BEYOND: &str = "other";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LaneLabels {
    pub(super) lane: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KindLabel {
    pub(super) kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabel {
    pub(super) reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct EffectLabel {
    pub(super) effect: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct VerdictLabels {
    plan: String,
    grader: String,
    verdict: &'static str,
}

impl VerdictLabels {
    pub(super) fn new(plan: &str, grader: &str, verdict: GraderEnd) -> Self {
        Self {
            plan: plan.to_owned(),
            grader: grader.to_owned(),
            verdict: verdict.as_str(),
        }
    }

    pub(super) fn beyond(verdict: GraderEnd) -> Self {
        Self::new(BEYOND, BEYOND, verdict)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeLabels {
    plan: String,
    outcome: &'static str,
}

impl OutcomeLabels {
    pub(super) fn new(plan: &str, outcome: Outcome) -> Self {
        Self {
            plan: plan.to_owned(),
            outcome: outcome.as_str(),
        }
    }

    pub(super) fn beyond(outcome: Outcome) -> Self {
        Self::new(BEYOND, outcome)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CallLabels {
    pub(super) model: String,
    end: &'static str,
}

impl CallLabels {
    pub(super) fn new(model: &str, end: CallEnd) -> Self {
        Self {
            model: model.to_owned(),
            end: match end {
                CallEnd::Answered => "answered",
                CallEnd::Failed => "failed",
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TokenLabels {
    pub(super) model: String,
    pub(super) direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ModelLabel {
    pub(super) model: String,
}
