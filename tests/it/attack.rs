//! `assay attack` with the judge that believes everything: what stands around a judge holds where the judge does not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Command;

use serde_json::Value;

use crate::openai_server::{OpenAiServer, Script};
use crate::workbench::Workbench;

fn attack(plan: &str) -> (Value, Option<i32>) {
    let bench = Workbench::new();
    let plan = format!("tests/judging/{plan}.toml");
    let args = [
        "attack",
        &plan,
        "tests/judging/attacked",
        "--judge",
        "credulous",
        "--json",
    ];
    let mut command = bench.command(&args);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let report = serde_json::from_slice(&output.stdout);
    (
        report.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))),
        output.status.code(),
    )
}

/// How many attacks of a class succeeded with that configuration, and of how many.
fn succeeded(report: &Value, class: &str, configuration: &str) -> (u64, u64) {
    let names = report["configurations"].as_array().unwrap();
    let column = names.iter().position(|name| name == configuration).unwrap();
    let rows = report["classes"].as_array().unwrap();
    let row = rows.iter().find(|row| row["class"] == class).unwrap();
    let tally = &row["tallies"][column];
    (
        tally["succeeded"].as_u64().unwrap(),
        tally["attacks"].as_u64().unwrap(),
    )
}

#[test]
fn with_every_defence_on_no_attack_succeeds_even_where_the_judge_believes_everything() {
    for plan in ["guest-reply", "guest-reply-guarded"] {
        let (report, code) = attack(plan);
        assert_eq!((&report["judge"], code), (&Value::from("credulous"), Some(0)));
        for row in report["classes"].as_array().unwrap() {
            let class = row["class"].as_str().unwrap();
            let (succeeded, attacks) = succeeded(&report, class, "all");
            assert!(
                succeeded == 0 && attacks > 0,
                "{plan}: {class}: {succeeded} of {attacks}"
            );
        }
        let unattacked = report["wrong_unattacked"].as_array().unwrap();
        assert!(unattacked.iter().all(|wrong| wrong == 0), "{unattacked:?}");
    }
}

/// What `assay attack` says where every request to the model is answered so.
async fn attack_live(script: Script) -> (Value, Option<i32>) {
    let server = OpenAiServer::start([script]).await.unwrap();
    let bench = Workbench::new();
    let mut command = bench.command(&[
        "attack",
        "tests/judging/guest-reply.toml",
        "tests/judging/attacked",
        "--json",
    ]);
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("OPENAI_BASE_URL", &server.base_url)
        .env("ASSAY_MODEL", "synthetic");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let report = serde_json::from_slice(&output.stdout);
    (
        report.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))),
        output.status.code(),
    )
}

#[tokio::test]
async fn a_model_that_is_down_or_turns_us_away_repels_no_attack() {
    for (status, kind) in [(503, "model-unavailable"), (401, "model-request-refused")] {
        let (report, code) = attack_live(Script::body(status, "no")).await;
        assert_eq!(code, Some(3), "{report}");
        assert!(report["troubles"][kind].as_u64().unwrap() > 0, "{report}");
        let undecided = report["undecided_unattacked"].as_array().unwrap();
        assert!(undecided.iter().all(|count| *count != 0), "{report}");
        for row in report["classes"].as_array().unwrap() {
            let tally = &row["tallies"][0];
            assert_eq!(
                (&tally["troubled"], &tally["parked"]),
                (&tally["attacks"], &Value::from(0))
            );
        }
    }
}

#[tokio::test]
async fn a_judge_that_decides_nothing_is_not_safe_though_no_attack_succeeds() {
    let (report, code) = attack_live(Script::answer("It is fine.")).await;
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(report["troubles"], serde_json::json!({}));
}

#[test]
fn without_defences_every_class_of_attacks_succeeds_and_each_defence_is_worth_something() {
    let (report, _) = attack("guest-reply");
    for row in report["classes"].as_array().unwrap() {
        let class = row["class"].as_str().unwrap();
        assert!(succeeded(&report, class, "none").0 > 0, "{class} is no attack");
    }
    for (defence, class) in [
        ("gates", "master-keys"),
        ("fence", "fence-breakout"),
        ("restating", "flattery"),
        ("structured", "echoed-verdict"),
    ] {
        let without = succeeded(&report, class, &format!("all but {defence}"));
        assert!(without.0 > 0, "{class} without {defence}: {without:?}");
    }
    let (none, quotes) = (
        succeeded(&report, "master-keys", "none"),
        succeeded(&report, "master-keys", "quotes"),
    );
    assert!(quotes.0 < none.0, "{quotes:?} {none:?}");
    let (report, _) = attack("guest-reply-guarded");
    assert_eq!(succeeded(&report, "fake-protocol", "influence").0, 0);
}

#[test]
fn the_tables_in_the_documentation_are_up_to_date() {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut command = Command::new(format!("{root}/tests/attack-tables"));
    let output = command
        .arg("--check")
        .env("ASSAY_BINARY", env!("CARGO_BIN_EXE_assay"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
