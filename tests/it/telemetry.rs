//! What goes to standard error, and what does not.

use std::process::Command;

use assay::telemetry::TraceSettings;

use crate::workbench::Workbench;

/// Set in the process that panics.
const PANICS: &str = "ASSAY_TEST_PANICS";

#[test]
fn a_panic_tells_where_it_happened_and_not_what_it_says() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the hook is the whole process's, so the test runs itself in another one"
    )]
    if std::env::var_os(PANICS).is_some() {
        let _on = assay::telemetry::start(&TraceSettings::default()).unwrap();
        let secret = "sk-canary-123";
        let panicking = std::thread::Builder::new().name("grader".to_owned());
        let panicking = panicking.spawn(move || panic!("no such key: {secret}")).unwrap();
        assert!(panicking.join().is_err());
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "telemetry::a_panic_tells_where_it_happened_and_not_what_it_says",
        ])
        .env(PANICS, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(
        told.contains("assay: a defect of ours: thread `grader` panicked at tests/it/telemetry.rs:"),
        "{told}"
    );
    assert!(!told.contains("canary"), "{told}");
}

#[test]
fn a_trace_level_that_cannot_be_read_is_wrong_use() {
    let bench = Workbench::new();
    let output = bench
        .command(&["--trace", "debgu", "plan", "check"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.starts_with("assay: `debgu` is no trace level: use error, warn,"),
        "{told}"
    );
}

#[test]
fn a_collector_of_json_lines_reads_the_last_error_too() {
    let bench = Workbench::new();
    let output = bench
        .command(&["--trace-format", "json", "plan", "check", "no-such-plan"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    let line: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert!(
        line["message"].as_str().unwrap().contains("no-such-plan"),
        "{told}"
    );
}
