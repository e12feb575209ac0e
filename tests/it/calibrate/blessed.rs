//! Which judges are blessed, and which refused.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{PLAN, answer, calibrate, table};
use crate::openai_server::OpenAiServer;
use crate::workbench::Workbench;

#[tokio::test]
async fn a_judge_of_kappa_085_on_200_cases_is_blessed() {
    let ended = calibrate(
        &table(92, 7, 8, 93),
        &["--min-kappa", "0.75", "--max-false-accepts", "7"],
    )
    .await;
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let out = ended.out.split_once(' ').unwrap().1;
    let out = out.replace(out.split(['(', ')']).nth(1).unwrap(), "DIGEST");
    let (figures, wrong) = out.split_once("\n\ndisagreements").unwrap();
    assert!(wrong.ends_with("\nblessed: the judge agrees with the labels beyond chance and as asked for\n"));
    insta::assert_snapshot!(figures, @"
    plan (DIGEST) on 200 cases, once each; judge live (served-model-1)

                        judge: verified   judge: retry
      label: retry                    7 !             93
      label: verified                92                8
      no decision                     0

    false accepts  7 of 100 that must not be paid; 95 % interval of the rate 0.034 to 0.137 (Wilson)
    false rejects  8 of 100 that must be paid; 95 % interval of the rate 0.041 to 0.150 (Wilson)
    accuracy       0.925; 95 % interval 0.880 to 0.954 (Wilson)
    kappa          0.850; 95 % interval 0.770 to 0.920 (seeded bootstrap, 4000 resamples)
    base rate      50.0 % of the labels are `verified`

    criterion  cases  wrongly met  wrongly not met  kappa
    done         200            7                8  0.850 (0.770 to 0.920)

    200 calls, 20000 tokens in, 4000 out; cost not known: the model has no price in the settings
    ");
}

#[tokio::test]
async fn eight_perfect_cases_are_refused_as_too_few() {
    let ended = calibrate(&table(4, 0, 0, 4), &[]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.out.contains("kappa          1.000"), "{}", ended.out);
    assert!(
        ended.out.contains("refused: 8 cases with a decision are too few"),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn a_judge_that_always_says_yes_at_a_base_rate_of_95_percent_is_refused() {
    let ended = calibrate(&table(190, 10, 0, 0), &["--min-kappa", "-1"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.out.contains("accuracy       0.950"), "{}", ended.out);
    assert!(
        ended
            .out
            .contains("refused: the judge cannot be told from chance"),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn a_judge_at_chance_is_refused() {
    let ended = calibrate(&table(25, 25, 25, 25), &["--min-kappa", "-1"]).await;
    assert_eq!(ended.code, 1);
    assert!(
        ended
            .out
            .contains("refused: the judge cannot be told from chance"),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn a_judge_that_changes_its_mind_is_told_and_counted_where_it_pays_out() {
    let mut cases = table(20, 0, 0, 20);
    let more: Vec<_> = cases.iter().map(|(label, _)| answer(*label)).collect();
    let labels: Vec<_> = cases.iter().map(|(label, _)| *label).collect();
    // The second round: two other answers, one of them pays.
    let second = more.into_iter().enumerate().map(|(at, said)| match at {
        3 => answer(false),
        30 => answer(true),
        _ => said,
    });
    let answers: Vec<_> = cases
        .iter()
        .map(|(_, script)| script.clone())
        .chain(second)
        .collect();
    let bench = Workbench::new();
    bench.write("plan.toml", PLAN);
    let mut lines = String::new();
    for label in labels {
        let _ = writeln!(
            lines,
            "{}",
            json!({"prompt": "Do it.", "output": "Work.", "label": label})
        );
    }
    bench.write("cases.jsonl", &lines);
    cases.clear();
    let server = OpenAiServer::start(answers).await.unwrap();
    let args = [
        "calibrate",
        "plan.toml",
        "cases.jsonl",
        "--jobs",
        "1",
        "--samples",
        "2",
        "--json",
    ];
    let mut command = bench.command(&args);
    command.args(["--max-false-accepts", "0"]);
    command
        .env("OPENAI_BASE_URL", &server.base_url)
        .env("ASSAY_MODEL", "synthetic");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((&report["flips"], &report["kappa"]), (&json!(2), &json!(1.0)));
    assert_eq!(report["false_accepts_in_any_sample"], 1);
    insta::assert_snapshot!(report["refusals"][0].as_str().unwrap(), @"cases accepted falsely: 1, more than the 0 allowed");
    assert_eq!(report["spending"]["calls"], 80);
}

#[test]
fn a_plan_that_asks_no_judge_is_not_blessed_however_right_it_is() {
    let bench = Workbench::new();
    bench.write(
        "plan.toml",
        "[[graders]]\nname = \"same\"\nkind = \"diff\"\ncompare = \"exact\"\nexpected = { text = \"good\" }\n",
    );
    let mut lines = String::new();
    for number in 0..40 {
        let good = number % 2 == 0;
        let output = if good { "good" } else { "bad" };
        let _ = writeln!(
            lines,
            "{}",
            json!({"prompt": "p", "output": output, "label": good})
        );
    }
    bench.write("cases.jsonl", &lines);
    let ended = bench.assay(&["calibrate", "plan.toml", "cases.jsonl", "--judge", "fixture"]);
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("kappa          1.000"), "{}", ended.out);
    assert!(ended.out.contains("refused: no judge was asked"), "{}", ended.out);
}

#[test]
fn answers_written_by_hand_bless_nobody() {
    let bench = Workbench::new();
    bench.write("plan.toml", PLAN);
    for number in 0..40 {
        let (expect, met) = if number % 2 == 0 {
            ("verified", true)
        } else {
            ("retry", false)
        };
        let folder = format!("cases/{number}");
        bench.write(
            &format!("{folder}/fixture.toml"),
            &format!("plan = \"plan\"\nexpect = \"{expect}\"\n"),
        );
        let job = json!({
            "id": format!("j{number}"), "status": "submitted", "prompt": "p", "title": "t", "sender": "s",
            "output_text": "work", "created_at": "2026-11-20T08:00:00Z", "updated_at": "2026-11-20T08:00:00Z",
        });
        bench.write(&format!("{folder}/job.json"), &job.to_string());
        bench.write(
            &format!("{folder}/answers.toml"),
            &format!("[quality.criteria]\ndone = {{ met = {met}, reason = \"r\" }}\n"),
        );
    }
    let ended = bench.assay(&["calibrate", "plan.toml", "cases", "--judge", "fixture"]);
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
    assert!(
        ended
            .out
            .contains("refused: the judge's answers were written by hand"),
        "{}",
        ended.out
    );
}
