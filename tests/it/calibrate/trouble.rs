//! Wrong cases, and trouble of ours.

use serde_json::json;

use super::{PLAN, calibrate, table};
use crate::openai_server::Script;
use crate::workbench::{Ended, Workbench};

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
