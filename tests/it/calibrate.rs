//! `assay calibrate` on judges whose worth is known: made up, answer by answer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::openai_server::{OpenAiServer, Script};
use crate::workbench::{Ended, Workbench};

const PLAN: &str = r#"
threshold = 1
[[graders]]
name = "quality"
kind = "rubric"
criteria = [{ id = "done", text = "It is done.", evidence = "none" }]
"#;

fn answer(met: bool) -> Script {
    Script::answer(&json!({"done": {"reason": "So it seems.", "met": met}}).to_string())
}

/// Lines with these labels, and a judge that says these things of them, in order.
async fn calibrate(cases: &[(bool, Script)], args: &[&str]) -> Ended {
    let bench = Workbench::new();
    bench.write("plan.toml", PLAN);
    let mut lines = String::new();
    for (number, (label, _)) in cases.iter().enumerate() {
        let line = json!({
            "id": format!("case {number}"), "prompt": "Do it.", "output": format!("Work {number} <b>."), "label": label,
            "labels": {"done": label},
        });
        let _ = writeln!(lines, "{line}");
    }
    bench.write("cases.jsonl", &lines);
    let server = OpenAiServer::start(cases.iter().map(|(_, script)| script.clone()))
        .await
        .unwrap();
    let mut command = bench.command(&["calibrate", "plan.toml", "cases.jsonl", "--jobs", "1"]);
    command
        .args(args)
        .env("OPENAI_BASE_URL", &server.base_url)
        .env("ASSAY_MODEL", "synthetic");
    let running = tokio::task::spawn_blocking(move || {
        let output = command.output().unwrap();
        let mut ended = Ended::of(&output, bench.path("").as_path());
        // What was written is of interest where nothing was complained of.
        if let Ok(page) = std::fs::read_to_string(bench.path("page.html")) {
            ended.err.push_str(&page);
        }
        ended
    });
    running.await.unwrap()
}

/// So many cases of each cell of the table, mixed as they come.
fn table(
    true_accepts: usize,
    false_accepts: usize,
    false_rejects: usize,
    true_rejects: usize,
) -> Vec<(bool, Script)> {
    let cells = [
        (true_accepts, true, true),
        (false_accepts, false, true),
        (false_rejects, true, false),
        (true_rejects, false, false),
    ];
    let cases = cells
        .into_iter()
        .flat_map(|(count, label, said)| vec![(label, answer(said)); count]);
    cases.collect()
}

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
async fn trouble_of_the_model_is_counted_apart_and_a_page_shows_every_disagreement() {
    let mut cases = table(20, 1, 0, 20);
    cases.push((true, Script::body(500, "oops")));
    let ended = calibrate(&cases, &["--html", "page.html"]).await;
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(
        ended.out.contains("no decision                     1"),
        "{}",
        ended.out
    );
    assert!(
        ended
            .out
            .contains("FALSE ACCEPT  case 20: 1 of 1 criteria fulfilled"),
        "{}",
        ended.out
    );
    assert!(
        ended.out.contains("no decision   case 41: model-unavailable"),
        "{}",
        ended.out
    );
    let page = ended.err;
    assert!(
        page.contains("Disagreements (2)") && page.contains("accepted falsely"),
        "{page}"
    );
    assert!(page.contains("Work 20 &lt;b&gt;.") && !page.contains("Work 20 <b>."));
    assert!(page.contains("met: So it seems."), "{page}");
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
fn a_wrong_case_is_named_by_file_and_line_before_a_model_is_asked() {
    let bench = Workbench::new();
    bench.write("plan.toml", PLAN);
    let wrong = |text: &str| {
        bench.write("cases.jsonl", text);
        let mut command = bench.command(&["calibrate", "plan.toml", "cases.jsonl"]);
        let output = command
            .env("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
            .env("ASSAY_MODEL", "m")
            .output()
            .unwrap();
        let ended = Ended::of(&output, bench.path("").as_path());
        assert_eq!(ended.code, 2);
        ended.err
    };
    let good = r#"{"prompt": "p", "output": "o", "label": 1}"#;
    insta::assert_snapshot!(wrong(&format!("{good}\n\n{{\"prompt\": \"p\", \"output\": \"o\", \"label\": \"so-so\"}}")), @r#"assay: cases.jsonl:3: invalid value: string "so-so", expected `verified` or `retry`, `pass` or `fail`, true or false, 1 or 0 at line 1 column 47"#);
    insta::assert_snapshot!(wrong(&format!("{good}\n{{\"prompt\": \"p\"}}")), @"assay: cases.jsonl:2: missing field `output` at line 1 column 15");
    insta::assert_snapshot!(wrong(r#"{"prompt": "p", "output": "o", "label": 1, "labels": {"don": true}}"#), @"assay: cases.jsonl:1: the plan `plan` has no criterion `don`: correct the label's name");
    insta::assert_snapshot!(wrong("\n"), @"assay: there is no labelled case: name folders with fixtures, or files with lines of {prompt, output, label}");
}

#[test]
fn what_would_count_twice_or_measure_nothing_is_refused_before_a_model_is_asked() {
    let bench = Workbench::new();
    bench.write("plan.toml", PLAN);
    bench.write("cases.jsonl", r#"{"prompt": "p", "output": "o", "label": 1}"#);
    let job = json!({
        "id": "j", "status": "submitted", "prompt": "p", "title": "t", "sender": "s", "output_text": "work",
        "created_at": "2026-11-20T08:00:00Z", "updated_at": "2026-11-20T08:00:00Z",
    });
    bench.write(
        "cases/one/fixture.toml",
        "plan = \"plan\"\nexpect = \"verified\"\n",
    );
    bench.write("cases/one/job.json", &job.to_string());
    bench.write(
        "cases/one/answers.toml",
        "[quality.criteria]\ndone = { met = true, reason = \"r\" }\n",
    );
    let wrong = |args: &[&str]| {
        let ended = bench.assay(&[&["calibrate", "plan.toml"], args].concat());
        assert_eq!(ended.code, 2, "{}{}", ended.out, ended.err);
        ended.err
    };
    let fixture = ["--judge", "fixture"];
    insta::assert_snapshot!(wrong(&[&["cases", "cases/one"][..], &fixture[..]].concat()), @"assay: cases/one is named twice: name each file and folder of cases once");
    insta::assert_snapshot!(wrong(&[&["cases.jsonl", "./cases.jsonl"][..], &fixture[..]].concat()), @"assay: ./cases.jsonl is named twice: name each file and folder of cases once");
    for judge in ["replay", "record", "fixture"] {
        let said = wrong(&["cases", "--samples", "2", "--judge", judge]);
        assert!(said.contains("--samples needs --judge live"), "{judge}: {said}");
    }
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

#[tokio::test]
async fn an_endpoint_that_is_down_or_turns_us_away_is_our_trouble_and_no_refusal() {
    for status in [503, 401] {
        let mut cases = table(0, 0, 0, 0);
        cases.extend((0..4).map(|number| (number % 2 == 0, Script::body(status, "no"))));
        let ended = calibrate(&cases, &[]).await;
        assert_eq!(ended.code, 3, "{status}: {}{}", ended.out, ended.err);
    }
    let words = vec![
        (true, Script::answer("It is fine.")),
        (false, Script::answer("So?")),
    ];
    assert_eq!(
        calibrate(&words, &[]).await.code,
        1,
        "a judge that is off the menu is refused"
    );
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
