//! `assay run`, `assay log` and `assay check` as their users call them.

use serde_json::{Value, json};

use crate::workbench::Workbench;

const SAME: &str =
    "[[graders]]\nname = \"same\"\nkind = \"diff\"\ncompare = \"exact\"\nexpected = { text = \"yes\" }\n";

fn bench() -> Workbench {
    let bench = Workbench::new();
    bench.plan("same", SAME);
    bench
}

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
        include_str!("modules/mentions_done.wat"),
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
fn a_journal_that_cannot_be_written_is_our_own_trouble() {
    let bench = bench();
    bench.fixture(
        "a",
        "plan = \"same\"\nexpect = \"verified\"\n",
        json!({"output_text": "yes"}),
    );
    bench.write("file", "");
    let ended = bench.assay(&["run", "fixtures", "--journal", "file/journal.sqlite"]);
    assert_eq!(ended.code, 3, "{}", ended.err);
    assert!(ended.err.contains("file/journal.sqlite"), "{}", ended.err);
}

/// Trouble of ours looks like nothing that a fixture asked for.
#[test]
fn an_interrupted_run_is_never_as_expected() {
    let bench = bench();
    bench.write(
        "graders/plans/slow.wat",
        include_str!("../fixtures/check/never-ends/loops.wat"),
    );
    bench.plan(
        "slow",
        "[[graders]]\nname = \"c\"\nkind = \"check\"\nscript = \"slow.wat\"\nfuel = 4_000_000_000\n",
    );
    bench.fixture(
        "a",
        "plan = \"slow\"\nexpect = \"error\"\n",
        json!({"output_text": "x"}),
    );
    bench.fixture(
        "b",
        "plan = \"slow\"\nexpect = \"error\"\n",
        json!({"output_text": "x"}),
    );
    let mut child = bench
        .command(&[
            "run",
            "fixtures",
            "-j",
            "1",
            "--report",
            "json=report.json",
            "--trace",
            "assay=debug",
        ])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The check is under way once its module is in the cache.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let compiled = || {
        std::fs::read_dir(bench.path(".assay/cache")).is_ok_and(|mut files| {
            files.any(|file| file.is_ok_and(|file| file.path().extension().is_some_and(|end| end == "json")))
        })
    };
    while !compiled() && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(3));
    let report: Value = serde_json::from_slice(&std::fs::read(bench.path("report.json")).unwrap()).unwrap();
    assert_eq!(report["summary"]["as_expected"], 0, "{report}");
}

#[test]
fn a_reader_that_leaves_changes_neither_the_work_nor_the_exit_status() {
    let bench = bench();
    bench.fixture(
        "a",
        "plan = \"same\"\nexpect = \"verified\"\n",
        json!({"output_text": "no"}),
    );
    let mut child = bench
        .command(&["run", "fixtures", "--report", "json=report.json"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(bench.path("report.json").metadata().unwrap().len() > 100);
    let full = bench
        .command(&["run", "fixtures", "--json"])
        .stdout(std::fs::File::options().write(true).open("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(
        full.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&full.stderr)
    );
    assert!(!String::from_utf8_lossy(&full.stderr).contains("panicked"));
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
fn a_journal_that_fails_is_that_fixtures_error_and_the_report_is_still_written() {
    let bench = bench();
    bench.fixture(
        "a",
        "plan = \"same\"\nexpect = \"error\"\n",
        json!({"output_text": "yes"}),
    );
    assert_eq!(bench.assay(&["run", "fixtures"]).code, 1);
    // A journal that begins verifications and takes no entries.
    let journal = std::process::Command::new("python3")
        .arg("-c")
        .arg("import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute(\"CREATE TRIGGER full BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'the disk is full'); END\"); c.commit()")
        .arg(bench.path(".assay/journal.sqlite"))
        .status()
        .unwrap();
    assert!(journal.success());
    let (report, ended) = bench.run(&[]);
    assert_eq!(ended.code, 3, "{}", ended.err);
    assert_eq!(report["fixtures"][0]["error"]["kind"], "journal");
    assert!(
        report["fixtures"][0]["why"]
            .as_str()
            .unwrap()
            .contains("the disk is full"),
        "{report}"
    );
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
