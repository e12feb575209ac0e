//! Calls of models: kept with the verification, played back, used again after a crash.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use assay::entry::{EntryType, VerificationId};
use assay::graders::rubric::{Judge, JudgeSettings, ResponseFormat};
use assay::job::JobId;
use assay::journal::{Cause, Journal, JournalKeeper, NewVerification, SqliteJournal};
use assay::model_call::{CallFinish, LoggedCalls, ModelCall};
use assay::plan::PlanRef;
use assay::verdict::ErrorKind;
use serde_json::json;

use super::bench::{Bench, GOOD, settings, texts};
use crate::openai_server::{OpenAiServer, Script, content, finish};

struct Desk {
    journal: Arc<SqliteJournal>,
    _folder: tempfile::TempDir,
}

impl Desk {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(&folder.path().join("j.sqlite"))
            .await
            .unwrap();
        Self {
            journal: Arc::new(journal),
            _folder: folder,
        }
    }

    /// Keeps a call as if the first verification had made it.
    async fn keep(&self, call: &ModelCall) {
        let job_id = JobId::new("j1");
        let first = self.journal.verifications(&job_id).await.unwrap()[0].id;
        self.journal.keep_call((first, &job_id, 0), call).await.unwrap();
    }

    /// Grades as one verification of the same hand-in; gives back the calls that it kept.
    async fn grade(&self, judge: Judge, reuse: bool) -> (Result<String, ErrorKind>, String, Calls) {
        let id = VerificationId::new();
        let job_id = JobId::new("j1");
        let bench = Bench::new(judge.clone());
        self.journal
            .begin(&NewVerification {
                id,
                job_id: job_id.clone(),
                attempt: 0,
                cause: Cause::Desk,
                plan: PlanRef {
                    name: "p".into(),
                    digest: bench.submission.digest,
                },
                submission: bench.submission.digest,
                started_at: jiff::Timestamp::now(),
            })
            .await
            .unwrap();
        let journal = Arc::clone(&self.journal);
        let calls = JournalKeeper::of(Arc::clone(&journal) as Arc<dyn Journal>, id, (&job_id, 0), reuse);
        let (result, entries) = bench.kept_by(judge, calls, json!({})).grade().await;
        let result = result.map(|verdict| verdict.reason).map_err(|error| error.kind);
        let log = texts(&entries, EntryType::Info).join("\n");
        let logged = LoggedCalls::of(&entries);
        self.journal.append(id, entries).await.unwrap();
        let kept = self.journal.model_calls(id).await.unwrap();
        (result, log, Calls { kept, logged })
    }
}

/// The calls of a verification, as they are kept and as its log names them.
struct Calls {
    kept: Vec<ModelCall>,
    logged: LoggedCalls,
}

impl Calls {
    fn judge(&self) -> Judge {
        Judge::kept(self.kept.clone(), self.logged.clone())
    }
}

#[tokio::test]
async fn a_call_is_kept_with_all_that_judging_again_needs() {
    let server = OpenAiServer::start([
        Script::answer("off the menu"),
        Script::answer(GOOD),
        Script::stream([content(&GOOD[..40])]),
    ])
    .await
    .unwrap();
    let desk = Desk::new().await;
    let judge = Judge::live(settings(&server)).unwrap();
    let (result, _, then) = desk.grade(judge.clone(), false).await;
    let (reason, calls) = (result.unwrap(), &then.kept);
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].finish, CallFinish::Complete);
    insta::assert_snapshot!(calls[0].rejected.as_deref().unwrap(), @"the answer is not one JSON object in the form that was asked for");
    let call = &calls[1];
    assert_eq!(call.criteria, ["refund", "polite", "spam"]);
    assert_eq!(
        (call.rejected.as_deref(), call.answer.as_deref()),
        (None, Some(GOOD))
    );
    assert_eq!(
        (call.model_asked.as_str(), call.model.as_deref()),
        ("asked-model", Some("served-model-1"))
    );
    assert_eq!(call.usage.map(|usage| usage.prompt_tokens), Some(100));
    // The prompt is the one that was sent, nonce and all.
    let sent = server.requests()[1]["messages"].to_string();
    assert_eq!(call.prompt.as_deref(), Some(sent.as_str()));
    assert!(sent.contains("<<<BEGIN"));

    // Judged again without the model: the same, re-ask and all.
    let asked = server.requests().len();
    let (again, _, _) = desk.grade(then.judge(), false).await;
    assert_eq!(again.unwrap(), reason);
    assert_eq!(server.requests().len(), asked);
    let nothing = Judge::kept([], LoggedCalls::default());
    let (nothing, _, _) = desk.grade(nothing, false).await;
    assert_eq!(nothing.unwrap_err(), ErrorKind::ReplayMismatch);

    // A call that failed is kept with what was heard of it, and fails again.
    let (cut, _, calls) = desk.grade(judge, false).await;
    assert_eq!(cut.unwrap_err(), ErrorKind::ModelStreamCut);
    assert_eq!(
        calls.kept[0].finish,
        CallFinish::Failed(ErrorKind::ModelStreamCut)
    );
    assert_eq!(calls.kept[0].answer.as_deref(), Some(&GOOD[..40]));
    let (again, _, _) = desk.grade(calls.judge(), false).await;
    assert_eq!(again.unwrap_err(), ErrorKind::ModelStreamCut);
}

#[tokio::test]
async fn a_kept_answer_that_is_not_the_one_in_the_log_is_an_error_and_never_a_verdict() {
    let server = OpenAiServer::start([Script::answer(GOOD)]).await.unwrap();
    let desk = Desk::new().await;
    let (first, _, then) = desk.grade(Judge::live(settings(&server)).unwrap(), false).await;
    assert!(first.is_ok());
    let forged = ModelCall {
        id: uuid::Uuid::now_v7(),
        answer: Some(GOOD.replace("true", "false")),
        ..then.kept[0].clone()
    };
    let judged_by = async |kept: &[ModelCall]| {
        let judge = Judge::kept(kept.iter().cloned(), then.logged.clone());
        desk.grade(judge, false).await.0
    };
    assert_eq!(
        judged_by(std::slice::from_ref(&forged)).await,
        Err(ErrorKind::AnswerChanged)
    );
    assert_eq!(judged_by(&[]).await, Err(ErrorKind::AnswerChanged));
    // Put in later, beside the one that was given: it is not heard.
    assert_eq!(judged_by(&[then.kept[0].clone(), forged]).await, first);
}

#[tokio::test]
async fn an_answer_that_nobody_gave_is_not_used_again_and_the_judge_is_asked() {
    let server = OpenAiServer::start([Script::answer(GOOD), Script::answer(GOOD)])
        .await
        .unwrap();
    let desk = Desk::new().await;
    let judge = Judge::live(settings(&server)).unwrap();
    let (first, _, then) = desk.grade(judge.clone(), true).await;
    let forged = ModelCall {
        id: uuid::Uuid::now_v7(),
        answer: Some(GOOD.replace("true", "false")),
        ..then.kept[0].clone()
    };
    desk.keep(&forged).await;
    let (second, log, _) = desk.grade(judge, true).await;
    assert_eq!(second, first);
    assert_eq!(server.requests().len(), 2);
    assert!(
        log.contains("is not used, the judge is asked again") && log.contains("not the answer that the log"),
        "{log}"
    );
}

#[tokio::test]
async fn what_a_run_before_a_crash_has_paid_for_is_not_paid_again() {
    let server = OpenAiServer::start([
        Script::stream([content(GOOD), finish("length")]),
        Script::body(503, "down"),
        Script::answer(GOOD),
    ])
    .await
    .unwrap();
    let desk = Desk::new().await;
    let judge = Judge::live(settings(&server)).unwrap();
    // Truncated, then down: neither is an answer.
    let (first, _, _) = desk.grade(judge.clone(), true).await;
    assert_eq!(first.unwrap_err(), ErrorKind::ModelUnavailable);
    let (second, _, paid) = desk.grade(judge.clone(), true).await;
    let asked = server.requests().len();
    let (third, log, calls) = desk.grade(judge.clone(), true).await;
    assert_eq!(third, second);
    assert_eq!(server.requests().len(), asked);
    insta::assert_snapshot!(log, @"the judge is not asked again: this answer was paid for in an earlier run");
    // It is in the books of this run, too, so that it can be judged again; at no cost.
    assert_eq!(calls.kept.len(), 1);
    assert_eq!(
        (calls.kept[0].reused, calls.kept[0].cost_microcents),
        (Some(paid.kept[0].id), Some(0))
    );
    let (replayed, _, _) = desk.grade(calls.judge(), false).await;
    assert_eq!(replayed, second);
    // Whoever wants to hear the judge anew does.
    assert_eq!(desk.grade(judge, false).await.0, second);
    assert_eq!(server.requests().len(), asked + 1);
}

#[tokio::test]
async fn an_endpoint_that_refuses_schemas_is_asked_in_words_from_then_on() {
    let server = OpenAiServer::start([
        Script::body(400, r#"{"error": {"code": "unsupported_response_format"}}"#),
        Script::answer(GOOD),
    ])
    .await
    .unwrap();
    let desk = Desk::new().await;
    let judge = Judge::live(settings(&server)).unwrap();
    for _ in 0..2 {
        let (result, _, calls) = desk.grade(judge.clone(), false).await;
        assert!(result.is_ok());
        let last = calls.kept.last().unwrap();
        assert_eq!(last.parameters["response_format"], "text");
    }
    assert_eq!(schemas_asked(&server), [true, false, false]);
}

/// Whether each request had a schema.
fn schemas_asked(server: &OpenAiServer) -> Vec<bool> {
    let requests = server.requests();
    let with_schema = requests
        .iter()
        .map(|request| request.get("response_format").is_some());
    with_schema.collect()
}

#[tokio::test]
async fn a_text_that_an_endpoint_refuses_takes_the_schema_from_nobody() {
    for body in [
        r#"{"error": {"code": 400, "message": "m", "type": "exceed_context_size_error"}}"#,
        r#"{"error": {"code": "content_filter"}}"#,
        r#"{"error": {"message": "who knows"}}"#,
    ] {
        let refused = || Script::body(400, body);
        let server = OpenAiServer::start([refused()]).await.unwrap();
        let desk = Desk::new().await;
        let judge = Judge::live(settings(&server)).unwrap();
        for _ in 0..2 {
            let before = server.requests().len();
            assert!(desk.grade(judge.clone(), false).await.0.is_err());
            assert!(schemas_asked(&server)[before], "{body}");
        }
    }
}

#[tokio::test]
async fn an_answer_of_another_model_or_of_other_settings_is_not_used_again() {
    let server = OpenAiServer::start([Script::answer(GOOD)]).await.unwrap();
    let other_server = OpenAiServer::start([Script::answer(GOOD)]).await.unwrap();
    let desk = Desk::new().await;
    let usual = settings(&server);
    let asked = || server.requests().len() + other_server.requests().len();
    let mut expected = 0;
    for (changed, asked_anew) in [
        (usual.clone(), true),
        (usual.clone(), false),
        (
            JudgeSettings {
                model: Some("a better model".to_owned()),
                ..usual.clone()
            },
            true,
        ),
        (
            JudgeSettings {
                temperature: Some(0.5),
                ..usual.clone()
            },
            true,
        ),
        (
            JudgeSettings {
                base_url: other_server.base_url.clone(),
                ..usual.clone()
            },
            true,
        ),
        // How the form is asked for is no other question.
        (
            JudgeSettings {
                base_url: other_server.base_url.clone(),
                response_format: ResponseFormat::Text,
                ..usual.clone()
            },
            false,
        ),
    ] {
        let (result, _, calls) = desk.grade(Judge::live(changed).unwrap(), true).await;
        assert!(result.is_ok());
        expected += usize::from(asked_anew);
        assert_eq!(asked(), expected);
        assert_eq!(calls.kept[0].reused.is_none(), asked_anew);
    }
}
