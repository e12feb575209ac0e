//! A set is one thing: judged as it was begun, applied as a whole, whatever happens in between.

use std::time::Duration;

use serde_json::json;

use super::{Disputed, SET_OF_ALL, good, stricter};
use crate::pool::{Deployment, Submission, job};

#[tokio::test(flavor = "multi_thread")]
async fn a_set_of_which_some_could_not_be_judged_is_applied_only_where_somebody_says_so() {
    let pool = Deployment::new().await;
    let judged = Submission {
        job: job("j2", json!({"output_text": "as expected"})),
        plan: Some("judged".to_owned()),
    };
    let disputed = Disputed::with(pool, &["work"], &[good("j1"), judged]).await;
    disputed.pool.judge.is_down(true);
    let made = [
        "--set",
        "all",
        "--where",
        "outcome=verified",
        "--reason",
        "r",
        "--json",
    ];
    let made = disputed.reverify(&made);
    assert_eq!(made.code, 3, "{made:?}");
    let table = made.json();
    assert_eq!(
        (&table["same"], &table["errors"]),
        (&json!(1), &json!(1)),
        "{table:#}"
    );
    let refused = disputed.reverify(&["--apply", "all", "--yes"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.out.contains("1 could not be judged"), "{}", refused.out);
    assert!(refused.err.contains("--without-errors"), "{}", refused.err);
    let open = "SELECT count(*) FROM assay.dispute_set WHERE state = 'open'";
    assert_eq!(disputed.pool.count(open).await, 1);
    // Once the judge is back, what failed is judged after all.
    disputed.pool.judge.is_down(false);
    let again = disputed.reverify(&["--set", "all", "--json"]);
    assert_eq!((again.code, &again.json()["same"]), (0, &json!(2)), "{again:?}");

    disputed.pool.judge.is_down(true);
    let made = ["--set", "more", "--where", "outcome=verified", "--reason", "r"];
    assert_eq!(disputed.reverify(&made).code, 3);
    let applied = disputed.reverify(&["--apply", "more", "--yes", "--without-errors"]);
    assert_eq!(applied.code, 0, "{applied:?}");
    assert_eq!(disputed.pool.count(open).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_on_with_a_set_judges_as_it_was_begun() {
    let disputed = Disputed::new(&[good("j1")]).await;
    stricter(&disputed.pool);
    assert_eq!(disputed.reverify(&SET_OF_ALL).code, 1);
    for (flag, value) in [("--judge", "replay"), ("--samples", "3"), ("--reason", "another")] {
        let refused = disputed.reverify(&["--set", "all", flag, value]);
        assert_eq!(refused.code, 2, "{refused:?}");
        let says = format!("was made with another {flag}");
        assert!(refused.err.contains(&says), "{}", refused.err);
    }
    let same = [
        "--set",
        "all",
        "--judge",
        "live",
        "--reason",
        "the plan was too lax",
    ];
    assert_eq!(disputed.reverify(&same).code, 1);
    let reasonless = ["--set", "other", "--where", "outcome=verified"];
    let refused = disputed.reverify(&reasonless);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("a set needs a --reason"), "{}", refused.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_killed_while_it_is_applied_is_applied_whole_and_once() {
    let jobs: Vec<_> = (0..12).map(|number| good(&format!("j{number}"))).collect();
    let disputed = Disputed::new(&jobs).await;
    stricter(&disputed.pool);
    let total = disputed.pool.market.audit_sums().await.unwrap().total();
    assert_eq!(disputed.reverify(&SET_OF_ALL).code, 1);
    // Nothing confirms: it is killed after it has stored the decisions, and before it has published them.
    disputed
        .execute(
            "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
             CREATE TRIGGER hold BEFORE UPDATE ON assay.dispute_outcome FOR EACH ROW EXECUTE FUNCTION hold()",
        )
        .await;
    let mut victim = disputed.start_reverify(&["--apply", "all", "--yes"]);
    let stored = "SELECT count(*) FROM assay.decision WHERE trigger = 'dispute'";
    disputed
        .pool
        .until("stored", Duration::from_secs(60), async || {
            disputed.pool.count(stored).await > 0
        })
        .await;
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert_eq!(disputed.pool.count(stored).await, 12, "all or none");
    disputed
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE pid <> pg_backend_pid() AND datname = current_database() AND query LIKE 'UPDATE assay.dispute_outcome%';
             DROP TRIGGER hold ON assay.dispute_outcome",
        )
        .await;
    let again = disputed.reverify(&["--apply", "all", "--yes"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.out.contains("was applied before"), "{}", again.out);
    let unconfirmed = "SELECT count(*) FROM assay.dispute_outcome WHERE confirmed_at IS NULL";
    assert_eq!(disputed.pool.count(unconfirmed).await, 0);
    let reversed = "SELECT count(*) FROM ledger_entries WHERE reason LIKE 'reversal:%'";
    disputed
        .pool
        .until("reversed", Duration::from_secs(60), async || {
            disputed.pool.count(reversed).await == 12
        })
        .await;
    assert_eq!(disputed.pool.count(stored).await, 12);
    disputed.assert_balanced(total).await;
}
