//! The series themselves, registered under their names.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::labels::{
    CallLabels, EffectLabel, KindLabel, LaneLabels, ModelLabel, OutcomeLabels, ReasonLabel, TokenLabels,
    VerdictLabels,
};

/// Most series of one family whose labels are names of the operator's.
pub(super) const MAX_SERIES: usize = 2000;

/// Upper bounds in seconds of what takes a moment: commits, confirms.
const MOMENTS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Upper bounds in seconds of what takes as long as a judge: grading, and the way from submission to outcome.
const MINUTES: [f64; 15] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0, 60.0, 300.0, 600.0,
];

/// Upper bounds of the jobs that share a transaction.
const BATCHES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

pub(super) struct Series {
    pub(super) registry: Registry,
    pub(super) deliveries: Family<LaneLabels, Counter>,
    pub(super) redeliveries: Family<LaneLabels, Counter>,
    pub(super) in_flight: Family<LaneLabels, Gauge>,
    pub(super) verdicts: Bounded<VerdictLabels>,
    pub(super) outcomes: Bounded<OutcomeLabels>,
    pub(super) grade_errors: Family<KindLabel, Counter>,
    pub(super) grading_seconds: Family<KindLabel, Histogram>,
    pub(super) verification_seconds: Histogram,
    pub(super) lag_seconds: Histogram,
    pub(super) parked: Family<ReasonLabel, Counter>,
    pub(super) closed: Family<ReasonLabel, Counter>,
    pub(super) parked_open: Gauge,
    pub(super) oldest_parked_seconds: Gauge<f64, AtomicU64>,
    pub(super) swept: Family<ReasonLabel, Counter>,
    pub(super) journal_batch_jobs: Histogram,
    pub(super) journal_commit_seconds: Histogram,
    pub(super) publish_confirm_seconds: Histogram,
    pub(super) broker_losses: Counter,
    pub(super) llm_calls: Family<CallLabels, Counter>,
    pub(super) llm_call_seconds: Histogram,
    pub(super) llm_tokens: Family<TokenLabels, Counter>,
    pub(super) llm_cost_dollars: Family<ModelLabel, Counter<f64, AtomicU64>>,
    pub(super) sandbox_children: Gauge,
    pub(super) settlements: Family<EffectLabel, Counter>,
    pub(super) exceptions: Family<ReasonLabel, Counter>,
}

/// Registers a clone of the metric and gives it back. The exporter adds the unit and `_total` to the name.
fn register<M: Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    unit: Option<Unit>,
    help: &str,
    metric: M,
) -> M {
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, metric.clone()),
        None => registry.register(name, help, metric.clone()),
    }
    metric
}

impl Series {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("assay");
        let r = &mut registry;
        let seconds = || Some(Unit::Seconds);
        let histogram = |bounds: &[f64]| Histogram::new(bounds.iter().copied());
        Self {
            deliveries: register(r, "deliveries", None, "Messages delivered", Family::default()),
            redeliveries: register(
                r,
                "redeliveries",
                None,
                "Of these, messages that the broker had delivered before",
                Family::default(),
            ),
            in_flight: register(
                r,
                "in_flight",
                None,
                "Deliveries that are not acknowledged yet",
                Family::default(),
            ),
            verdicts: Bounded::new(register(
                r,
                "verdicts",
                None,
                "How graders ended, by plan and grader",
                Family::default(),
            )),
            outcomes: Bounded::new(register(
                r,
                "outcomes",
                None,
                "Decisions published and confirmed",
                Family::default(),
            )),
            grade_errors: register(
                r,
                "grade_errors",
                None,
                "Trouble that was not the submitter's",
                Family::default(),
            ),
            grading_seconds: register(
                r,
                "grading",
                seconds(),
                "Time of one grader",
                Family::new_with_constructor(|| Histogram::new(MINUTES)),
            ),
            verification_seconds: register(
                r,
                "verification",
                seconds(),
                "Time of one verification",
                histogram(&MINUTES),
            ),
            lag_seconds: register(
                r,
                "lag",
                seconds(),
                "From a submission's arrival to its confirmed outcome",
                histogram(&MINUTES),
            ),
            parked: register(
                r,
                "parked",
                None,
                "Submissions set aside for a person",
                Family::default(),
            ),
            closed: register(
                r,
                "closed",
                None,
                "Submissions closed without a decision",
                Family::default(),
            ),
            parked_open: register(
                r,
                "parked_open",
                None,
                "What waits for a person",
                Gauge::default(),
            ),
            oldest_parked_seconds: register(
                r,
                "oldest_parked",
                seconds(),
                "How long the oldest of these has waited",
                Gauge::default(),
            ),
            swept: register(
                r,
                "swept",
                None,
                "What the sweeper brought back or published again",
                Family::default(),
            ),
            journal_batch_jobs: register(
                r,
                "journal_batch",
                Some(Unit::Other("jobs".to_owned())),
                "Jobs that shared a transaction",
                histogram(&BATCHES),
            ),
            journal_commit_seconds: register(
                r,
                "journal_commit",
                seconds(),
                "Time of one transaction",
                histogram(&MOMENTS),
            ),
            publish_confirm_seconds: register(
                r,
                "publish_confirm",
                seconds(),
                "Time from a publish to the broker's confirm",
                histogram(&MOMENTS),
            ),
            broker_losses: register(
                r,
                "broker_losses",
                None,
                "Connections to the broker that broke",
                Counter::default(),
            ),
            llm_calls: register(r, "llm_calls", None, "Calls of models", Family::default()),
            llm_call_seconds: register(
                r,
                "llm_call",
                seconds(),
                "Time of one call of a model",
                histogram(&MINUTES),
            ),
            llm_tokens: register(
                r,
                "llm",
                Some(Unit::Other("tokens".to_owned())),
                "Tokens of models",
                Family::default(),
            ),
            llm_cost_dollars: register(
                r,
                "llm_cost",
                Some(Unit::Other("dollars".to_owned())),
                "What calls of models cost, where prices are known",
                Family::default(),
            ),
            sandbox_children: register(
                r,
                "sandbox_children",
                None,
                "Processes that run checks",
                Gauge::default(),
            ),
            settlements: register(r, "settlements", None, "Decisions applied", Family::default()),
            exceptions: register(
                r,
                "exceptions",
                None,
                "Outcomes that settlement did not apply",
                Family::default(),
            ),
            registry,
        }
    }
}

/// A family whose labels are names of the operator's: however many there are, memory stays bounded.
pub(super) struct Bounded<S> {
    family: Family<S, Counter>,
    created: AtomicUsize,
}

impl<S: Clone + Hash + Eq> Bounded<S> {
    fn new(family: Family<S, Counter>) -> Self {
        Self {
            family,
            created: AtomicUsize::new(0),
        }
    }

    /// Counts one for the labels, or for `beyond` once the family is full.
    pub(super) fn inc(&self, labels: &S, beyond: impl FnOnce() -> S) {
        if let Some(counter) = self.family.get(labels) {
            counter.inc();
            return;
        }
        if self.created.fetch_add(1, Ordering::Relaxed) < MAX_SERIES {
            self.family.get_or_create(labels).inc();
        } else {
            self.family.get_or_create(&beyond()).inc();
        }
    }
}
