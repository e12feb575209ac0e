//! The report as `JUnit` XML, the form that CI servers read. An outcome other than the expected one is a failure; a grade
//! error that nobody expected is an error.

use std::io::{self, Write as _};

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::{FixtureReport, RunReport};
use crate::entry::{cut, escape_control};
use crate::outcome::Expect;

/// Most bytes of a log in the report; the whole log is in the journal.
const MAX_LOG_BYTES: usize = 16 * 1024;

/// Renders the report.
///
/// # Errors
/// Where the writer fails, which one into memory does not.
pub(super) fn render(report: &RunReport) -> io::Result<Vec<u8>> {
    let unexpected = || report.fixtures.iter().filter(|one| !one.as_expected);
    let errors = unexpected().filter(|one| is_error(one)).count();
    let failures = unexpected().count() - errors;
    let counts = [
        ("tests", report.fixtures.len().to_string()),
        ("failures", failures.to_string()),
        ("errors", errors.to_string()),
        ("time", seconds(report.millis)),
        (
            "timestamp",
            report.started_at.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
        ),
    ];
    let counts = || counts.iter().map(|(key, value)| (*key, value.as_str()));
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    writer
        .create_element("testsuites")
        .with_attribute(("name", "assay run"))
        .with_attributes(counts().filter(|(key, _)| *key != "timestamp"))
        .write_inner_content(|writer| {
            writer
                .create_element("testsuite")
                .with_attribute(("name", "fixtures"))
                .with_attributes(counts())
                .write_inner_content(|writer| {
                    report.fixtures.iter().try_for_each(|one| fixture(writer, one))
                })?;
            Ok(())
        })?;
    let mut bytes = writer.into_inner();
    bytes.write_all(b"\n")?;
    Ok(bytes)
}

fn is_error(report: &FixtureReport) -> bool {
    report.outcome == Expect::Error
}

fn fixture(writer: &mut Writer<Vec<u8>>, report: &FixtureReport) -> io::Result<()> {
    let (name, time) = (xml_text(&report.name), seconds(report.millis));
    let element = writer
        .create_element("testcase")
        .with_attribute(("classname", "assay"))
        .with_attribute(("name", name.as_str()))
        .with_attribute(("time", time.as_str()));
    let Some(why) = &report.why else {
        element.write_empty()?;
        return Ok(());
    };
    let (message, kind) = (xml_text(why), report.outcome.to_string());
    element.write_inner_content(|writer| {
        writer
            .create_element(if is_error(report) { "error" } else { "failure" })
            .with_attribute(("message", message.as_str()))
            .with_attribute(("type", kind.as_str()))
            .write_text_content(BytesText::new(&xml_text(&details(report))))?;
        writer
            .create_element("system-out")
            .write_text_content(BytesText::new(&xml_text(&log(report))))?;
        Ok(())
    })?;
    Ok(())
}

fn details(report: &FixtureReport) -> String {
    let mut rows = vec![format!(
        "job {}, plan {}, expected {}",
        report.job_id,
        report.plan,
        report.expectation()
    )];
    rows.extend(report.judge.iter().map(|mode| format!("judge: {mode}")));
    rows.extend(
        report
            .error
            .iter()
            .map(|error| format!("{}: {}", error.kind, error.message)),
    );
    rows.extend(report.graders.iter().map(|grader| {
        let score = grader.score.map_or_else(String::new, |score| format!(" {score}"));
        format!(
            "{} ({}): {}{score}: {}",
            grader.name,
            grader.kind,
            grader.verdict.as_str(),
            grader.reason
        )
    }));
    rows.join("\n")
}

fn log(report: &FixtureReport) -> String {
    let rows = report.log.iter().map(|line| {
        let time = line.created_at.strftime("%H:%M:%S%.3f");
        format!(
            "{time} {} ({}) {}",
            line.kind.as_str(),
            line.audience.as_str(),
            line.content
        )
    });
    cut(&rows.collect::<Vec<_>>().join("\n"), MAX_LOG_BYTES)
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// The text without the characters that no XML 1.0 document may hold, not even escaped (XML 1.0, production 2). The rest
/// is escaped by the writer.
fn xml_text(text: &str) -> String {
    escape_control(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}
