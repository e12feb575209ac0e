//! A real model, small enough for a test: `make test-judge` starts its server and asks for these tests by name.

use std::process::Command;

use assay::entry::EntryType;
use assay::graders::rubric::{Judge, JudgeSettings};
use assay::verdict::{GradeError, Verdict};

use crate::rubric::bench::{Bench, texts};

#[expect(
    clippy::disallowed_methods,
    reason = "`make test-judge` says where the model is"
)]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run it by `make test-judge`"))
}

fn settings() -> JudgeSettings {
    JudgeSettings {
        model: Some(variable("ASSAY_TEST_JUDGE_MODEL")),
        max_completion_tokens: Some(600),
        temperature: Some(0.0),
        ..JudgeSettings::new(variable("ASSAY_TEST_JUDGE_URL"), "none".into())
    }
}

/// What can be compared: a small model may well answer off the menu, and that is an error of ours, never a verdict.
fn word(result: &Result<Verdict, GradeError>) -> String {
    match result {
        Ok(verdict) => format!("{} {}", verdict.passed, verdict.score),
        Err(error) => error.kind.to_string(),
    }
}

#[tokio::test]
#[ignore = "asks a real model: make test-judge"]
async fn a_real_model_is_heard_while_it_writes_and_judged_by_its_answer_alone() {
    let (result, entries) = Bench::new(Judge::live(settings()).unwrap()).grade().await;
    let reasoning = texts(&entries, EntryType::Reasoning);
    assert!(!reasoning.is_empty(), "{entries:?}");
    let word = word(&result);
    println!("{} pieces of reasoning, {word}", reasoning.len());
    assert!(
        result.is_ok() || word == "judge-off-menu",
        "the endpoint was used wrongly: {result:?}"
    );
}

#[tokio::test]
#[ignore = "asks a real model: make test-judge"]
async fn what_a_real_model_answered_is_judged_the_same_from_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.json");
    let (live, _) = Bench::new(Judge::record(settings(), &path).unwrap())
        .grade()
        .await;
    let (replayed, _) = Bench::new(Judge::replay(&path).unwrap()).grade().await;
    assert_eq!(word(&live), word(&replayed));
}

#[test]
#[ignore = "asks a real model: make test-judge"]
fn a_model_too_small_for_the_work_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_assay"))
        .args([
            "calibrate",
            "tests/judging/guest-reply-unquoted.toml",
            "tests/judging/replies.jsonl",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("OPENAI_BASE_URL", variable("ASSAY_TEST_JUDGE_URL"))
        .env("OPENAI_API_KEY", "none")
        .env("ASSAY_MODEL", variable("ASSAY_TEST_JUDGE_MODEL"))
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
