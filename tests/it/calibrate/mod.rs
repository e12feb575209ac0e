//! `assay calibrate` on judges whose worth is known: made up, answer by answer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod blessed;
mod trouble;

use std::fmt::Write as _;

use serde_json::json;

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
