//! What is wrong is told before anything runs.

use serde_json::json;

use super::bench;
use crate::workbench::Workbench;

#[test]
fn a_wrong_fixture_is_named_before_anything_runs() {
    let bench = bench();
    bench.fixture(
        "a",
        "plan = \"same\"\nexpect = \"perhaps\"\n",
        json!({"output_text": "yes"}),
    );
    bench.fixture("b", "plan = \"none\"\nexpect = \"retry\"\n", json!({}));
    bench.fixture(
        "c",
        "plan = \"same\"\nexpect = \"retry\"\n",
        json!({"attempt_count": "two"}),
    );
    let ended = bench.assay(&["run", "fixtures"]);
    assert_eq!((ended.code, ended.out.as_str()), (2, ""));
    insta::assert_snapshot!(ended.err, @r#"
    assay: fixtures/a/fixture.toml:2: unknown variant `perhaps`, expected one of `verified`, `retry`, `error`
    assay: fixtures/b/fixture.toml: plan `none`: no such plan (looked for graders/plans/none.toml); known plans: same
    assay: fixtures/c/job.json:1: attempt_count: invalid type: string "two", expected u32
    "#);
}

#[test]
fn a_broken_scripted_answer_is_named_before_anything_runs() {
    let bench = Workbench::new();
    bench.plan(
        "j",
        "[[graders]]\nname = \"j\"\nkind = \"rubric\"\ncriteria = [{ id = \"c\", text = \"It is good.\" }]\n",
    );
    bench.fixture(
        "a",
        "plan = \"j\"\nexpect = \"retry\"\n",
        json!({"output_text": "x"}),
    );
    bench.write("fixtures/a/answers.toml", "[j]\nrow = \"typo\"\n");
    let ended = bench.assay(&["run", "fixtures"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended.err.contains("fixtures/a/answers.toml") && ended.err.contains("row"),
        "{}",
        ended.err
    );
}

#[test]
fn no_fixtures_at_all_is_wrong_use() {
    let bench = bench();
    bench.fixture(
        "a",
        "plan = \"same\"\nexpect = \"verified\"\n",
        json!({"output_text": "yes"}),
    );
    for (args, message) in [
        (["run", "nowhere", "--json"], "nowhere does not exist"),
        (["run", "graders", "--json"], "no fixture below graders"),
        (
            ["run", "fixtures", "--filter=zzz"],
            "no fixture that the filter lets through below fixtures",
        ),
    ] {
        let ended = bench.assay(&args);
        assert_eq!(ended.code, 2);
        assert!(ended.err.contains(message), "{}", ended.err);
    }
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_anything_runs() {
    let bench = bench();
    bench.fixture(
        "a",
        "plan = \"same\"\nexpect = \"verified\"\n",
        json!({"output_text": "yes"}),
    );
    bench.write("file", "");
    let ended = bench.assay(&["run", "fixtures", "--report", "json=file/report.json"]);
    assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{}", ended.err);
    assert!(!bench.path(".assay/journal.sqlite").exists(), "nothing ran");
}

#[test]
fn a_live_judge_without_an_endpoint_says_what_to_set() {
    let bench = bench();
    bench.fixture(
        "a",
        "plan = \"same\"\nexpect = \"verified\"\n",
        json!({"output_text": "yes"}),
    );
    let ended = bench.assay(&["run", "fixtures", "--judge", "live"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("OPENAI_API_KEY"), "{}", ended.err);
}

#[test]
fn every_command_has_help_with_an_example() {
    let bench = Workbench::new();
    for command in ["run", "diff", "check", "plan", "new", "schema", "log"] {
        let ended = bench.assay(&[command, "--help"]);
        assert_eq!(ended.code, 0);
        assert!(
            ended.out.contains(&format!("  assay {command} ")),
            "{}",
            ended.out
        );
    }
    assert_eq!(bench.assay(&["no-such-command"]).code, 2);
}
