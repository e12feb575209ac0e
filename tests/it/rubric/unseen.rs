//! What becomes of work of which the judge does not see everything.

#![expect(clippy::unwrap_used, reason = "what is set up here must work")]

use std::path::Path;

use assay::digest::Digest;
use assay::entry::EntryType;
use assay::graders::rubric::Judge;
use assay::submission::{EvidenceFile, FileRole};
use assay::verdict::{ErrorKind, Score};
use serde_json::{Value, json};

use super::bench::{Bench, GOOD, settings, texts};
use crate::openai_server::{OpenAiServer, Script};

const REPLY: &str = "Dear Ms Ortiz,\nyou get 80 EUR back.\n";

/// The judge that finds the refund missing.
fn unfulfilled() -> String {
    GOOD.replace(
        r#""reason": "It names the sum.", "met": true"#,
        r#""reason": "No refund.", "met": false"#,
    )
}

async fn judged(answer: &str, output: &str, more: Value, variables: Value) -> (Bench, OpenAiServer) {
    // A second answer for where the first is off the menu.
    let server = OpenAiServer::start([Script::answer(answer), Script::answer(answer)])
        .await
        .unwrap();
    let judge = Judge::live(settings(&server)).unwrap();
    (Bench::with_variables(judge, output, more, variables), server)
}

#[tokio::test]
async fn a_sender_cannot_blind_the_judge_through_a_variable() {
    let blinding = json!({"MODE": "refund", "SUM": "80 EUR"});
    let (bench, server) = judged(&unfulfilled(), REPLY, json!({}), blinding.clone()).await;
    let (result, entries) = bench.grade().await;
    insta::assert_snapshot!(result.unwrap_err(), @"judge-input-redacted: the judge finds criteria not fulfilled, but did not see the values of SUM, which stand in the task or in what was handed in; look at it yourself");
    assert_eq!(
        texts(&entries, EntryType::Info)[0],
        "not shown to the judge: the values of SUM"
    );
    let request = server.requests()[0].to_string();
    assert!(request.contains("The reply names the refund."), "{request}");
    assert!(!request.contains("80 EUR"), "{request}");

    // Nothing was taken out: the fail stands.
    let (bench, _server) = judged(&unfulfilled(), REPLY, json!({}), json!({"MODE": "refund"})).await;
    let (result, _) = bench.grade().await;
    assert!(!result.unwrap().passed);

    // A pass that is not the full score could still fail the plan.
    let lenient = json!({"pass_score": 0.3});
    let (bench, _server) = judged(&unfulfilled(), REPLY, lenient, blinding).await;
    let (result, _) = bench.grade().await;
    assert_eq!(result.unwrap_err().kind, ErrorKind::JudgeInputRedacted);
}

#[tokio::test]
async fn a_submitter_gains_nothing_by_repeating_a_variable() {
    let output = format!("{REPLY}My key is sk-canary-123.");
    let variables = json!({"API_KEY": "sk-canary-123"});
    let (bench, _server) = judged(GOOD, &output, json!({}), variables.clone()).await;
    let (result, _) = bench.grade().await;
    assert_eq!(result.unwrap().score, Score::ONE);

    // The marker is ours, not the submitter's words.
    let marker = GOOD.replace("80 EUR back", "key is [redacted: API_KEY]");
    let (bench, _server) = judged(&marker, &output, json!({}), variables.clone()).await;
    let (result, _) = bench.grade().await;
    assert_eq!(result.unwrap_err().kind, ErrorKind::JudgeOffMenu);

    let (bench, _server) = judged(&unfulfilled(), &output, json!({}), variables).await;
    let (result, _) = bench.grade().await;
    assert_eq!(result.unwrap_err().kind, ErrorKind::JudgeInputRedacted);
}

#[tokio::test]
async fn a_job_with_more_variables_than_can_be_looked_for_is_not_shown_to_a_judge() {
    let (bench, server) = judged(GOOD, REPLY, json!({}), json!({"V": "v".repeat(300_000)})).await;
    let (result, _) = bench.grade().await;
    assert_eq!(result.unwrap_err().kind, ErrorKind::JudgeInputRedacted);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn work_that_is_not_shown_whole_is_not_judged_unless_the_plan_says_so() {
    let output = REPLY.to_owned() + &"Padding. ".repeat(200);
    let (bench, server) = judged(GOOD, &output, json!({"max_input_bytes": 500}), json!({})).await;
    let (result, _) = bench.grade().await;
    insta::assert_snapshot!(result.unwrap_err(), @"judge-input-too-large: the judge would not see about 1336 bytes of output text; look at it yourself, raise max_input_bytes in the plan, or set partial = true there to judge by what fits");
    assert!(server.requests().is_empty(), "no call is paid");

    let more = json!({"max_input_bytes": 500, "partial": true});
    let (bench, _server) = judged(GOOD, &output, more, json!({})).await;
    let (result, _) = bench.grade().await;
    let verdict = result.unwrap();
    assert!(verdict.passed);
    insta::assert_snapshot!(verdict.reason, @"3 of 3 criteria fulfilled, score 1.000 (passes at 1.000); judged by a part of what was handed in");
    let evidence = verdict.evidence.last().unwrap();
    assert_eq!(
        (evidence.label.as_str(), evidence.text.as_str()),
        ("not-shown", "about 1336 bytes of output text")
    );
}

fn file(folder: &Path, index: usize, bytes: &[u8]) -> EvidenceFile {
    let path = folder.join(index.to_string());
    std::fs::write(&path, bytes).unwrap();
    EvidenceFile {
        name: format!("{index}.txt"),
        content_type: Some("text/plain".to_owned()),
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
        role: FileRole::Output,
        path,
    }
}

#[tokio::test]
async fn a_picture_is_listed_and_a_spoiled_text_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(Vec<&[u8]>, bool); 6] = [
        (vec![b"\x89PNG\r\n\x1a\n\0\0", b"words"], true),
        (vec![b"\x89PNG\r\n\x1a\n\0\0"; 40], true),
        (vec![b"words and a \0"], false),
        (vec![b"\xff\xfeU\0T\0F\0"], false),
        (vec![b"words"; 33], false),
        (vec![b"\x89PNG"; 65], false),
    ];
    for (files, seen) in cases {
        let (mut bench, server) = judged(GOOD, REPLY, json!({}), json!({})).await;
        let files = files.iter().enumerate();
        bench.submission.files = files
            .map(|(index, bytes)| file(folder.path(), index, bytes))
            .collect();
        let (result, _) = bench.grade().await;
        match result {
            Ok(verdict) => assert!(seen && verdict.passed),
            Err(error) => {
                assert!(!seen, "{error}");
                assert_eq!(error.kind, ErrorKind::JudgeInputTooLarge);
                assert!(server.requests().is_empty(), "no call is paid");
            }
        }
    }
}
