//! The report as tables: for a terminal, and for the page of the documentation that a test keeps up to date.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::report::{AttackReport, Tally};

/// Begins the names of configurations that leave one defence out.
const ALL_BUT: &str = "all but ";

/// Writes the tables for people.
///
/// # Errors
/// Where `out` cannot be written.
pub fn write_lines(report: &AttackReport, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "plan {} ({}); {}",
        report.plan.name,
        report.plan.digest.short(),
        who(report)
    )?;
    let [submitters, senders] = report.targets;
    writeln!(
        out,
        "{submitters} fixtures that must be `retry`, {senders} that must be `verified`; attacks that succeeded, of all\n"
    )?;
    out.write_all(tables(report).as_bytes())?;
    for (name, wrong) in report.configurations.iter().zip(&report.wrong_unattacked) {
        if *wrong > 0 {
            writeln!(
                out,
                "without any attack, {wrong} fixtures came out wrong with defences `{name}`"
            )?;
        }
    }
    for (name, undecided) in report.configurations.iter().zip(&report.undecided_unattacked) {
        if *undecided > 0 {
            writeln!(
                out,
                "without any attack, {undecided} fixtures came to no decision with defences `{name}`"
            )?;
        }
    }
    if report.troubled() > 0 {
        let kinds = report
            .troubles
            .iter()
            .map(|(kind, count)| format!("{kind}: {count}"));
        writeln!(
            out,
            "nobody judged {} verifications ({}): they say nothing; run again when that is mended",
            report.troubled(),
            kinds.collect::<Vec<_>>().join(", ")
        )?;
    }
    writeln!(
        out,
        "\n{} attacks succeeded with all defences on",
        report.succeeded_against_all()
    )
}

/// The tables for a page.
pub fn markdown(report: &AttackReport) -> String {
    format!("{}\n\n{}", who(report), tables(report))
}

fn who(report: &AttackReport) -> String {
    match report.judge.as_str() {
        "credulous" => "Judge: `credulous`, fixed rules that believe what they are told. A structural test of the defences \
                        around a judge, not a model's result."
            .to_owned(),
        judge => format!("Judge: {judge} ({})", report.models.join(", ")),
    }
}

fn tables(report: &AttackReport) -> String {
    let (but, alone): (Vec<_>, Vec<_>) = report
        .configurations
        .iter()
        .enumerate()
        .partition(|(_, name)| name.starts_with(ALL_BUT));
    let mut text = table(report, &alone);
    if !but.is_empty() {
        text.push('\n');
        text.push_str(&table(report, &but));
    }
    text
}

/// A Markdown table that also reads well as it is.
fn table(report: &AttackReport, columns: &[(usize, &String)]) -> String {
    let mut rows = vec![vec!["attack".to_owned()]];
    rows[0].extend(columns.iter().map(|(_, name)| (*name).clone()));
    for class in &report.classes {
        let mut row = vec![class.class.to_owned()];
        row.extend(columns.iter().map(|(index, _)| cell(&class.tallies[*index])));
        rows.push(row);
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..=columns.len()).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "| {cell:<width$} ");
        }
        text.push_str("|\n");
        if number == 0 {
            for width in &widths {
                let _ = write!(text, "| {} ", "-".repeat(*width));
            }
            text.push_str("|\n");
        }
    }
    text
}

/// `3/10`, and `(2p 1t)` where two more were parked and one more had trouble of ours.
fn cell(tally: &Tally) -> String {
    let others = [(tally.parked, 'p'), (tally.troubled, 't')];
    let others: Vec<_> = others
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, mark)| format!("{count}{mark}"))
        .collect();
    let others = match others.is_empty() {
        true => String::new(),
        false => format!(" ({})", others.join(" ")),
    };
    format!("{}/{}{others}", tally.succeeded, tally.attacks)
}
