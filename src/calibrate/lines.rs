//! A calibration as lines for a terminal or a pipe: what pays out wrongly first.

use std::io::{self, Write};

use super::agreement::{Confusion, Interval, RESAMPLES, wilson};
use super::report::{CalibrationReport, CaseReport, CriterionReport};
use crate::entry::{cut, escape_control};

/// Disagreements that are listed; the page and the JSON have all.
const LISTED: usize = 12;

/// Longest name of a case in a line, in bytes.
const MAX_NAME_BYTES: usize = 60;

/// Writes the report.
///
/// # Errors
/// Where `out` cannot be written.
pub fn write_lines(report: &CalibrationReport, out: &mut impl Write) -> io::Result<()> {
    head(report, out)?;
    table(report, out)?;
    figures(report, out)?;
    criteria(&report.criteria, out)?;
    spending(report, out)?;
    disagreements(&report.cases, out)?;
    writeln!(out)?;
    if report.blessed {
        return writeln!(
            out,
            "blessed: the judge agrees with the labels beyond chance and as asked for"
        );
    }
    for refusal in &report.refusals {
        writeln!(out, "refused: {refusal}")?;
    }
    Ok(())
}

fn head(report: &CalibrationReport, out: &mut impl Write) -> io::Result<()> {
    let subject = &report.subject;
    let judges = match subject.judges.is_empty() {
        true => "no judge was asked".to_owned(),
        false => format!("judge {}", subject.judges.join(", ")),
    };
    let models = match subject.models.is_empty() {
        true => String::new(),
        false => format!(" ({})", escape_control(&subject.models.join(", "))),
    };
    writeln!(
        out,
        "plan {} ({}) on {} cases, {} each; {judges}{models}",
        escape_control(&subject.plan.name),
        subject.plan.digest.short(),
        report.cases.len(),
        times(subject.samples),
    )?;
    if subject.left_out > 0 {
        writeln!(
            out,
            "left out: {} fixtures that expect an error",
            subject.left_out
        )?;
    }
    Ok(())
}

fn table(report: &CalibrationReport, out: &mut impl Write) -> io::Result<()> {
    let Confusion {
        true_accepts,
        false_accepts,
        false_rejects,
        true_rejects,
    } = report.confusion;
    writeln!(out)?;
    writeln!(out, "                    judge: verified   judge: retry")?;
    writeln!(
        out,
        "  label: retry      {false_accepts:>15} ! {true_rejects:>14}"
    )?;
    writeln!(
        out,
        "  label: verified   {true_accepts:>15}   {false_rejects:>14}"
    )?;
    writeln!(out, "  no decision       {:>15}", report.errors)
}

fn figures(report: &CalibrationReport, out: &mut impl Write) -> io::Result<()> {
    let confusion = &report.confusion;
    writeln!(out)?;
    rate(
        out,
        "false accepts",
        confusion.false_accepts,
        confusion.labelled_no(),
        "must not be paid",
    )?;
    rate(
        out,
        "false rejects",
        confusion.false_rejects,
        confusion.labelled_yes(),
        "must be paid",
    )?;
    figure(
        out,
        "accuracy",
        report.accuracy,
        report.accuracy_interval,
        "Wilson",
    )?;
    let bootstrap = format!("seeded bootstrap, {RESAMPLES} resamples");
    figure(out, "kappa", report.kappa, report.kappa_interval, &bootstrap)?;
    if let Some(base_rate) = report.base_rate {
        writeln!(
            out,
            "base rate      {:.1} % of the labels are `verified`",
            100.0 * base_rate
        )?;
    }
    if report.subject.samples > 1 {
        writeln!(
            out,
            "flips          {} of {} cases came out differently within {} samples; {} accepted falsely in any",
            report.flips,
            report.cases.len(),
            report.subject.samples,
            report.false_accepts_in_any_sample,
        )?;
    }
    Ok(())
}

fn rate(out: &mut impl Write, name: &str, count: u64, of: u64, that: &str) -> io::Result<()> {
    match wilson(count, of) {
        None => writeln!(out, "{name:<14} none of the cases {that}"),
        Some(Interval { low, high }) => writeln!(
            out,
            "{name:<14} {count} of {of} that {that}; 95 % interval of the rate {low:.3} to {high:.3} (Wilson)"
        ),
    }
}

fn figure(
    out: &mut impl Write,
    name: &str,
    value: Option<f64>,
    interval: Option<Interval>,
    how: &str,
) -> io::Result<()> {
    match (value, interval) {
        (Some(value), Some(Interval { low, high })) => writeln!(
            out,
            "{name:<14} {value:.3}; 95 % interval {low:.3} to {high:.3} ({how})"
        ),
        _ => writeln!(
            out,
            "{name:<14} not known: chance alone explains everything that was said"
        ),
    }
}

fn criteria(criteria: &[CriterionReport], out: &mut impl Write) -> io::Result<()> {
    if criteria.is_empty() {
        return Ok(());
    }
    let width = criteria.iter().map(|one| one.id.len()).max().unwrap_or(0).max(9);
    writeln!(
        out,
        "\n{:<width$}  cases  wrongly met  wrongly not met  kappa",
        "criterion"
    )?;
    for one in criteria {
        let kappa = match (one.kappa, one.kappa_interval) {
            (Some(kappa), Some(Interval { low, high })) => format!("{kappa:.3} ({low:.3} to {high:.3})"),
            _ => "not known".to_owned(),
        };
        writeln!(
            out,
            "{:<width$}  {:>5}  {:>11}  {:>15}  {kappa}",
            one.id,
            one.confusion.total(),
            one.confusion.false_accepts,
            one.confusion.false_rejects,
        )?;
    }
    Ok(())
}

fn spending(report: &CalibrationReport, out: &mut impl Write) -> io::Result<()> {
    let spent = &report.spending;
    if spent.calls == 0 {
        return Ok(());
    }
    write!(
        out,
        "\n{} calls, {} tokens in, {} out",
        spent.calls, spent.prompt_tokens, spent.completion_tokens
    )?;
    if spent.calls_without_usage > 0 {
        write!(out, " ({} calls did not say)", spent.calls_without_usage)?;
    }
    match spent.calls_without_price {
        0 => writeln!(out, "; cost {} cents", cents(spent.cost_microcents)),
        all if all == spent.calls => {
            writeln!(out, "; cost not known: the model has no price in the settings")
        }
        some => writeln!(
            out,
            "; cost {} cents, and {some} calls whose model has no price in the settings",
            cents(spent.cost_microcents)
        ),
    }
}

/// Millionths of a cent as cents.
fn cents(microcents: u64) -> String {
    format!("{}.{:04}", microcents / 1_000_000, microcents % 1_000_000 / 100)
}

fn disagreements(cases: &[CaseReport], out: &mut impl Write) -> io::Result<()> {
    let mut wrong: Vec<_> = cases
        .iter()
        .filter(|case| case.first().is_none_or(|said| said != case.label))
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    // What pays out wrongly first, what has no decision last.
    wrong.sort_by_key(|case| (case.first().is_none(), case.first() == Some(false)));
    writeln!(out, "\ndisagreements")?;
    for case in wrong.iter().take(LISTED) {
        let word = match case.first() {
            Some(true) => "FALSE ACCEPT",
            Some(false) => "false reject",
            None => "no decision ",
        };
        let name = cut(&escape_control(&case.name), MAX_NAME_BYTES);
        writeln!(out, "  {word}  {name}: {}", why(case))?;
    }
    if wrong.len() > LISTED {
        writeln!(out, "  and {} more: see --html or --json", wrong.len() - LISTED)?;
    }
    Ok(())
}

/// What the graders said, on one line.
fn why(case: &CaseReport) -> String {
    let Some(said) = case.said.first() else {
        return String::new();
    };
    let text = match &said.error {
        Some(error) => format!("{}: {}", error.kind, error.message),
        None => said
            .graders
            .iter()
            .map(|grader| grader.reason.clone())
            .collect::<Vec<_>>()
            .join("; "),
    };
    cut(&escape_control(&text).replace('\n', " "), 160)
}

fn times(samples: usize) -> String {
    match samples {
        1 => "once".to_owned(),
        samples => format!("{samples} times"),
    }
}
