//! Calls of models, kept and counted.

use assay::digest::Digest;
use assay::job::JobId;
use assay::journal::Journal;
use assay::model_call::{CallFinish, ModelCall, NoRoom, Reservation, Spent, TokenUsage};
use assay::verdict::ErrorKind;
use jiff::Timestamp;

use super::new;

fn call(answer: Option<&str>) -> ModelCall {
    let at = Timestamp::now();
    let at = Timestamp::from_microsecond(at.as_microsecond()).unwrap();
    ModelCall {
        id: uuid::Uuid::now_v7(),
        grader: "quality".into(),
        criteria: vec!["tone".into(), "sum".into()],
        sample: 2,
        model_asked: "asked".into(),
        model: Some("served-1".into()),
        judge_mode: "live".into(),
        parameters: serde_json::json!({"temperature": 0.5}),
        prompt: Some("[\"a NUL \0 of a stranger\"]".into()),
        prompt_digest: Digest::of(b"prompt"),
        answer: answer.map(str::to_owned),
        answer_digest: answer.map(|answer| Digest::of(answer.as_bytes())),
        finish: CallFinish::Complete,
        rejected: None,
        usage: Some(TokenUsage {
            prompt_tokens: 100,
            completion_tokens: 20,
        }),
        usage_estimated: false,
        cost_microcents: Some(1_500),
        key: Digest::of(b"question"),
        reused: None,
        started_at: at,
        ended_at: at,
    }
}

pub(super) async fn calls_of_models_are_kept_and_found_again(journal: &dyn Journal) {
    let (first, second) = (new("calls", 1), new("calls", 2));
    journal.begin(&first).await.unwrap();
    journal.begin(&second).await.unwrap();
    let about = (first.id, &first.job_id, 2);
    let unusable = [
        ModelCall {
            finish: CallFinish::Failed(ErrorKind::ModelStreamCut),
            rejected: Some("cut".into()),
            usage: None,
            cost_microcents: None,
            ..call(None)
        },
        ModelCall {
            finish: CallFinish::Truncated,
            ..call(Some("{"))
        },
        ModelCall {
            rejected: Some("off the menu".into()),
            ..call(Some("no"))
        },
        call(Some(" \n")),
    ];
    for call in &unusable {
        journal.keep_call(about, call).await.unwrap();
    }
    let key = Digest::of(b"question");
    assert_eq!(journal.paid_call((&first.job_id, 2), key).await.unwrap(), None);
    let good = call(Some("\0 {}"));
    journal
        .keep_call((second.id, &first.job_id, 2), &good)
        .await
        .unwrap();
    let found = journal.paid_call((&first.job_id, 2), key).await.unwrap();
    assert_eq!(found, Some((second.id, good.clone())));
    for (attempt, key) in [(1, key), (2, Digest::of(b"another question"))] {
        assert_eq!(
            journal.paid_call((&first.job_id, attempt), key).await.unwrap(),
            None
        );
    }
    assert_eq!(journal.model_calls(first.id).await.unwrap(), unusable);
    assert_eq!(journal.model_calls(second.id).await.unwrap(), [good]);
    let spent = journal.spent(&first.job_id).await.unwrap();
    assert_eq!((spent.on_job, spent.today), (6_000, 6_000));
    let nothing = journal.spent(&JobId::new("another")).await.unwrap();
    assert_eq!((nothing.on_job, nothing.today), (0, 6_000));
}

pub(super) async fn calls_under_way_count_against_the_ceilings(journal: &dyn Journal) {
    let verification = new("ceilings", 1);
    journal.begin(&verification).await.unwrap();
    let job_id = &verification.job_id;
    let before = journal.spent(job_id).await.unwrap().today;
    let reservation = |max_on_job, more_today| Reservation {
        call: uuid::Uuid::now_v7(),
        more: 400,
        max_on_job,
        max_today: Some(before + more_today),
    };
    // Of many at once as many as fit, whoever they are.
    let wanted: Vec<_> = (0..8).map(|_| reservation(Some(1_000), 10_000)).collect();
    let asked = wanted
        .iter()
        .map(|wanted| journal.reserve_spending(job_id, wanted));
    let answers = futures_util::future::try_join_all(asked).await.unwrap();
    assert_eq!(answers.iter().filter(|answer| answer.is_none()).count(), 2);
    let spent = Spent {
        on_job: 800,
        today: before + 800,
    };
    let no_room = answers
        .iter()
        .flatten()
        .max_by_key(|answer| answer.under_way_on_job);
    assert_eq!(
        no_room,
        Some(&NoRoom {
            spent,
            under_way_on_job: 800
        })
    );
    assert_eq!(journal.spent(job_id).await.unwrap(), spent);
    // The same for the day, of another job; and no ceiling is no limit.
    let other = JobId::new("ceilings-of-another");
    let more = reservation(None, 1_199);
    assert!(journal.reserve_spending(&other, &more).await.unwrap().is_some());
    let free = Reservation {
        max_today: None,
        ..reservation(None, 0)
    };
    assert_eq!(journal.reserve_spending(&other, &free).await.unwrap(), None);
    // One ends, and what it really cost counts; nobody is left to end the other, which stays at what it may have cost.
    let noted = wanted.iter().zip(&answers).find(|(_, answer)| answer.is_none());
    let ended = ModelCall {
        id: noted.unwrap().0.call,
        cost_microcents: Some(150),
        started_at: Timestamp::now(),
        ..call(Some("{}"))
    };
    let about = (verification.id, job_id, 2);
    journal.keep_call(about, &ended).await.unwrap();
    assert_eq!(journal.spent(job_id).await.unwrap().on_job, 550);
    assert_eq!(journal.spent(&other).await.unwrap().today, before + 950);
    let fits = reservation(Some(950), 10_000);
    assert_eq!(journal.reserve_spending(job_id, &fits).await.unwrap(), None);
}
