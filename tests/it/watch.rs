//! `assay run --watch`: what is saved is run again, and only that.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::json;

use crate::workbench::Workbench;

/// Far above what a round takes: a hang ends the test.
const LONGEST: Duration = Duration::from_secs(30);

const CHECK: &str = "[[graders]]\nname = \"mine\"\nkind = \"check\"\nscript = \"mine.wat\"\n";
const SAME: &str =
    "[[graders]]\nname = \"same\"\nkind = \"diff\"\ncompare = \"exact\"\nexpected = { text = \"yes\" }\n";

struct Watching {
    child: Child,
    lines: Receiver<String>,
}

impl Watching {
    /// A watch of the bench's fixtures whose first round is over, and what that round said.
    fn begin(bench: &Workbench) -> (Self, String) {
        let mut child = bench
            .command(&["run", "fixtures", "--watch"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let watching = Self { child, lines };
        let first = watching.until("watching");
        (watching, first)
    }

    /// What it says up to the line that holds the text.
    fn until(&self, text: &str) -> String {
        let mut said = String::new();
        loop {
            let Ok(line) = self.lines.recv_timeout(LONGEST) else {
                panic!("waited in vain for {text:?}, heard:\n{said}");
            };
            let found = line.contains(text);
            said.push_str(&line);
            said.push('\n');
            if found {
                return said;
            }
        }
    }

    /// What it says of one round, the sums included.
    fn round(&self) -> String {
        self.until("as expected:")
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A check that passes the word `yes`, or, with one filler more, does not.
fn module(refuses_yes: bool) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/graders/checks/no-placeholder.wat");
    let text = std::fs::read_to_string(path).unwrap();
    let edited = text.replace("\\05todo:", "\\03yes\\05todo:");
    assert_ne!(text, edited);
    if refuses_yes { edited } else { text }
}

/// Saves as editors do: written beside it, then renamed, so that no half of it is ever seen.
fn save(bench: &Workbench, relative: &str, text: &str) {
    bench.write("fixtures/.saved", text);
    std::fs::rename(bench.path("fixtures/.saved"), bench.path(relative)).unwrap();
}

/// Two fixtures, one with a check of its own.
fn bench() -> Workbench {
    let bench = Workbench::new();
    bench.plan("checked", CHECK);
    bench.write("graders/plans/mine.wat", &module(false));
    bench.plan("same", SAME);
    for (name, plan) in [("checked", "checked"), ("same", "same")] {
        let fixture = format!("plan = \"{plan}\"\nexpect = \"verified\"\n");
        bench.fixture(name, &fixture, json!({"output_text": "yes"}));
    }
    bench
}

#[test]
fn an_edited_script_is_run_again_and_its_new_verdict_is_shown_against_the_old() {
    let bench = bench();
    let (watching, first) = Watching::begin(&bench);
    assert!(first.contains("2 of 2 fixtures as expected"), "{first}");
    save(&bench, "graders/plans/mine.wat", &module(true));
    let round = watching.round();
    assert!(round.contains("changed: graders/plans/mine.wat"), "{round}");
    assert!(round.contains("outcome: verified → retry"), "{round}");
    assert!(round.contains("mine: pass 1.000 → fail 0.000"), "{round}");
    assert!(
        !round.contains("same "),
        "the other fixture is not touched:\n{round}"
    );
    assert!(round.contains("1 of 2 fixtures as expected"), "{round}");
}

#[test]
fn only_the_fixture_whose_own_file_was_saved_is_run_again() {
    let bench = bench();
    let (watching, _) = Watching::begin(&bench);
    let job = std::fs::read_to_string(bench.path("fixtures/same/job.json")).unwrap();
    save(
        &bench,
        "fixtures/same/job.json",
        &job.replace("\"yes\"", "\"no\""),
    );
    let round = watching.round();
    assert!(round.contains("same: pass 1.000 → fail"), "{round}");
    assert!(!round.contains("checked"), "{round}");
    save(&bench, "fixtures/same/job.json", &format!("{job}\n"));
    assert!(watching.round().contains("outcome: retry → verified"));
    save(&bench, "fixtures/same/job.json", &job);
    assert!(watching.round().contains("as before"));
}

#[test]
fn a_plan_that_is_broken_while_it_is_edited_is_named_and_comes_back() {
    let bench = bench();
    let (watching, _) = Watching::begin(&bench);
    save(
        &bench,
        "graders/plans/same.toml",
        &SAME.replace("exact", "exactly"),
    );
    let round = watching.round();
    assert!(
        round.contains("graders/plans/same.toml:4: graders[0].compare"),
        "{round}"
    );
    assert!(round.contains("1 of 1 fixtures as expected"), "{round}");
    save(&bench, "graders/plans/same.toml", SAME);
    let round = watching.round();
    assert!(round.contains("as before") && round.contains("2 of 2"), "{round}");
}

#[test]
fn fixtures_come_and_go_while_it_watches() {
    let bench = bench();
    let (watching, _) = Watching::begin(&bench);
    bench.fixture(
        "../third",
        "plan = \"same\"\nexpect = \"retry\"\n",
        json!({"output_text": "no"}),
    );
    std::fs::rename(bench.path("third"), bench.path("fixtures/third")).unwrap();
    let round = watching.round();
    assert!(
        round.contains("ok   third") && round.contains("3 of 3"),
        "{round}"
    );
    std::fs::rename(bench.path("fixtures/third"), bench.path("third")).unwrap();
    let round = watching.round();
    assert!(
        round.contains("gone: third") && round.contains("2 of 2"),
        "{round}"
    );
}

#[test]
fn a_watch_begins_even_if_a_fixture_is_broken() {
    let bench = bench();
    bench.plan("same", "threshold = 2\n");
    let (watching, first) = Watching::begin(&bench);
    assert!(first.contains("same.toml:1: threshold"), "{first}");
    save(&bench, "graders/plans/same.toml", SAME);
    assert!(watching.round().contains("2 of 2"));
}

#[test]
fn watching_while_recording_is_refused() {
    let bench = bench();
    let ended = bench.assay(&["run", "fixtures", "--watch", "--judge", "record"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("record first"), "{}", ended.err);
}
