//! Nothing moves until it is published, and then once.

use std::time::Duration;

use super::{Disputed, Said, good, said, stricter};

const REVERSED: &str = "SELECT count(*) FROM ledger_entries WHERE reason LIKE 'reversal:%'";

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_shows_then_and_now_moves_nothing_and_published_reverses_the_payment_once() {
    let disputed = Disputed::new(&[good("j1"), good("j2")]).await;
    stricter(&disputed.pool);
    let total = disputed.pool.market.audit_sums().await.unwrap().total();
    let before = disputed.standing().await;

    let same = disputed.reverify(&["j1"]);
    assert_eq!(same.code, 0, "{same:?}");
    assert!(
        same.out.contains("nothing that judges has changed"),
        "{}",
        same.out
    );
    let other = disputed.reverify(&["j1", "--plan", "stricter.toml", "--reason", "ticket 8"]);
    assert_eq!(other.code, 1, "{other:?}");
    for part in [
        "ANOTHER OUTCOME: verified then, retry now",
        "  then  pass 1.000: the same 11 bytes",
        "plan: quick",
        "-> stricter",
        "receiver -100 cents (reversal:",
        "the job is open again",
        "nothing has moved",
    ] {
        assert!(other.out.contains(part), "{part}: {}", other.out);
    }
    assert_eq!(disputed.standing().await, before, "nothing has moved");

    let unasked = disputed.reverify(&["j1", "--plan", "stricter.toml", "--publish"]);
    assert_eq!(unasked.code, 2, "nobody is there to answer: {unasked:?}");
    assert_eq!(disputed.standing().await, before);

    let published = disputed.reverify(&["j1", "--plan", "stricter.toml", "--publish", "--yes"]);
    assert_eq!(published.code, 1, "{published:?}");
    assert!(
        published
            .out
            .contains("settled: reversed-requeued, 100 cents: receiver"),
        "{}",
        published.out
    );
    let again = disputed.reverify(&["j1", "--plan", "stricter.toml", "--publish", "--yes"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.out.contains("there is nothing to publish"), "{}", again.out);
    assert_eq!(disputed.pool.count(REVERSED).await, 1);
    assert_eq!(disputed.standing().await.decisions, before.decisions + 1);
    disputed.assert_balanced(total).await;
    assert_eq!(
        disputed
            .pool
            .count("SELECT count(*) FROM assay.dispute_outcome WHERE confirmed_at IS NULL")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn disputes_that_race_overturn_once() {
    let disputed = Disputed::new(&[good("j1")]).await;
    stricter(&disputed.pool);
    let total = disputed.pool.market.audit_sums().await.unwrap().total();
    let args = ["j1", "--plan", "stricter.toml", "--publish", "--yes", "--json"];
    let racing: Vec<_> = (0..4).map(|_| disputed.start_reverify(&args)).collect();
    let ended: Vec<Said> = racing
        .into_iter()
        .map(|child| said(child.wait_with_output().unwrap()))
        .collect();
    let published = ended
        .iter()
        .filter(|said| said.out.contains("\"published\":true"))
        .count();
    assert_eq!(published, 1, "{ended:?}");
    assert!(ended.iter().all(|said| matches!(said.code, 0 | 1)), "{ended:?}");
    assert_eq!(disputed.pool.count(REVERSED).await, 1);
    assert_eq!(
        disputed
            .pool
            .count("SELECT count(*) FROM assay.decision WHERE trigger = 'dispute'")
            .await,
        1
    );
    disputed.assert_balanced(total).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_that_is_killed_in_between_reverses_once_when_it_is_back() {
    let mut disputed = Disputed::new(&[good("j1")]).await;
    stricter(&disputed.pool);
    let total = disputed.pool.market.audit_sums().await.unwrap().total();
    disputed.kill_settlement();
    let published = disputed.reverify(&["j1", "--plan", "stricter.toml", "--publish", "--yes"]);
    assert_eq!(published.code, 1, "{published:?}");
    assert!(published.out.contains("not settled yet"), "{}", published.out);
    assert_eq!(disputed.pool.count(REVERSED).await, 0);
    // Several settlers, one of them killed while it works.
    let victim = disputed.pool.start(&["settle"]);
    let _others = (disputed.pool.settler().await, disputed.pool.settler().await);
    victim.kill();
    disputed
        .pool
        .until("reversed", Duration::from_secs(60), async || {
            disputed.pool.count(REVERSED).await == 1
        })
        .await;
    disputed.assert_balanced(total).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_arbiters_role_judges_again_and_publishes() {
    let disputed = Disputed::new(&[good("j1"), good("j2")]).await;
    stricter(&disputed.pool);
    disputed.execute(include_str!("../../../deploy/roles.sql")).await;
    let name = format!("arbiter_{}", std::process::id());
    let create = format!("CREATE ROLE {name} LOGIN IN ROLE assay_arbiter");
    sqlx::query(sqlx::AssertSqlSafe(create))
        .execute(&disputed.journal().pool())
        .await
        .unwrap();
    let (_, server) = disputed.pool.urls.database.split_once('@').unwrap();
    let url = format!("postgres://{name}@{server}");
    let as_arbiter = |args: &[&str]| {
        let mut command = disputed.pool.command(&[&["reverify"], args].concat());
        said(command.env("ASSAY_DATABASE_URL", &url).output().unwrap())
    };
    let published = as_arbiter(&["j1", "--plan", "stricter.toml", "--publish", "--yes"]);
    assert_eq!(published.code, 1, "{published:?}");
    assert!(
        published.out.contains("settled: reversed-requeued"),
        "{}",
        published.out
    );
    let made = [
        "--set",
        "rest",
        "--plan",
        "stricter.toml",
        "--where",
        "plan=quick",
        "--reason",
        "r",
    ];
    assert_eq!(as_arbiter(&made).code, 1);
    let applied = as_arbiter(&["--apply", "rest", "--yes"]);
    assert_eq!(applied.code, 0, "{applied:?}");
}
