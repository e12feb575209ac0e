//! What a scrape shows.

use super::series::MAX_SERIES;
use super::*;
use crate::digest::Digest;
use crate::outcome::Outcome;
use crate::plan::PlanRef;
use crate::verdict::{ErrorKind, Score};

fn report(name: &str, verdict: GraderEnd) -> GraderReport {
    GraderReport {
        name: name.to_owned(),
        kind: "check".to_owned(),
        verdict,
        score: None,
        reason: String::new(),
        millis: 20,
    }
}

fn decision(plan: &str) -> Decision {
    Decision {
        outcome: Outcome::Retry,
        score: Score::ZERO,
        threshold: 0.5,
        plan: PlanRef {
            name: plan.to_owned(),
            digest: Digest::of(b"plan"),
        },
        submission: Digest::of(b"submission"),
        evidence: Digest::of(b"evidence"),
    }
}

/// The lines of the family, without help and buckets.
fn lines(metrics: &Metrics, family: &str) -> String {
    let text = metrics.render().unwrap();
    let mut lines: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with(family) && !line.contains("_bucket"))
        .collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn a_delivery_is_in_flight_until_it_is_let_go() {
    let metrics = Metrics::new();
    let first = metrics.delivered("assay.submitted", false);
    let second = metrics.delivered("assay.submitted", true);
    drop(first);
    assert_eq!(
        lines(&metrics, "assay_in_flight"),
        "assay_in_flight{lane=\"assay.submitted\"} 1"
    );
    drop(second);
    assert_eq!(
        lines(&metrics, "assay_in_flight"),
        "assay_in_flight{lane=\"assay.submitted\"} 0"
    );
    assert_eq!(
        lines(&metrics, "assay_deliveries"),
        "assay_deliveries_total{lane=\"assay.submitted\"} 2"
    );
    assert_eq!(
        lines(&metrics, "assay_redeliveries"),
        "assay_redeliveries_total{lane=\"assay.submitted\"} 1"
    );
}

#[test]
fn a_verification_is_counted_by_plan_grader_and_verdict_and_what_was_not_asked_is_not() {
    let metrics = Metrics::new();
    let verification = Verification {
        decision: Err(GradeError::new(ErrorKind::ModelUnavailable, "down")),
        runtimes: std::collections::BTreeMap::new(),
        graders: vec![
            report("shape", GraderEnd::Pass),
            report("tone", GraderEnd::Error),
            report("style", GraderEnd::Skipped),
        ],
    };
    metrics.verified("csv", &verification, Duration::from_millis(30));
    insta::assert_snapshot!(lines(&metrics, "assay_verdicts"), @r#"
    assay_verdicts_total{plan="csv",grader="shape",verdict="pass"} 1
    assay_verdicts_total{plan="csv",grader="tone",verdict="error"} 1
    "#);
    assert_eq!(
        lines(&metrics, "assay_grade_errors"),
        "assay_grade_errors_total{kind=\"model-unavailable\"} 1"
    );
    insta::assert_snapshot!(lines(&metrics, "assay_grading_seconds"), @r#"
    assay_grading_seconds_count{kind="check"} 2
    assay_grading_seconds_sum{kind="check"} 0.04
    "#);
}

#[test]
fn the_names_in_a_strangers_plan_are_no_labels() {
    let metrics = Metrics::new();
    for name in ["one", "two"] {
        let verification = Verification {
            decision: Ok(decision("inline")),
            runtimes: std::collections::BTreeMap::new(),
            graders: vec![report(name, GraderEnd::Fail)],
        };
        metrics.verified("inline", &verification, Duration::from_millis(30));
    }
    assert_eq!(
        lines(&metrics, "assay_verdicts"),
        "assay_verdicts_total{plan=\"inline\",grader=\"check\",verdict=\"fail\"} 2"
    );
}

#[test]
fn however_many_plans_there_are_the_series_are_bounded() {
    let metrics = Metrics::new();
    for index in 0..MAX_SERIES + 10 {
        metrics.published(&decision(&format!("plan-{index}")), Duration::from_secs(1));
    }
    let outcomes = lines(&metrics, "assay_outcomes");
    assert_eq!(outcomes.lines().count(), MAX_SERIES + 1);
    assert!(outcomes.contains("assay_outcomes_total{plan=\"other\",outcome=\"retry\"} 10"));
}

#[test]
fn a_call_of_a_model_counts_its_tokens_also_when_it_failed_and_its_cost_where_known() {
    let metrics = Metrics::new();
    let mut usage = Usage {
        input_tokens: 900,
        output_tokens: 50,
        cost_dollars: Some(0.25),
    };
    metrics.model_called("m", CallEnd::Answered, usage, Duration::from_secs(2));
    usage.cost_dollars = None;
    metrics.model_called("m", CallEnd::Failed, usage, Duration::from_secs(2));
    insta::assert_snapshot!(lines(&metrics, "assay_llm"), @r#"
    assay_llm_call_seconds_count 2
    assay_llm_call_seconds_sum 4.0
    assay_llm_calls_total{model="m",end="answered"} 1
    assay_llm_calls_total{model="m",end="failed"} 1
    assay_llm_cost_dollars_total{model="m"} 0.25
    assay_llm_tokens_total{model="m",direction="input"} 1800
    assay_llm_tokens_total{model="m",direction="output"} 100
    "#);
}

/// Something of everything.
fn all() -> Metrics {
    let metrics = Metrics::new();
    let verification = Verification {
        decision: Err(GradeError::new(ErrorKind::ModelUnavailable, "down")),
        runtimes: std::collections::BTreeMap::new(),
        graders: vec![report("shape", GraderEnd::Pass)],
    };
    let moment = Duration::from_millis(5);
    drop(metrics.delivered("assay.submitted", true));
    metrics.verified("csv", &verification, moment);
    metrics.published(&decision("csv"), moment);
    metrics.parked("stale");
    metrics.closed("cancelled");
    metrics.parked_open(3, Duration::from_secs(90));
    metrics.swept("lease-ended");
    metrics.committed(7, moment);
    metrics.confirmed(moment);
    metrics.broker_losses(1);
    let usage = Usage {
        cost_dollars: Some(0.25),
        ..Usage::default()
    };
    metrics.model_called("m", CallEnd::Answered, usage, moment);
    metrics.sandbox_children(2);
    metrics.settled("paid");
    metrics.exception("receipt-unknown-key");
    metrics
}

#[test]
fn a_scrape_is_open_metrics_text_with_every_family() {
    let text = all().render().unwrap();
    assert!(text.ends_with("# EOF\n"));
    let families: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    insta::assert_snapshot!(families.join("\n"), @"
    assay_deliveries counter
    assay_redeliveries counter
    assay_in_flight gauge
    assay_verdicts counter
    assay_outcomes counter
    assay_grade_errors counter
    assay_grading_seconds histogram
    assay_verification_seconds histogram
    assay_lag_seconds histogram
    assay_parked counter
    assay_closed counter
    assay_parked_open gauge
    assay_oldest_parked_seconds gauge
    assay_swept counter
    assay_journal_batch_jobs histogram
    assay_journal_commit_seconds histogram
    assay_publish_confirm_seconds histogram
    assay_broker_losses counter
    assay_llm_calls counter
    assay_llm_call_seconds histogram
    assay_llm_tokens counter
    assay_llm_cost_dollars counter
    assay_sandbox_children gauge
    assay_settlements counter
    assay_exceptions counter
    ");
}

#[test]
fn every_family_is_explained_to_the_operator() {
    let page = include_str!("../../docs/deploying.md");
    let text = all().render().unwrap();
    for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = match family.split_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, _) => name.to_owned(),
        };
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/deploying.md says nothing of {name}"
        );
    }
}
