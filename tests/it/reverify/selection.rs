//! What a dispute is judged by, and which decisions a set is about.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Disputed, good, said};
use crate::pool::{Deployment, Submission, job};

/// A pool that has decided one job by a diff and one by a judge.
async fn both() -> Disputed {
    let pool = Deployment::new().await;
    let judged = Submission {
        job: job("j2", json!({"output_text": "as expected"})),
        plan: Some("judged".to_owned()),
    };
    Disputed::with(pool, &["work"], &[good("j1"), judged]).await
}

fn whats(told: &Value) -> Vec<(&str, Option<&str>)> {
    let differences = told["comparison"]["differences"].as_array().unwrap().iter();
    differences
        .map(|difference| {
            (
                difference["what"].as_str().unwrap(),
                difference["grader"].as_str(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_who_says_otherwise_now_is_heard_and_a_replay_hears_him_as_he_was_then() {
    let disputed = both().await;
    let asked = disputed.pool.judge.asked();
    let three = disputed.reverify(&["j2", "--samples", "3", "--json"]);
    assert_eq!(three.code, 0, "{three:?}");
    assert_eq!(disputed.pool.judge.asked(), asked + 3);
    assert_eq!(whats(&three.json())[0], ("plan", None), "{three:?}");

    disputed.pool.judge.is_strict();
    let now = disputed.reverify(&["j2", "--json"]);
    assert_eq!(now.code, 1, "{now:?}");
    let told = now.json();
    for what in [
        ("outcome", None),
        ("verdict", Some("quality")),
        ("criterion", Some("quality")),
    ] {
        assert!(whats(&told).contains(&what), "{what:?}: {told:#}");
    }
    assert_eq!(told["comparison"]["replays"], json!(null));
    let then = disputed.reverify(&["j2", "--judge", "replay", "--json"]);
    assert_eq!((then.code, whats(&then.json())), (0, vec![]), "{then:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_whose_replay_comes_to_something_else_cannot_be_applied() {
    let disputed = both().await;
    disputed.pool.judge.is_strict();
    let made = disputed.reverify(&["--set", "all", "--where", "plan=judged", "--reason", "r"]);
    assert_eq!(made.code, 1, "{made:?}");
    // Another version of ours would do that to a replay; here the set only says that it was one.
    disputed
        .execute(
            "ALTER TABLE assay.dispute_set DISABLE TRIGGER ALL;
             UPDATE assay.dispute_set SET selection = replace(selection::text, 'live', 'replay')",
        )
        .await;
    let table = disputed.reverify(&["--set", "all"]);
    assert_eq!(table.code, 3, "{table:?}");
    assert!(table.out.contains("it does not replay"), "{}", table.out);
    let before = disputed.standing().await;
    let refused = disputed.reverify(&["--apply", "all", "--yes"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    let applied = disputed.reverify(&["--apply", "all", "--yes", "--without-errors", "--json"]);
    assert_eq!(applied.json()["changed"], json!({}), "{applied:?}");
    assert_eq!(disputed.standing().await, before, "nothing of it is published");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_is_about_a_model_or_a_time_and_one_process_works_on_it() {
    let disputed = both().await;
    let make = |name: &str, flags: &[&str]| {
        disputed.reverify(&[&["--set", name, "--reason", "r", "--json"], flags].concat())
    };
    let jobs = |table: &Value| {
        let items = table["items"].as_array().unwrap().iter();
        let jobs: Vec<_> = items
            .map(|item| item["job_id"].as_str().unwrap().to_owned())
            .collect();
        jobs
    };
    let of_model = make("model", &["--model", "served-model-1"]);
    assert_eq!(
        (of_model.code, jobs(&of_model.json())),
        (0, vec!["j2".to_owned()]),
        "{of_model:?}"
    );
    assert_eq!(make("nobody", &["--model", "another"]).code, 2);
    assert_eq!(make("early", &["--until", "2026-01-01"]).code, 2);
    let late = make("late", &["--until", "2999-01-01", "--grader", "quality"]);
    assert_eq!(
        (late.code, jobs(&late.json())),
        (0, vec!["j2".to_owned()]),
        "{late:?}"
    );

    disputed.pool.judge.takes(Duration::from_secs(300));
    let asked = disputed.pool.judge.asked();
    let first = disputed.start_reverify(&[
        "--set",
        "both",
        "--where",
        "outcome=verified",
        "--reason",
        "r",
        "--json",
    ]);
    disputed
        .pool
        .until("the judge is asked", Duration::from_secs(60), async || {
            disputed.pool.judge.asked() > asked
        })
        .await;
    for args in [
        &["--set", "both"][..],
        &["--apply", "both", "--yes"],
        &["--cancel", "both"],
    ] {
        let second = disputed.reverify(args);
        assert_eq!(second.code, 2, "{second:?}");
        assert!(
            second.err.contains("another process works on the set"),
            "{}",
            second.err
        );
    }
    disputed.pool.judge.takes(Duration::ZERO);
    let first = said(first.wait_with_output().unwrap());
    assert_eq!((first.code, &first.json()["same"]), (0, &json!(2)), "{first:?}");
}
