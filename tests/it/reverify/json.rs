//! With `--json` every end of the command is one object on standard output.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Disputed, SET_OF_ALL, Said, good, said, stricter};
use crate::pool::{Deployment, Submission, job};

/// The one object.
fn only(said: &Said) -> Value {
    let mut values = serde_json::Deserializer::from_str(&said.out).into_iter::<Value>();
    let first = values
        .next()
        .unwrap_or_else(|| panic!("no object: {said:?}"))
        .unwrap();
    assert!(first.is_object() && values.next().is_none(), "{said:?}");
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_of_the_command_is_one_object() {
    let disputed = Disputed::new(&[good("j1"), good("j2")]).await;
    stricter(&disputed.pool);
    let ends = |args: &[&str], code: i32| {
        let said = disputed.reverify(&[args, &["--json"]].concat());
        assert_eq!(said.code, code, "{args:?}: {said:?}");
        only(&said)
    };
    let has = |told: &Value, key: &str, part: &str| {
        let text = told[key].to_string();
        assert!(text.contains(part), "{key}: {part}: {told:#}");
    };
    assert_eq!(ends(&["j1"], 0)["receipt_checked"], json!(true));
    has(&ends(&["j9"], 2), "error", "nothing was decided");
    has(&ends(&["j1", "--plan", "gone.toml"], 2), "error", "gone.toml");
    let unasked = ends(&["j1", "--plan", "stricter.toml", "--publish"], 2);
    has(&unasked, "error", "say --yes");
    assert_eq!(unasked["published"], json!(false), "{unasked:#}");
    has(&unasked, "foreseen", "reversed-requeued");

    has(&ends(&["--set", "all"], 2), "error", "there is no set");
    let made = SET_OF_ALL;
    assert_eq!(ends(&made, 1)["decisions"], json!(2));
    has(
        &ends(&["--set", "all", "--reason", "other"], 2),
        "error",
        "another --reason",
    );
    let unasked = ends(&["--apply", "all"], 2);
    assert_eq!(unasked["state"], json!("open"), "{unasked:#}");
    has(&unasked, "error", "say --yes");
    assert_eq!(ends(&["--cancel", "all"], 0)["state"], json!("cancelled"));
    has(&ends(&["--cancel", "all"], 2), "error", "cancelled already");
    has(&ends(&["--apply", "all", "--yes"], 2), "error", "was cancelled");
    let listed = ends(&["--list"], 0);
    assert_eq!(listed["sets"][0]["state"], json!("cancelled"), "{listed:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_whose_message_cannot_be_published_is_told_as_stored_and_the_next_call_publishes_it() {
    let disputed = Disputed::new(&[good("j1")]).await;
    stricter(&disputed.pool);
    let args = [
        "reverify",
        "j1",
        "--plan",
        "stricter.toml",
        "--publish",
        "--yes",
        "--json",
    ];
    let mut command = disputed.pool.command(&args);
    command.env("ASSAY_AMQP_URL", "amqp://127.0.0.1:9/none");
    let away = said(command.output().unwrap());
    assert_eq!(away.code, 3, "{away:?}");
    let told = only(&away);
    assert_eq!(
        (&told["stored"], &told["published"]),
        (&json!(true), &json!(false)),
        "{told:#}"
    );
    assert!(
        told["error"].as_str().unwrap().contains("the decision is stored"),
        "{told:#}"
    );
    let next = disputed.reverify(&args[1..]);
    assert_eq!(next.code, 0, "{next:?}");
    assert_eq!(only(&next)["published_of_earlier"], json!(1));
    disputed
        .pool
        .until("reversed", Duration::from_secs(60), async || {
            let reversed = "SELECT count(*) FROM ledger_entries WHERE reason LIKE 'reversal:%'";
            disputed.pool.count(reversed).await == 1
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_overturned_while_the_judge_wrote_is_refused_and_says_so() {
    let pool = Deployment::new().await;
    let submission = Submission {
        job: job("j1", json!({"output_text": "as expected"})),
        plan: Some("judged".to_owned()),
    };
    let disputed = Disputed::with(pool, &["work"], &[submission]).await;
    stricter(&disputed.pool);
    // The judge is asked, and whatever it says the job is not verified.
    disputed.pool.bench.write(
        "slow.toml",
        "threshold = 0.9\n[[graders]]\nname = \"text\"\nkind = \"diff\"\ncompare = \"exact\"\n\
         expected = { text = \"stricter\" }\n\n[[graders]]\nname = \"quality\"\nkind = \"rubric\"\n\
         [[graders.criteria]]\nid = \"good\"\ntext = \"It is good.\"\nevidence = \"none\"\n",
    );
    disputed.pool.judge.takes(Duration::from_secs(300));
    let asked = disputed.pool.judge.asked();
    let late = disputed.start_reverify(&["j1", "--plan", "slow.toml", "--publish", "--yes", "--json"]);
    disputed
        .pool
        .until("the judge is asked", Duration::from_secs(60), async || {
            disputed.pool.judge.asked() > asked
        })
        .await;
    let first = disputed.reverify(&["j1", "--plan", "stricter.toml", "--publish", "--yes"]);
    assert_eq!(first.code, 1, "{first:?}");
    let before = disputed.standing().await;
    disputed.pool.judge.takes(Duration::ZERO);
    let late = said(late.wait_with_output().unwrap());
    assert_eq!(late.code, 1, "{late:?}");
    let told = only(&late);
    assert_eq!(
        (&told["stored"], &told["published"]),
        (&json!(false), &json!(false)),
        "{told:#}"
    );
    assert!(
        told["error"]
            .as_str()
            .unwrap()
            .contains("is not the effective one any more"),
        "{told:#}"
    );
    assert_eq!(disputed.standing().await, before);
}
