//! Answers that were kept.

use assay::entry::EntryType;
use assay::graders::rubric::Judge;
use assay::verdict::ErrorKind;
use serde_json::json;

use super::bench::{Bench, GOOD, settings, texts};
use crate::openai_server::{OpenAiServer, Script, content, finish};

#[tokio::test]
async fn what_was_recorded_is_replayed_without_the_model_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judge.json");
    let server = OpenAiServer::start([
        Script::answer("off the menu"),
        Script::answer(GOOD),
        Script::body(500, "oops"),
        Script::stream([content(GOOD), finish("length")]),
    ])
    .await
    .unwrap();
    let record = || Judge::record(settings(&server), &path).unwrap();
    let (recorded, _) = Bench::new(record()).grade().await;
    // Neither the failed call nor the truncated answer may replace what is kept.
    for _ in 0..2 {
        let (result, _) = Bench::new(record()).grade().await;
        assert!(result.is_err());
    }
    let asked = server.requests().len();
    let (replayed, entries) = Bench::new(Judge::replay(&path).unwrap()).grade().await;
    let mut expected = recorded.unwrap();
    expected.provenance.judge_mode = Some("replay".to_owned());
    assert_eq!(replayed.unwrap(), expected);
    assert_eq!(
        texts(&entries, EntryType::Reasoning).concat(),
        format!("off the menu{GOOD}")
    );
    assert_eq!(server.requests().len(), asked);

    let other = [
        Bench::with(Judge::replay(&path).unwrap(), "Dear Ms Ortiz, no.", json!({})),
        Bench::with(
            Judge::replay(&path).unwrap(),
            "Dear Ms Ortiz,\nyou get 80 EUR back.\n",
            json!({"model": "m2"}),
        ),
    ];
    for bench in other {
        let (result, _) = bench.grade().await;
        let error = result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::ReplayMismatch);
        assert!(error.message.contains("mode `record`"), "{error}");
    }
    assert!(Judge::replay(&folder.path().join("none.json")).is_err());
}
