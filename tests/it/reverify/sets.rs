//! Many at once: resumed after a crash, applied once, and the table adds up.

use std::time::Duration;

use serde_json::Value;

use super::{Disputed, SET_OF_ALL, good, stricter};
use crate::pool::Submission;

/// How many decisions a set has: 500 with `ASSAY_CHAOS_JOBS=500` or more.
fn count() -> usize {
    crate::pool::jobs().min(500)
}

fn submissions() -> Vec<Submission> {
    (0..count())
        .map(|number| good(&format!("j{number:03}")))
        .collect()
}

fn number(table: &Value, key: &str) -> usize {
    usize::try_from(table[key].as_u64().unwrap()).unwrap()
}

/// Everything that a set says of itself adds up to its decisions.
fn assert_adds_up(table: &Value) {
    let changed: u64 = table["changed"]
        .as_object()
        .unwrap()
        .values()
        .map(|count| count.as_u64().unwrap())
        .sum();
    let parts = number(table, "same") + number(table, "errors") + number(table, "unfinished");
    assert_eq!(
        parts + usize::try_from(changed).unwrap(),
        number(table, "decisions")
    );
    assert_eq!(
        table["items"].as_array().unwrap().len(),
        number(table, "decisions")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_killed_half_way_goes_on_is_applied_once_and_adds_up() {
    let disputed = Disputed::new(&submissions()).await;
    stricter(&disputed.pool);
    let total = disputed.pool.market.audit_sums().await.unwrap().total();
    let before = disputed.standing().await;
    let made = [&SET_OF_ALL[..], &["--json"]].concat();
    let mut victim = disputed.start_reverify(&made);
    let judged = "SELECT count(*) FROM assay.preview";
    let half = i64::try_from(count() / 2).unwrap();
    disputed
        .pool
        .until("half of it", Duration::from_secs(120), async || {
            disputed.pool.count(judged).await >= half
        })
        .await;
    victim.kill().unwrap();
    victim.wait().unwrap();
    let early = disputed.reverify(&["--apply", "all", "--yes"]);
    let is_left = disputed.pool.count(judged).await < i64::try_from(count()).unwrap();
    if is_left {
        assert_eq!(early.code, 2, "{early:?}");
        assert!(early.err.contains("not judged again yet"), "{}", early.err);
    }
    assert_eq!(disputed.standing().await, before, "nothing has moved");

    let again = disputed.reverify(&["--set", "all", "--json"]);
    assert_eq!(again.code, 1, "{again:?}");
    let table = again.json();
    assert_adds_up(&table);
    assert_eq!(table["changed"]["verified -> retry"], count());
    assert_eq!(table["cents"]["reversal"], -100 * i64::try_from(count()).unwrap());
    assert_eq!(disputed.pool.count(judged).await, i64::try_from(count()).unwrap());
    assert_eq!(disputed.standing().await, before, "nothing has moved");

    let applied = disputed.reverify(&["--apply", "all", "--yes", "--json"]);
    assert_eq!(applied.code, 0, "{applied:?}");
    let reversed = "SELECT count(*) FROM assay.settlement WHERE effect = 'reversed-requeued'";
    disputed
        .pool
        .until("all reversed", Duration::from_secs(120), async || {
            disputed.pool.count(reversed).await == i64::try_from(count()).unwrap()
        })
        .await;
    // As if the process had died before the broker had confirmed the last ones.
    disputed
        .execute("UPDATE assay.dispute_outcome SET confirmed_at = NULL")
        .await;
    let twice = disputed.reverify(&["--apply", "all", "--yes"]);
    let left = "SELECT count(*) FROM assay.dispute_outcome WHERE confirmed_at IS NULL";
    assert_eq!(disputed.pool.count(left).await, 0);
    assert_eq!(twice.code, 0, "{twice:?}");
    let cancelled = disputed.reverify(&["--cancel", "all"]);
    assert_eq!(cancelled.code, 2, "{cancelled:?}");
    let table = disputed.reverify(&["--set", "all", "--json"]).json();
    assert_adds_up(&table);
    assert!(
        table["items"].as_array().unwrap().iter().all(|item| {
            item["settlement"]["effect"] == "reversed-requeued" && item["settlement"]["amount_cents"] == 100
        }),
        "{table:#}"
    );
    assert_eq!(
        disputed.pool.count(reversed).await,
        i64::try_from(count()).unwrap()
    );
    disputed.assert_balanced(total).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_is_refused_as_a_whole_where_one_of_its_decisions_was_overturned_meanwhile_and_can_be_cancelled()
 {
    let disputed = Disputed::new(&[good("j1"), good("j2"), good("j3")]).await;
    stricter(&disputed.pool);
    let made = disputed.reverify(&[
        "--set",
        "all",
        "--plan",
        "stricter.toml",
        "--where",
        "plan=quick",
        "--where",
        "outcome=verified",
        "--grader",
        "text",
        "--since",
        "2026-01-01",
        "--reason",
        "too lax",
    ]);
    assert_eq!(made.code, 1, "{made:?}");
    assert!(
        made.out.contains("3 decisions: 0 the same, 3 verified -> retry"),
        "{}",
        made.out
    );
    assert!(made.out.contains("reversal -300"), "{}", made.out);
    let single = disputed.reverify(&["j2", "--plan", "stricter.toml", "--publish", "--yes"]);
    assert_eq!(single.code, 1, "{single:?}");
    let before = disputed.standing().await;
    let refused = disputed.reverify(&["--apply", "all", "--yes"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.err.contains("nothing of the set `all` is published"),
        "{}",
        refused.err
    );
    assert_eq!(disputed.standing().await, before, "all or none");
    let cancelled = disputed.reverify(&["--cancel", "all"]);
    assert_eq!(cancelled.code, 0, "{cancelled:?}");
    assert_eq!(disputed.reverify(&["--apply", "all", "--yes"]).code, 2);
    let listed = disputed.reverify(&["--list"]);
    assert!(
        listed.out.starts_with("all  cancelled  3 decisions"),
        "{}",
        listed.out
    );
    let nothing = disputed.reverify(&[
        "--set",
        "none",
        "--where",
        "outcome=retry",
        "--model",
        "x",
        "--reason",
        "r",
    ]);
    assert_eq!(nothing.code, 2, "{nothing:?}");
    assert_eq!(disputed.journal().dispute_sets(None).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_that_was_changed_in_the_database_is_not_signed() {
    let disputed = Disputed::new(&[good("j1")]).await;
    stricter(&disputed.pool);
    let made = disputed.reverify(&SET_OF_ALL);
    assert_eq!(made.code, 1, "{made:?}");
    disputed
        .execute("ALTER TABLE assay.preview DISABLE TRIGGER ALL")
        .await;
    disputed
        .execute(
            "UPDATE assay.preview SET message =
             convert_to(replace(convert_from(message, 'UTF8'), '\"price_cents\":100', '\"price_cents\":900'), 'UTF8')",
        )
        .await;
    let before = disputed.standing().await;
    let refused = disputed.reverify(&["--apply", "all", "--yes"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(
        refused.err.contains("was not signed with this key"),
        "{}",
        refused.err
    );
    assert_eq!(disputed.standing().await, before);
}
