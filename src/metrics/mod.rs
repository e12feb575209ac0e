//! What the pool counts and measures, for Prometheus. docs/deploying.md says what each is good for.
//!
//! Names begin with `assay_` and end with their unit. Labels are bounded: they are words of ours, names of the operator's
//! plans and models, never a stranger's text (inline plans count as `inline`, their graders by kind).

mod labels;
mod series;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;

use crate::outcome::{Decision, GraderEnd, GraderReport, Verification};
use crate::verdict::GradeError;
use labels::{
    CallLabels, EffectLabel, KindLabel, LaneLabels, ModelLabel, OutcomeLabels, ReasonLabel, TokenLabels,
    VerdictLabels,
};
use series::Series;

/// What [`Metrics::render`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The pool's counters, gauges and histograms. Cheap to clone; methods are named for what happened.
#[derive(Clone)]
pub struct Metrics(Arc<Series>);

/// A delivery that is in flight until this is dropped.
#[must_use = "the delivery is in flight as long as this lives"]
pub struct InFlight {
    metrics: Metrics,
    lane: &'static str,
}

/// How a call of a model ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallEnd {
    /// With an answer.
    Answered,
    /// With an error, or cut off.
    Failed,
}

/// What a call of a model used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Tokens of the question.
    pub input_tokens: u64,
    /// Tokens of the answer, its reasoning included.
    pub output_tokens: u64,
    /// What it cost, in US dollars, where the price is known.
    pub cost_dollars: Option<f64>,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        Self(Arc::new(Series::new()))
    }

    /// A message was delivered from the lane's queue.
    pub fn delivered(&self, lane: &'static str, redelivered: bool) -> InFlight {
        let labels = LaneLabels { lane };
        self.0.deliveries.get_or_create(&labels).inc();
        if redelivered {
            self.0.redeliveries.get_or_create(&labels).inc();
        }
        self.0.in_flight.get_or_create(&labels).inc();
        InFlight {
            metrics: self.clone(),
            lane,
        }
    }

    /// A verification ended after `took`: counts its graders' verdicts, and its grade error if it ended with one.
    pub fn verified(&self, plan: &str, verification: &Verification, took: Duration) {
        for report in &verification.graders {
            self.graded(plan, report);
        }
        self.0.verification_seconds.observe(took.as_secs_f64());
        if let Err(error) = &verification.decision {
            self.grade_error(error);
        }
    }

    fn graded(&self, plan: &str, report: &GraderReport) {
        let kind = report.kind.as_str();
        match report.verdict {
            GraderEnd::Skipped => return,
            GraderEnd::Pass | GraderEnd::Fail | GraderEnd::Error => {}
        }
        // An inline plan is a stranger's, and so are its names.
        let grader = if plan == "inline" { kind } else { &report.name };
        let labels = VerdictLabels::new(plan, grader, report.verdict);
        let beyond = || VerdictLabels::beyond(report.verdict);
        self.0.verdicts.inc(&labels, beyond);
        let kind = KindLabel {
            kind: kind.to_owned(),
        };
        let seconds = Duration::from_millis(report.millis).as_secs_f64();
        self.0.grading_seconds.get_or_create(&kind).observe(seconds);
    }

    /// Trouble of ours or the sender's, within a verification or around it.
    pub fn grade_error(&self, error: &GradeError) {
        let kind = error.kind.as_str().to_owned();
        self.0.grade_errors.get_or_create(&KindLabel { kind }).inc();
    }

    /// A decision is published and confirmed, `lag` after the submission was first received.
    pub fn published(&self, decision: &Decision, lag: Duration) {
        let labels = OutcomeLabels::new(&decision.plan.name, decision.outcome);
        let beyond = || OutcomeLabels::beyond(decision.outcome);
        self.0.outcomes.inc(&labels, beyond);
        self.0.lag_seconds.observe(lag.as_secs_f64());
    }

    /// A submission was set aside for a person. `reason` is a word of ours.
    pub fn parked(&self, reason: &'static str) {
        self.0.parked.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A submission was closed without a decision. `reason` is a word of ours.
    pub fn closed(&self, reason: &'static str) {
        self.0.closed.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// What waits for a person: how many, and how long the oldest has.
    pub fn parked_open(&self, count: u64, oldest: Duration) {
        self.0.parked_open.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.0.oldest_parked_seconds.set(oldest.as_secs_f64());
    }

    /// The sweeper brought back an overdue submission or published an unconfirmed decision again. `reason` is a word of
    /// ours.
    pub fn swept(&self, reason: &'static str) {
        self.0.swept.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A transaction that `jobs` shared was committed after `took`.
    pub fn committed(&self, jobs: usize, took: Duration) {
        #[expect(clippy::cast_precision_loss, reason = "batches hold a few hundred jobs")]
        self.0.journal_batch_jobs.observe(jobs as f64);
        self.0.journal_commit_seconds.observe(took.as_secs_f64());
    }

    /// The broker confirmed a message after `took`.
    pub fn confirmed(&self, took: Duration) {
        self.0.publish_confirm_seconds.observe(took.as_secs_f64());
    }

    /// Connections to the broker have been lost, `total` times since the process started.
    pub fn broker_losses(&self, total: u64) {
        let losses = &self.0.broker_losses;
        losses.inc_by(total.saturating_sub(losses.get()));
    }

    /// A model was called. `model` is the operator's name for it.
    pub fn model_called(&self, model: &str, end: CallEnd, usage: Usage, took: Duration) {
        let series = &self.0;
        let labels = CallLabels::new(model, end);
        series.llm_calls.get_or_create(&labels).inc();
        series.llm_call_seconds.observe(took.as_secs_f64());
        for (direction, tokens) in [("input", usage.input_tokens), ("output", usage.output_tokens)] {
            let labels = TokenLabels {
                model: labels.model.clone(),
                direction,
            };
            series.llm_tokens.get_or_create(&labels).inc_by(tokens);
        }
        let cost = usage.cost_dollars.filter(|cost| cost.is_finite() && *cost >= 0.0);
        if let Some(cost) = cost {
            let labels = ModelLabel { model: labels.model };
            series.llm_cost_dollars.get_or_create(&labels).inc_by(cost);
        }
    }

    /// How many processes run checks now.
    pub fn sandbox_children(&self, count: usize) {
        self.0
            .sandbox_children
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Settlement applied a decision. `effect` is a word of ours.
    pub fn settled(&self, effect: &'static str) {
        self.0.settlements.get_or_create(&EffectLabel { effect }).inc();
    }

    /// Settlement set an outcome aside and moved nothing. `reason` is a word of ours.
    pub fn exception(&self, reason: &'static str) {
        self.0.exceptions.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// All of it in the `OpenMetrics` text format.
    ///
    /// # Errors
    /// Never in practice: writing to a text cannot fail.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(16 << 10);
        encode(&mut text, &self.0.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let labels = LaneLabels { lane: self.lane };
        self.metrics.0.in_flight.get_or_create(&labels).dec();
    }
}

#[cfg(test)]
mod tests;
