//! What a model that answers leads to.

use std::sync::Arc;

use assay::entry::{Audience, EntryType};
use assay::graders::rubric::{Judge, JudgeSettings, ResponseFormat, nothing_kept};
use assay::verdict::{ErrorKind, Score};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::bench::{Bench, GOOD, built, next, plan, settings, texts};
use crate::openai_server::{Ending, OpenAiServer, Script, content, finish, reasoning, usage};

#[tokio::test]
async fn a_streamed_answer_becomes_a_verdict_with_its_evidence() {
    let server = OpenAiServer::start([Script::answer(GOOD)]).await.unwrap();
    let (result, entries) = Bench::new(Judge::live(settings(&server)).unwrap()).grade().await;
    let verdict = result.unwrap();
    assert_eq!((verdict.passed, verdict.score), (true, Score::ONE));
    insta::assert_snapshot!(verdict.reason, @"3 of 3 criteria fulfilled, score 1.000 (passes at 1.000)");
    insta::assert_snapshot!(verdict.evidence[0].text, @"
    met: It names the sum.
    evidence: 80 EUR back
    ");
    assert!(
        verdict
            .evidence
            .iter()
            .all(|evidence| evidence.audience == Audience::Operator)
    );
    assert_eq!(verdict.provenance.engine.as_deref(), Some("served-model-1"));
    assert_eq!(verdict.provenance.judge_mode.as_deref(), Some("live"));
    assert_eq!(texts(&entries, EntryType::Reasoning).concat(), GOOD);
    insta::assert_snapshot!(texts(&entries, EntryType::Info).join("\n"), @"judge (live): served-model-1 answered; 100 tokens in, 20 out");
    let request = &server.requests()[0];
    assert_eq!(request["model"], "asked-model");
    assert_eq!(request["response_format"]["json_schema"]["strict"], true);
    assert!(!request.to_string().contains("canary"));
}

#[tokio::test]
async fn what_the_settings_say_is_asked_for_and_nothing_else() {
    let server = OpenAiServer::start([Script::answer(GOOD)]).await.unwrap();
    let plain = settings(&server);
    let (result, _) = Bench::new(Judge::live(plain.clone()).unwrap()).grade().await;
    assert!(result.unwrap().passed);
    let words = JudgeSettings {
        response_format: ResponseFormat::Text,
        temperature: Some(0.0),
        max_completion_tokens: Some(900),
        ..plain
    };
    let (result, _) = Bench::new(Judge::live(words).unwrap()).grade().await;
    assert!(result.unwrap().passed);
    let requests = server.requests();
    assert_eq!(requests[0].get("temperature"), None);
    assert_eq!(requests[0].get("max_completion_tokens"), None);
    assert_eq!(requests[1].get("response_format"), None);
    assert_eq!(requests[1]["temperature"], 0.0);
    assert_eq!(requests[1]["max_completion_tokens"], 900);
}

#[tokio::test]
async fn a_model_is_named_by_the_settings_or_by_the_rubric() {
    let server = OpenAiServer::start([Script::answer(GOOD)]).await.unwrap();
    let nameless = JudgeSettings {
        model: None,
        ..settings(&server)
    };
    let judge = || Judge::live(nameless.clone()).unwrap();
    let (result, _) = Bench::new(judge()).grade().await;
    insta::assert_snapshot!(result.unwrap_err(), @"model-request-refused: no model is named for the grader `quality`: set ASSAY_MODEL, or `model` under [judge] in assay.toml, or `model` in the plan");
    let own = json!({"model": "of-the-plan"});
    let (result, _) = Bench::with(judge(), "Dear Ms Ortiz,\nyou get 80 EUR back.\n", own.clone())
        .grade()
        .await;
    assert!(result.unwrap().passed);
    assert_eq!(server.requests()[0]["model"], "of-the-plan");

    let named = Judge::live(settings(&server)).unwrap();
    assert!(judge().check_against(&plan(json!({}))).is_err());
    assert!(judge().check_against(&plan(own)).is_ok());
    assert!(named.check_against(&plan(json!({}))).is_ok());
}

#[tokio::test]
async fn the_default_model_is_no_other_one_than_itself() {
    let server = OpenAiServer::start([Script::answer(GOOD)]).await.unwrap();
    let judge = Judge::live(settings(&server)).unwrap();
    for (of_plan, other) in [("asked-model", "asked-model"), ("a", "asked-model")] {
        let is_same = of_plan == other;
        for another in [
            json!({"escalate_to": other}),
            json!({"influence": {"model": other, "on_yes": "park"}}),
        ] {
            let mut more = another;
            if !is_same {
                more["model"] = of_plan.into();
            }
            let refused = judge.check_against(&plan(more.clone())).is_err();
            assert_eq!(refused, is_same, "{more}");
            let built = built(judge.clone(), nothing_kept(), more).map_err(|error| error.kind);
            assert_eq!(built.err(), is_same.then_some(ErrorKind::PlanInvalid));
        }
    }
}

#[tokio::test]
async fn the_public_reason_names_what_is_missing_but_no_hidden_criterion() {
    let answer = GOOD
        .replace(
            r#""reason": "There is none.", "met": false"#,
            r#""reason": "An ad.", "met": true"#,
        )
        .replace(
            r#""reason": "It greets.", "met": true"#,
            r#""reason": "It does not.", "met": false"#,
        );
    let server = OpenAiServer::start([Script::answer(&answer)]).await.unwrap();
    let (result, _) = Bench::new(Judge::live(settings(&server)).unwrap()).grade().await;
    let verdict = result.unwrap();
    assert_eq!((verdict.passed, verdict.score.millionths()), (false, 333_333));
    insta::assert_snapshot!(verdict.reason, @"1 of 3 criteria fulfilled, score 0.333 (passes at 1.000); not fulfilled: polite, 1 hidden");
}

#[tokio::test]
async fn an_answer_off_the_menu_is_asked_again_once_with_what_was_wrong() {
    let server = OpenAiServer::start([Script::answer(r#"{"refund": {}}"#), Script::answer(GOOD)])
        .await
        .unwrap();
    let (result, _) = Bench::new(Judge::live(settings(&server)).unwrap()).grade().await;
    assert!(result.unwrap().passed);
    let requests = server.requests();
    let user = |index: usize| {
        requests[index]["messages"][1]["content"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (_, complaint) = user(1)
        .split_once("# Your previous answer")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    insta::assert_snapshot!(complaint, @"
     was not accepted

    the answer for criterion `refund` has no `met`, or one of the wrong type. Judge again from the beginning and answer in the form above.
    ");
    assert!(!user(0).contains("# Your previous answer"));
    let nonce = |text: &str| text.split("<<<BEGIN ").nth(1).unwrap()[..32].to_owned();
    assert_ne!(
        nonce(&user(0)),
        nonce(&user(1)),
        "each call has a nonce of its own"
    );
}

#[tokio::test]
async fn reasoning_is_in_the_log_before_the_model_has_ended() {
    let go_on = Arc::new(Notify::new());
    let script = Script::stream([
        reasoning("Let me see: "),
        content(GOOD),
        finish("stop"),
        usage(9, 3),
    ])
    .wait_before(1, &go_on);
    let server = OpenAiServer::start([script]).await.unwrap();
    let mut bench = Bench::new(Judge::live(settings(&server)).unwrap());
    let (grader, submission, context) = (bench.grader, bench.submission, bench.context);
    let grading = tokio::spawn(async move { grader.grade(&submission, &context).await });
    let first = next(&mut bench.entries).await;
    assert_eq!(
        (first.kind, first.content.as_str()),
        (EntryType::Reasoning, "Let me see: ")
    );
    assert_eq!(first.audience, Audience::Operator);
    assert!(!grading.is_finished());
    go_on.notify_one();
    assert!(grading.await.unwrap().unwrap().passed);
}

#[tokio::test]
async fn a_verification_that_is_called_off_or_out_of_time_ends_at_once() {
    let script = Script::stream([reasoning("Let me see: ")]).cut(Ending::Silence);
    let server = OpenAiServer::start([script]).await.unwrap();
    let mut bench = Bench::new(Judge::live(settings(&server)).unwrap());
    let (grader, submission, context) = (bench.grader, bench.submission, bench.context);
    let cancel = context.cancel.clone();
    let grading = tokio::spawn(async move { grader.grade(&submission, &context).await });
    next(&mut bench.entries).await;
    cancel.cancel();
    assert_eq!(grading.await.unwrap().unwrap_err().kind, ErrorKind::Cancelled);

    let mut bench = Bench::new(Judge::live(settings(&server)).unwrap());
    bench.context.deadline = Instant::now();
    let (result, _) = bench.grade().await;
    assert_eq!(result.unwrap_err().kind, ErrorKind::DeadlineExceeded);
}
