//! Ceilings of spending hold for `assay calibrate` and `assay attack`, too, however many calls are under way.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::openai_server::{OpenAiServer, Piece, Script, content, finish, usage};
use crate::workbench::Workbench;

/// What a call may cost, in cents: its twenty tokens, for a question costs nothing here.
const CALL: f64 = 0.2;

/// A ceiling of spending.
struct Ceiling(&'static str, f64);

/// Every call uses so many tokens, at a hundredth of a cent each. The report, and how many were asked.
async fn calibrate(votes: usize, cases: usize, ceiling: Ceiling, tokens: u64) -> (Value, usize) {
    let bench = bench(votes, ceiling);
    let line = json!({"prompt": "Do it.", "output": "Work.", "label": true}).to_string() + "\n";
    bench.write("cases.jsonl", &line.repeat(cases));
    let args = ["calibrate", "plan", "cases.jsonl", "--jobs", "4", "--json"];
    run(&bench, &args, tokens).await
}

/// A plan with so many votes, and a ceiling.
fn bench(votes: usize, Ceiling(key, cents): Ceiling) -> Workbench {
    let bench = Workbench::new();
    let plan = format!(
        "[[graders]]\nname = \"quality\"\nkind = \"rubric\"\nsamples = {votes}\n\
         criteria = [{{ id = \"done\", text = \"It is done.\", evidence = \"none\" }}]\n"
    );
    bench.plan("plan", &plan);
    let settings = format!(
        "[judge]\n{key} = {cents}\nmax_completion_tokens = 20\ntimeout_seconds = 20\n\
         [judge.prices.synthetic]\ninput = 0\noutput = 10000\n"
    );
    bench.write("assay.toml", &settings);
    bench
}

async fn run(bench: &Workbench, args: &[&str], tokens: u64) -> (Value, usize) {
    let words = json!({"done": {"reason": "So it seems.", "met": true}}).to_string();
    let mut answer = Script::stream([content(&words), finish("stop"), usage(100, tokens)]);
    // Two are under way together before one of them is answered. One that stays alone runs out of time.
    answer.pieces.insert(0, Piece::Meet(Arc::new(Barrier::new(2))));
    let server = OpenAiServer::start([answer]).await.unwrap();
    let mut command = bench.command(args);
    command
        .env("OPENAI_BASE_URL", &server.base_url)
        .env("ASSAY_MODEL", "synthetic");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (report, server.requests().len())
}

/// The kind of the error that each case ended with, where it did.
fn errors(report: &Value) -> Vec<Option<&str>> {
    let cases = report["cases"].as_array().unwrap().iter();
    cases
        .map(|case| case["said"][0]["error"]["kind"].as_str())
        .collect()
}

#[tokio::test]
async fn several_jurors_at_once_do_not_pass_the_ceiling_of_a_job_together() {
    let for_two = Ceiling("max_cents_per_job", 2.5 * CALL);
    let (report, asked) = calibrate(6, 1, for_two, 20).await;
    assert_eq!((errors(&report), asked), (vec![Some("spend-ceiling-job")], 2));
    // Calls that use less leave room for the others, one after the other.
    let for_three = Ceiling("max_cents_per_job", 3.0 * CALL);
    let (report, asked) = calibrate(6, 1, for_three, 5).await;
    assert_eq!((errors(&report), asked), (vec![None], 6));
}

#[tokio::test]
async fn cases_side_by_side_do_not_pass_the_ceiling_of_the_run_together() {
    let for_two = Ceiling("max_cents_per_day", 2.5 * CALL);
    let (report, asked) = calibrate(1, 6, for_two, 20).await;
    let refused = errors(&report).into_iter().flatten();
    assert_eq!(refused.collect::<Vec<_>>(), ["spend-ceiling-day"; 4]);
    assert_eq!(asked, 2);
    // Where calls use less, those that found no room beside the others are not given up.
    let for_three = Ceiling("max_cents_per_day", 3.0 * CALL);
    let (report, asked) = calibrate(1, 6, for_three, 5).await;
    assert_eq!((errors(&report), asked), (vec![None; 6], 6));
}

#[tokio::test]
async fn attacks_side_by_side_do_not_pass_the_ceiling_of_the_run_together() {
    let bench = bench(1, Ceiling("max_cents_per_day", 2.5 * CALL));
    let expects = "plan = \"plan\"\nexpect = \"retry\"\n";
    bench.fixture("poor", expects, json!({"output_text": "Work."}));
    let args = ["attack", "plan", "fixtures/poor", "--jobs", "4", "--json"];
    let (report, asked) = run(&bench, &args, 20).await;
    assert!(
        report["troubles"]["spend-ceiling-day"].as_u64() > Some(0),
        "{report}"
    );
    assert_eq!(asked, 2, "{report}");
}
