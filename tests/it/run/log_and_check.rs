//! `assay log` and `assay check`.

use serde_json::{Value, json};

use super::bench;
use crate::workbench::Workbench;

#[test]
fn the_log_of_a_job_is_printed_with_the_state_of_its_chain() {
    let bench = bench();
    bench.fixture(
        "a",
        "plan = \"same\"\nexpect = \"retry\"\n",
        json!({"output_text": "no"}),
    );
    assert_eq!(bench.assay(&["run", "fixtures"]).code, 0);
    let all = bench.assay(&["log", "job-a"]);
    assert_eq!(all.code, 0, "{}", all.err);
    assert!(
        all.out.contains("hash chain holds") && all.out.contains("(operator)"),
        "{}",
        all.out
    );
    let public = bench.assay(&["log", "job-a", "--public", "--json"]);
    assert!(
        !public.out.contains("\"audience\":\"operator\""),
        "{}",
        public.out
    );
    // The expected text is in the operator's difference only.
    assert!(
        all.out.contains("-yes") && !public.out.contains("yes"),
        "{}",
        public.out
    );
    let unknown = bench.assay(&["log", "job-b"]);
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.err.contains("the latest it knows: job-a"),
        "{}",
        unknown.err
    );
}

#[test]
fn a_check_is_run_on_one_job() {
    let bench = Workbench::new();
    bench.fixture(
        "a",
        "plan = \"x\"\nexpect = \"retry\"\n",
        json!({"output_text": "a,b\n1,2\n"}),
    );
    let check = |args: &[&str]| {
        let mut all = vec!["check", "graders/checks/csv-shape.wat"];
        all.extend(args);
        bench.assay(&all)
    };
    let pass = check(&["fixtures/a/job.json"]);
    assert_eq!(pass.code, 0, "{}{}", pass.out, pass.err);
    assert!(
        pass.out.starts_with("pass  score 1.000  2 rows of 2 columns"),
        "{}",
        pass.out
    );
    let fail = check(&["fixtures/a/job.json", "--param", "columns=3", "--json"]);
    assert_eq!(fail.code, 1);
    let fail: Value = serde_json::from_str(&fail.out).unwrap();
    assert_eq!(fail["verdict"]["reason"], "row 1 has 2 columns, expected 3");
    assert!(fail["verdict"]["provenance"]["fuel"].as_u64().unwrap() > 0);
    let exhausted = check(&["fixtures/a/job.json", "--fuel", "10"]);
    assert_eq!(exhausted.code, 2);
    assert!(exhausted.out.contains("fuel-exhausted"), "{}", exhausted.out);
    let inspected = check(&["--inspect"]);
    assert_eq!(inspected.code, 0);
    assert!(inspected.out.contains("imports  nothing"), "{}", inspected.out);
    let nothing = bench.assay(&["check", "none.wat", "fixtures/a/job.json"]);
    assert_eq!(nothing.code, 2);
    assert!(
        nothing.err.contains("`none.wat` does not exist"),
        "{}",
        nothing.err
    );
}
