//! What calls cost, where it is told, and where it ends.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::{Arc, Mutex};

use assay::digest::Digest;
use assay::entry::{EntryType, VerificationId};
use assay::graders::rubric::{CallKeeper, Judge, JudgeSettings, Money, Paid, Price};
use assay::job::JobId;
use assay::journal::{Cause, Journal, JournalKeeper, NewVerification, SqliteJournal};
use assay::metrics::Metrics;
use assay::model_call::{ModelCall, Spent};
use assay::plan::PlanRef;
use assay::verdict::{ErrorKind, GradeError};
use async_trait::async_trait;
use serde_json::json;

use super::bench::{Bench, GOOD, settings, texts};
use crate::openai_server::{Ending, OpenAiServer, Script, content, finish, usage};

/// Keeps calls in memory, and says that so much was spent before.
#[derive(Default)]
struct Books {
    calls: Mutex<Vec<ModelCall>>,
    before: Spent,
}

#[async_trait]
impl CallKeeper for Books {
    async fn keep(&self, call: &ModelCall) -> Result<(), GradeError> {
        self.calls.lock().unwrap().push(call.clone());
        Ok(())
    }

    async fn paid(&self, _key: Digest) -> Result<Paid, GradeError> {
        Ok(Paid::Nothing)
    }

    async fn spent(&self) -> Result<Spent, GradeError> {
        Ok(self.before)
    }
}

fn priced(
    server: &OpenAiServer,
    max_cents_per_job: Option<f64>,
    max_cents_per_day: Option<f64>,
) -> JudgeSettings {
    let price = Price {
        input: 100.0,
        output: 400.0,
    };
    JudgeSettings {
        money: Money {
            prices: [("asked-model".to_owned(), price)].into(),
            max_cents_per_job,
            max_cents_per_day,
        },
        ..settings(server)
    }
}

#[tokio::test]
async fn the_cost_of_every_call_is_in_the_log_the_books_and_the_metrics() {
    let server = OpenAiServer::start([
        Script::answer("off the menu"),
        Script::stream([content(&GOOD[..90])]).cut(Ending::Dropped),
        Script::body(429, "slow down"),
    ])
    .await
    .unwrap();
    let metrics = Metrics::new();
    let judge = Judge::counted(priced(&server, None, None), metrics.clone()).unwrap();
    let books = Arc::new(Books::default());
    let mut log = String::new();
    for kind in [ErrorKind::ModelStreamCut, ErrorKind::ModelRateLimited] {
        let bench = Bench::new(judge.clone());
        let calls = Arc::clone(&books) as Arc<dyn CallKeeper>;
        let (result, entries) = bench.kept_by(judge.clone(), calls, json!({})).grade().await;
        assert_eq!(result.unwrap_err().kind, kind);
        log.push_str(&texts(&entries, EntryType::Info).join("\n"));
    }
    let calls = books.calls.lock().unwrap().clone();
    // 100 tokens in, 20 out.
    assert_eq!(
        (calls[0].cost_microcents, calls[0].usage_estimated),
        (Some(18_000), false)
    );
    assert!(log.contains("100 tokens in, 20 out, 0.0180 cents"), "{log}");
    // The stream broke off before the server counted: what was sent and heard is estimated.
    let heard = calls[1].usage.unwrap();
    assert_eq!((heard.completion_tokens, calls[1].usage_estimated), (30, true));
    assert_eq!(
        calls[1].cost_microcents,
        Some(heard.prompt_tokens * 100 + 30 * 400)
    );
    assert!(
        log.contains("the call failed (model-stream-cut); about "),
        "{log}"
    );
    // Turned away: nothing was used.
    assert_eq!((calls[2].usage, calls[2].cost_microcents), (None, Some(0)));
    let text = metrics.render().unwrap();
    for line in [
        r#"assay_llm_calls_total{model="asked-model",end="answered"} 1"#,
        r#"assay_llm_calls_total{model="asked-model",end="failed"} 2"#,
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[tokio::test]
async fn a_count_of_nothing_is_no_count() {
    for usage in [
        json!({}),
        json!({"prompt_tokens": 0, "completion_tokens": 20}),
        json!({"prompt_tokens": 100}),
        json!({"input_tokens": 100, "output_tokens": 20}),
        json!("a lot"),
    ] {
        let counted = json!({"model": "served-model-1", "choices": [], "usage": usage});
        let script = Script::stream([content(GOOD), finish("stop"), counted]);
        let server = OpenAiServer::start([script]).await.unwrap();
        let judge = Judge::live(priced(&server, None, None)).unwrap();
        let books = Arc::new(Books::default());
        let calls = Arc::clone(&books) as Arc<dyn CallKeeper>;
        let bench = Bench::new(judge.clone()).kept_by(judge, calls, json!({}));
        assert!(bench.grade().await.0.unwrap().passed);
        let calls = books.calls.lock().unwrap().clone();
        assert!(calls[0].usage_estimated, "{usage}");
        assert!(calls[0].cost_microcents > Some(0), "{usage}");
    }
}

#[tokio::test]
async fn a_panel_keeps_to_the_ceiling_of_its_own_job_and_is_asked_one_by_one_where_it_has_to_be() {
    // A call may cost a little less than half a cent by our estimate.
    for (tokens_in, tokens_out, expected, calls) in [
        (1_000, 1_000, Err(ErrorKind::SpendCeilingJob), 2),
        (100, 20, Ok(true), 7),
    ] {
        let answer = || Script::stream([content(GOOD), finish("stop"), usage(tokens_in, tokens_out)]);
        let server = OpenAiServer::start((0..7).map(|_| answer())).await.unwrap();
        let judge = Judge::live(priced(&server, Some(1.0), None)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(&folder.path().join("j.sqlite"))
            .await
            .unwrap();
        let journal = Arc::new(journal);
        let (id, job_id) = (VerificationId::new(), JobId::new("j1"));
        let keeper = JournalKeeper::of(Arc::clone(&journal) as Arc<dyn Journal>, id, (&job_id, 0), true);
        let bench = Bench::new(judge.clone());
        begin(journal.as_ref(), id, &job_id, bench.submission.digest).await;
        let bench = bench.kept_by(judge, keeper, json!({"samples": 7}));
        let (result, _) = bench.grade().await;
        let result = result.map(|verdict| verdict.passed).map_err(|error| error.kind);
        assert_eq!((result, server.requests().len()), (expected, calls));
        let spent = journal.spent(&job_id).await.unwrap().on_job;
        assert!(spent <= 1_000_000, "{spent}");
        // What was answered is kept, whatever became of the others.
        let kept = journal.model_calls(id).await.unwrap();
        assert_eq!(kept.iter().filter(|call| call.is_reusable()).count(), calls);
    }
}

async fn begin(journal: &dyn Journal, id: VerificationId, job_id: &JobId, submission: Digest) {
    let verification = NewVerification {
        id,
        job_id: job_id.clone(),
        attempt: 0,
        cause: Cause::Desk,
        plan: PlanRef {
            name: "p".into(),
            digest: submission,
        },
        submission,
        started_at: jiff::Timestamp::now(),
    };
    journal.begin(&verification).await.unwrap();
}

#[tokio::test]
async fn a_ceiling_parks_or_waits_before_anything_is_asked() {
    let server = OpenAiServer::start([Script::answer(GOOD)]).await.unwrap();
    let spent = Spent {
        on_job: 900_000,
        today: 1_900_000,
    };
    for (for_job, for_day, expected) in [
        (Some(1.0), None, Err(ErrorKind::SpendCeilingJob)),
        (None, Some(2.0), Err(ErrorKind::SpendCeilingDay)),
        (Some(10.0), Some(20.0), Ok(true)),
    ] {
        let judge = Judge::live(priced(&server, for_job, for_day)).unwrap();
        let books = Arc::new(Books {
            before: spent,
            ..Books::default()
        });
        let bench = Bench::new(judge.clone()).kept_by(judge, books, json!({}));
        let before = server.requests().len();
        let (result, _) = bench.grade().await;
        let result = result.map(|verdict| verdict.passed).map_err(|error| error.kind);
        assert_eq!(result, expected);
        assert_eq!(server.requests().len() - before, usize::from(expected.is_ok()));
    }
}
