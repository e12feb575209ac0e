//! Trouble of ours in the middle of a run.

use serde_json::{Value, json};

use super::bench;

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
        include_str!("../../fixtures/check/never-ends/loops.wat"),
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
