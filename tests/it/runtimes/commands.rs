//! Scripts as `assay check` runs them.

use std::path::Path;

use super::{CACHE, ROOT};
use crate::workbench::Workbench;

#[test]
fn without_a_runtime_a_check_says_what_to_run_and_the_others_go_on() {
    let bench = Workbench::new();
    bench.write("mine.js", "function check(s) { return true; }");
    bench.fixture(
        "one",
        "expect = \"verified\"",
        serde_json::json!({"output_text": "x"}),
    );
    let ended = bench.assay(&[
        "check",
        "mine.js",
        "fixtures/one/job.json",
        "--runtimes",
        "nowhere",
    ]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    insta::assert_snapshot!(
        ended.out.trim_end(),
        @"error  plan-invalid: mine.js: the JavaScript runtime is missing (nowhere/javascript.wasm does not exist): run `make runtimes`, which needs node and npm"
    );
}

#[test]
fn the_verdict_of_a_script_names_the_digests_of_script_and_runtime() {
    let bench = Workbench::new();
    let script = "def check(submission):\n    return len(submission.text) == submission.params['length']\n";
    bench.write("mine.py", script);
    bench.fixture(
        "one",
        "expect = \"verified\"",
        serde_json::json!({"output_text": "four"}),
    );
    let runtimes = Path::new(ROOT).join(".assay/runtimes");
    let ended = bench.assay(&[
        "check",
        "mine.py",
        "fixtures/one/job.json",
        "--param",
        "length=4",
        "--json",
        "--cache",
        CACHE,
        "--runtimes",
        runtimes.to_str().unwrap(),
    ]);
    assert_eq!(ended.code, 0, "{} {}", ended.out, ended.err);
    let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let provenance = &report["verdict"]["provenance"];
    assert_eq!(
        provenance["artifact"],
        assay::digest::Digest::of(script.as_bytes()).to_string()
    );
    let stated = std::fs::read_to_string(runtimes.join("python.wasm.sha256")).unwrap();
    assert_eq!(provenance["runtime"], stated.split(' ').next().unwrap());
    assert!(provenance["fuel"].as_u64().unwrap() > 0);
}
