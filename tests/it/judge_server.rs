//! A real model, small and on this machine: `make test-judge` starts it and asks for these tests by name. It speaks the
//! protocol as real servers do; what it says of the work is worth nothing, and calibration finds that out.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed; where the model is, only the environment says"
)]

use serde_json::json;

use crate::workbench::{Ended, Workbench};

const PLAN: &str = include_str!("../judging/guest-reply-unquoted.toml");
const CASES: &str = include_str!("../judging/replies.jsonl");

/// Fewest cases that are enough to say something.
const ENOUGH: usize = 32;

/// A bench with the plan, and short answers that are the same each time.
fn bench() -> Workbench {
    let bench = Workbench::new();
    bench.plan("guest-reply", PLAN);
    bench.write(
        "assay.toml",
        "[judge]\ntemperature = 0\nmax_completion_tokens = 160\n",
    );
    bench.fixture(
        "reply",
        "plan = \"guest-reply\"\nexpect = \"verified\"\n",
        json!({"output_text": "Dear Ms Ortiz, we are sorry. 80 EUR are on their way back to you. Kind regards"}),
    );
    bench
}

/// Runs `assay` with the model that the script has started.
fn asking_the_model(bench: &Workbench, args: &[&str]) -> Ended {
    let url = std::env::var("ASSAY_TEST_JUDGE_URL").expect("run these tests with make test-judge");
    let model = std::env::var("ASSAY_TEST_JUDGE_MODEL").unwrap();
    let mut command = bench.command(args);
    command.env("OPENAI_BASE_URL", url);
    command.env("ASSAY_MODEL", model);
    Ended::of(&command.output().unwrap(), &bench.path(""))
}

#[test]
#[ignore = "asks a real model: make test-judge"]
fn a_real_model_streams_its_answer_into_the_log_and_it_becomes_a_verdict() {
    let bench = bench();
    let ended = asking_the_model(&bench, &["run", "fixtures", "--judge", "live", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let fixture = &report["fixtures"][0];
    assert_eq!(fixture["judge"], "live");
    assert_ne!(fixture["outcome"], "error", "{fixture}");
    let log = fixture["log"].as_array().unwrap();
    let reasoning: Vec<_> = log.iter().filter(|line| line["type"] == "reasoning").collect();
    assert!(reasoning.len() > 1, "it came in one piece: {reasoning:?}");
    let told = |text: &str| {
        log.iter()
            .any(|line| line["content"].as_str().unwrap().contains(text))
    };
    assert!(told("tokens in") && !told("tokens not reported"));
}

#[test]
#[ignore = "asks a real model: make test-judge"]
fn what_a_real_model_said_is_recorded_and_played_back_without_it() {
    let bench = bench();
    let asked = asking_the_model(&bench, &["run", "fixtures", "--judge", "record", "--json"]);
    let (replayed, _) = bench.run(&["--judge", "replay"]);
    let asked: serde_json::Value = serde_json::from_str(&asked.out).unwrap();
    let of = |report: &serde_json::Value| {
        let fixture = &report["fixtures"][0];
        (
            fixture["outcome"].clone(),
            fixture["score"].clone(),
            fixture["graders"][0]["reason"].clone(),
        )
    };
    assert_eq!(of(&asked), of(&replayed));
    assert_ne!(of(&replayed).0, "error");
}

#[test]
#[ignore = "asks a real model: make test-judge"]
fn a_model_too_small_for_the_work_is_told_from_a_judge_and_refused() {
    let bench = bench();
    let cases: Vec<_> = CASES.lines().take(ENOUGH).collect();
    bench.write("cases.jsonl", &cases.join("\n"));
    let ended = asking_the_model(
        &bench,
        &["calibrate", "guest-reply", "cases.jsonl", "--html", "page.html"],
    );
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
    assert!(
        ended
            .out
            .contains("refused: the judge cannot be told from chance"),
        "{}",
        ended.out
    );
    assert!(bench.path("page.html").exists());
}
