//! What a run says of its fixtures, and that it tells no secret.

use serde_json::{Value, json};

use super::bench;
use crate::workbench::Workbench;

#[test]
fn the_repositorys_own_fixtures_come_out_as_expected() {
    let (report, ended) = Workbench::new().run_repository();
    let unexpected: Vec<_> = report["fixtures"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|fixture| fixture["as_expected"] != true)
        .map(|fixture| &fixture["why"])
        .collect();
    assert_eq!(unexpected, Vec::<&Value>::new());
    assert_eq!(ended.code, 0);
    for (key, least) in [("verified", 3), ("retry", 5), ("error", 2)] {
        let fixtures = report["fixtures"].as_array().unwrap();
        let count = fixtures
            .iter()
            .filter(|fixture| fixture["outcome"] == key)
            .count();
        assert!(count >= least, "{count} fixtures came out {key}");
    }
    for kind in ["diff", "check", "rubric"] {
        assert!(ended.out.contains(&format!("\"kind\": \"{kind}\"")), "{kind}");
    }
}

#[test]
fn a_report_has_the_fields_of_the_contract() {
    let bench = bench();
    bench.fixture(
        "a",
        "plan = \"same\"\nexpect = \"verified\"\n",
        json!({"output_text": "yes"}),
    );
    let (report, ended) = bench.run(&["--report", "json=report.json"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let written: Value = serde_json::from_slice(&std::fs::read(bench.path("report.json")).unwrap()).unwrap();
    assert_eq!(written, report);
    assert_eq!(report["v"], 1);
    assert_eq!(
        report["summary"],
        json!({"total": 1, "as_expected": 1, "unexpected": 0, "errors": 0})
    );
    let fixture = &report["fixtures"][0];
    for (key, value) in [
        ("name", json!("a")),
        ("job_id", json!("job-a")),
        ("expected", json!("verified")),
        ("outcome", json!("verified")),
        ("as_expected", json!(true)),
        ("score", json!(1.0)),
        ("threshold", json!(1.0)),
    ] {
        assert_eq!(fixture[key], value, "{key}");
    }
    let grader = &fixture["graders"][0];
    assert_eq!(
        (
            &grader["name"],
            &grader["kind"],
            &grader["verdict"],
            &grader["score"]
        ),
        (&json!("same"), &json!("diff"), &json!("pass"), &json!(1.0))
    );
    assert!(grader["reason"].is_string() && grader["millis"].is_u64());
    let entry = &fixture["log"][0];
    assert_eq!(
        (&entry["type"], &entry["audience"]),
        (&json!("info"), &json!("public"))
    );
    assert!(entry["content"].is_string() && entry["created_at"].is_string());
}

#[test]
fn a_fixture_that_comes_out_otherwise_gives_exit_1_and_a_line_that_says_why() {
    let bench = bench();
    bench.fixture(
        "a",
        "plan = \"same\"\nexpect = \"verified\"\n",
        json!({"output_text": "no"}),
    );
    let ended = bench.assay(&["run", "fixtures"]);
    assert_eq!(ended.code, 1);
    let why: Vec<_> = ended
        .out
        .lines()
        .filter(|line| line.contains("expected verified, came out retry"))
        .collect();
    assert_eq!(why.len(), 1, "{}", ended.out);
    assert!(why[0].contains("(same)"), "{}", why[0]);
}

#[test]
fn a_score_outside_its_bounds_is_not_as_expected() {
    let bench = bench();
    bench.fixture(
        "a",
        "plan = \"same\"\nexpect = \"retry\"\nscore_min = 0.9\n",
        json!({"output_text": "no"}),
    );
    let ended = bench.assay(&["run", "fixtures"]);
    assert_eq!(ended.code, 1);
    assert!(ended.out.contains("below score_min 0.9"), "{}", ended.out);
}

/// Issue "The heart, running": the canary is found nowhere in reports, journal, output.
#[test]
fn a_jobs_secret_reaches_no_report_no_journal_and_no_output() {
    let canary = "sk-canary-123";
    let bench = bench();
    let env_vars = json!({"API_KEY": canary});
    bench.fixture(
        "echoed",
        "plan = \"same\"\nexpect = \"retry\"\n",
        json!({"output_text": format!("my key is {canary}"), "env_vars": env_vars}),
    );
    bench.plan(
        "judged",
        "[[graders]]\nname = \"j\"\nkind = \"rubric\"\ncriteria = [{ id = \"c\", text = \"It is good.\", evidence = \"none\" }]\n",
    );
    bench.fixture(
        "judged",
        "plan = \"judged\"\nexpect = \"error\"\n",
        json!({"output_text": format!("my key is {canary}"), "env_vars": env_vars}),
    );
    bench.write(
        "fixtures/judged/answers.toml",
        &format!("[j]\nraw = [\"{canary}\", \"{canary} again\"]\n"),
    );
    let lines = bench.assay(&["run", "fixtures", "-v", "--trace", "debug"]);
    let (report, json) = bench.run(&["--report", "json=report.json"]);
    assert_eq!((lines.code, json.code), (0, 0), "{}{}", lines.out, lines.err);
    assert!(
        report.to_string().contains("[redacted: API_KEY]"),
        "the hand-in is shown, but without its secret"
    );
    let log = bench.assay(&["log", "job-echoed"]);
    bench.write(
        "graders/plans/echo.wat",
        include_str!("../modules/mentions_done.wat"),
    );
    let check = bench.assay(&[
        "check",
        "graders/plans/echo.wat",
        "fixtures/echoed/job.json",
        "--json",
    ]);
    assert_eq!(check.code, 1, "{}", check.err);
    for text in [
        &check.out, &check.err, &lines.out, &lines.err, &json.out, &json.err, &log.out,
    ] {
        assert!(!text.contains(canary), "{text}");
    }
    let mut searched = 0;
    for entry in walkdir::WalkDir::new(bench.path("")).into_iter().flatten() {
        let ours = entry.path().starts_with(bench.path(".assay")) || entry.file_name() == "report.json";
        if ours && entry.file_type().is_file() {
            let bytes = std::fs::read(entry.path()).unwrap();
            searched += 1;
            assert!(
                !bytes
                    .windows(canary.len())
                    .any(|window| window == canary.as_bytes()),
                "{}",
                entry.path().display()
            );
        }
    }
    assert!(searched >= 2, "journal and report were searched");
}

#[test]
fn a_fixture_below_two_searched_folders_is_run_once() {
    let bench = bench();
    bench.fixture(
        "group/a",
        "plan = \"same\"\nexpect = \"verified\"\n",
        json!({"output_text": "yes"}),
    );
    let ended = bench.assay(&["run", "fixtures", "fixtures/group", "./fixtures"]);
    assert!(ended.out.contains("1 of 1 fixtures as expected"), "{}", ended.out);
}

#[test]
fn what_was_judged_has_a_digest_that_follows_the_bytes() {
    let bench = bench();
    let digests = || {
        let (report, ended) = bench.run(&[]);
        assert_eq!(ended.code, 0, "{}", ended.err);
        let log = report["fixtures"][0]["log"].as_array().unwrap().clone();
        assert!(log.iter().any(|entry| {
            entry["content"]
                .as_str()
                .unwrap()
                .starts_with("file a.txt: 3 bytes, sha256 ")
        }));
        let decision: Value = serde_json::from_str(log.last().unwrap()["content"].as_str().unwrap()).unwrap();
        (decision["submission"].clone(), decision["evidence"].clone())
    };
    bench.fixture(
        "a",
        "plan = \"same\"\nexpect = \"verified\"\n",
        json!({"output_text": "yes", "output_attachments": ["a.txt"]}),
    );
    bench.write("fixtures/a/a.txt", "one");
    let (submission, evidence) = digests();
    bench.write("fixtures/a/a.txt", "two");
    let (same, other) = digests();
    assert_eq!(submission, same, "the hand-in names the same file");
    assert_ne!(evidence, other, "its bytes are others");
}

/// Pedantry must not cost an attempt: each of these says the same as its plain form.
#[test]
fn the_spelling_of_an_attachment_is_not_held_against_the_submitter() {
    let bench = Workbench::new();
    bench.plan("file", "required_files = [\"r\u{e9}sum\u{e9}.txt\"]\n\n[[graders]]\nname = \"same\"\nkind = \"diff\"\ncompare = \"exact\"\nexpected = { text = \"hi\" }\nactual = { attachment = \"r\u{e9}sum\u{e9}.txt\" }\n");
    let digest = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";
    let attachments = [
        json!({"name": "re\u{301}sume\u{301}.txt", "data": "aGk="}),
        json!({"name": "r\u{e9}sum\u{e9}.txt", "data": "aGk", "sha256": format!(" sha256:{digest}")}),
        json!({"name": "r\u{e9}sum\u{e9}.txt", "data": "aGk=\n", "sha256": ""}),
        json!({"name": "r\u{e9}sum\u{e9}.txt", "url": "DATA:text/plain;base64,aGk=", "sha256": digest.to_uppercase()}),
    ];
    for (index, attachment) in attachments.into_iter().enumerate() {
        bench.fixture(
            &format!("f{index}"),
            "plan = \"file\"\nexpect = \"verified\"\n",
            json!({"output_attachments": [attachment]}),
        );
    }
    let ended = bench.assay(&["run", "fixtures"]);
    assert_eq!(ended.code, 0, "{}", ended.out);
}
