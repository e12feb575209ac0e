//! What becomes of the ways in which a model can fail: never a verdict.

use std::time::Duration;

use assay::entry::EntryType;
use assay::graders::rubric::{Judge, JudgeSettings};
use assay::verdict::ErrorKind;
use serde_json::{Value, json};

use super::bench::{Bench, GOOD, settings, texts};
use crate::openai_server::{Ending, OpenAiServer, Piece, Script, content, finish, reasoning, refusal};

/// Every way in which a model can fail: what it is called, and that it is asked exactly as often as it should.
#[tokio::test]
async fn no_trouble_of_the_model_becomes_a_verdict() {
    use ErrorKind::*;
    let stream = |events: &[Value]| Script::stream(events.iter().cloned());
    let half = [content(&GOOD[..40])];
    let whole = [content(GOOD), finish("stop")];
    let cases = [
        (
            "429 in words",
            Script::body(429, "slow down"),
            ModelRateLimited,
            1,
        ),
        (
            "429 in JSON",
            Script::body(
                429,
                r#"{"error": {"message": "m", "code": "rate_limit_exceeded"}}"#,
            )
            .header("retry-after", "7"),
            ModelRateLimited,
            1,
        ),
        ("500", Script::body(500, "oops"), ModelUnavailable, 1),
        (
            "503 that breaks off",
            Script::body(503, "oops").cut(Ending::Dropped),
            ModelUnavailable,
            1,
        ),
        (
            "400",
            Script::body(400, r#"{"error": {"message": "m"}}"#),
            ModelRequestRefused,
            // Once with a schema, once in words.
            2,
        ),
        ("401", Script::body(401, ""), ModelRequestRefused, 1),
        ("403", Script::body(403, ""), ModelRequestRefused, 1),
        ("404", Script::body(404, "<html>"), ModelRequestRefused, 1),
        (
            "redirect",
            Script::body(302, "").header("location", "http://127.0.0.1:1/"),
            ModelRequestRefused,
            1,
        ),
        (
            "prompt too long for the model",
            Script::body(
                400,
                r#"{"error": {"message": "m", "code": "context_length_exceeded"}}"#,
            ),
            JudgeInputTooLarge,
            1,
        ),
        (
            "prompt too long for llama.cpp",
            Script::body(
                400,
                r#"{"error": {"code": 400, "message": "m", "type": "exceed_context_size_error", "n_ctx": 4096}}"#,
            ),
            JudgeInputTooLarge,
            1,
        ),
        (
            "prompt too long for vLLM",
            Script::body(
                400,
                r#"{"object": "error", "message": "This model's maximum context length is 4096 tokens.",
                    "type": "BadRequestError", "code": 400}"#,
            ),
            JudgeInputTooLarge,
            1,
        ),
        (
            "a filter of the endpoint",
            Script::body(
                400,
                r#"{"error": {"message": "m", "type": null, "code": "content_filter"}}"#,
            ),
            JudgeRefused,
            1,
        ),
        (
            "dropped before the first word",
            stream(&[]).cut(Ending::Dropped),
            ModelStreamCut,
            1,
        ),
        (
            "dropped in the middle",
            stream(&half).cut(Ending::Dropped),
            ModelStreamCut,
            1,
        ),
        (
            "ends in the middle",
            stream(&half).cut(Ending::Proper),
            ModelStreamCut,
            1,
        ),
        (
            "whole, but without finish_reason",
            stream(&whole[..1]),
            ModelStreamCut,
            1,
        ),
        (
            "an error inside the stream",
            stream(&[json!({"error": {"message": "m"}})]),
            ModelStreamCut,
            1,
        ),
        (
            "gives up",
            stream(&[content(GOOD), finish("error")]),
            ModelStreamCut,
            1,
        ),
        (
            "gives up, and ends all the same",
            stream(&[
                content(GOOD),
                finish("insufficient_system_resource"),
                finish("stop"),
            ]),
            ModelStreamCut,
            1,
        ),
        (
            "breaks off where every event has an empty finish_reason",
            stream(&[content(&GOOD[..40]), finish("")]),
            ModelStreamCut,
            1,
        ),
        (
            "garbage",
            Script::body(200, "<html>It works!</html>"),
            ModelStreamCut,
            1,
        ),
        (
            "garbage events",
            Script::body(200, "data: {]\n\n"),
            ModelStreamCut,
            1,
        ),
        (
            "events of another kind",
            Script::body(200, "data: []\n\n"),
            ModelStreamCut,
            1,
        ),
        (
            "finish_reason length",
            stream(&[content(GOOD), finish("length")]),
            JudgeOffMenu,
            2,
        ),
        ("an empty answer", stream(&[finish("stop")]), JudgeOffMenu, 2),
        (
            "ten megabytes",
            stream(&[content(&"x".repeat(10 << 20)), finish("stop")]),
            JudgeOffMenu,
            2,
        ),
        (
            "ten megabytes, bit by bit",
            Script::stream(vec![content(&"x".repeat(1 << 10)); 10 << 10]),
            JudgeOffMenu,
            2,
        ),
        (
            "one line without an end",
            Script::body(200, "x".repeat(20 << 20)),
            JudgeOffMenu,
            2,
        ),
        (
            "a refusal",
            stream(&[refusal("I cannot."), finish("stop")]),
            JudgeRefused,
            1,
        ),
        (
            "a filter",
            stream(&[content("x"), finish("content_filter")]),
            JudgeRefused,
            1,
        ),
        ("words", Script::answer("It is fine."), JudgeOffMenu, 2),
        (
            "a quote that is not there",
            Script::answer(&GOOD.replace("80 EUR back", "900 EUR back")),
            JudgeOffMenu,
            2,
        ),
        (
            "a quote that says nothing",
            Script::answer(&GOOD.replace("80 EUR back", "you")),
            JudgeOffMenu,
            2,
        ),
    ];
    for (name, script, kind, asked) in cases {
        let server = OpenAiServer::start([script]).await.unwrap();
        let (result, entries) = Bench::new(Judge::live(settings(&server)).unwrap()).grade().await;
        let error = result.unwrap_err();
        assert_eq!(error.kind, kind, "{name}: {error}");
        assert_eq!(server.requests().len(), asked, "{name}");
        let tokens = texts(&entries, EntryType::Info);
        assert_eq!(
            tokens.iter().filter(|text| text.contains("tokens")).count(),
            asked,
            "{name}: {tokens:?}"
        );
    }
}

#[tokio::test]
async fn a_model_that_says_nothing_or_is_not_there_is_unavailable() {
    for script in [
        Script::stream([]).cut(Ending::Silence),
        Script::stream([content("{"), reasoning("hm")]).cut(Ending::Silence),
    ] {
        let server = OpenAiServer::start([script]).await.unwrap();
        let settings = JudgeSettings {
            call_timeout: Duration::from_millis(150),
            ..settings(&server)
        };
        let (result, _) = Bench::new(Judge::live(settings).unwrap()).grade().await;
        assert_eq!(result.unwrap_err().kind, ErrorKind::ModelUnavailable);
    }
    let server = OpenAiServer::start([]).await.unwrap();
    let judge = Judge::live(settings(&server)).unwrap();
    drop(server);
    let (result, _) = Bench::new(judge).grade().await;
    assert_eq!(result.unwrap_err().kind, ErrorKind::ModelUnavailable);
    let (result, _) = Bench::new(Judge::none()).grade().await;
    insta::assert_snapshot!(result.unwrap_err(), @"no-judge: no judge is set up: set OPENAI_BASE_URL and OPENAI_API_KEY, or give the fixture recorded or scripted answers");
}

#[tokio::test]
async fn an_endpoint_that_repeats_the_key_does_not_get_it_into_our_texts() {
    for status in [400, 401, 429, 500] {
        let mut script = Script::body(status, r#"{"error": {"message": ""#);
        script.pieces.push(Piece::EchoKey);
        script.pieces.push(Piece::Text(r#"", "code": ""#.to_owned()));
        script.pieces.push(Piece::EchoKey);
        script.pieces.push(Piece::Text(r#""}}"#.to_owned()));
        let server = OpenAiServer::start([script]).await.unwrap();
        let judge = Judge::live(settings(&server)).unwrap();
        assert!(!format!("{judge:?}").contains("canary"));
        let (result, entries) = Bench::new(judge).grade().await;
        let told = format!("{:?} {entries:?}", result.unwrap_err());
        assert!(!told.contains("canary"), "{told}");
    }
}
