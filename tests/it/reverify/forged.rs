//! Whoever may write to the database has us judge and sign nothing that no receipt covers.

use super::{Disputed, SET_OF_ALL, good, stricter};

/// Does something as the superuser who switches the triggers off.
async fn forge(disputed: &Disputed, statement: &str) {
    disputed
        .execute(
            "ALTER TABLE assay.hand_in DISABLE TRIGGER ALL; ALTER TABLE assay.decision DISABLE TRIGGER ALL;
             ALTER TABLE assay.verification DISABLE TRIGGER ALL",
        )
        .await;
    disputed.execute(statement).await;
}

const PUBLISH: [&str; 5] = ["j1", "--plan", "stricter.toml", "--publish", "--yes"];

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_in_with_another_task_receiver_or_price_than_the_receipt_says_is_not_judged() {
    let disputed = Disputed::new(&[good("j1")]).await;
    stricter(&disputed.pool);
    let before = disputed.standing().await;
    let exchanged = |from: &str, to: &str| {
        format!(
            "UPDATE assay.hand_in SET message = convert_to(replace(convert_from(message, 'UTF8'), '{from}', '{to}'), 'UTF8')"
        )
    };
    for (what, written, forged) in [
        (
            "another receiver",
            "\"receiver\":\"receiver\"",
            "\"receiver\":\"sender\"",
        ),
        ("another price", "\"price_cents\":100", "\"price_cents\":900"),
        ("another task", "Write it.", "Write nothing."),
        ("another submission", "as expected", "as mallory has it"),
    ] {
        forge(&disputed, &exchanged(written, forged)).await;
        let refused = disputed.reverify(&PUBLISH);
        assert_eq!(refused.code, 3, "{what}: {refused:?}");
        assert!(refused.err.contains(what), "{what}: {}", refused.err);
        disputed.execute(&exchanged(forged, written)).await;
    }
    let begun = "SELECT count(*) FROM assay.dispute";
    assert_eq!(disputed.pool.count(begun).await, 0, "nothing was even begun");
    assert_eq!(disputed.standing().await, before);
    let published = disputed.reverify(&PUBLISH);
    assert_eq!(published.code, 1, "undone, it is what it was: {published:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_no_trusted_key_has_signed_is_not_disputed() {
    let disputed = Disputed::new(&[good("j1")]).await;
    stricter(&disputed.pool);
    let before = disputed.standing().await;
    // The hand-in and the receipt say the same, and only the signature tells.
    forge(
        &disputed,
        "UPDATE assay.hand_in SET message = convert_to(replace(convert_from(message, 'UTF8'),
             '\"receiver\":\"receiver\"', '\"receiver\":\"sender\"'), 'UTF8');
         UPDATE assay.decision SET message = convert_to(replace(convert_from(message, 'UTF8'),
             '\"receiver\":\"receiver\"', '\"receiver\":\"sender\"'), 'UTF8')",
    )
    .await;
    let refused = disputed.reverify(&PUBLISH);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(
        refused
            .err
            .contains("the signature does not fit what the receipt says"),
        "{}",
        refused.err
    );
    assert_eq!(disputed.standing().await, before);
    // A preview, which we have signed ourselves, is no decision.
    disputed
        .execute(
            "UPDATE assay.decision SET message = convert_to(replace(convert_from(message, 'UTF8'),
                 '\"purpose\":\"settle\"', '\"purpose\":\"preview\"'), 'UTF8')",
        )
        .await;
    let refused = disputed.reverify(&["j1"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("a preview stands where"), "{}", refused.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_says_other_than_its_receipt_or_its_log_is_not_disputed() {
    let disputed = Disputed::new(&[good("j1")]).await;
    let forgeries = [
        (
            "`outcome` of its outcome message is not what its receipt says",
            "UPDATE assay.decision SET message = convert_to(regexp_replace(convert_from(message, 'UTF8'),
                 '\"outcome\":\"verified\"', '\"outcome\":\"retry\"'), 'UTF8')",
        ),
        (
            "`threshold` of its outcome message is not what its log says",
            "UPDATE assay.decision SET message = convert_to(regexp_replace(regexp_replace(convert_from(message, 'UTF8'),
                 '\"outcome\":\"retry\"', '\"outcome\":\"verified\"'), '\"threshold\":[0-9.]+', '\"threshold\":0.01'), 'UTF8')",
        ),
    ];
    for (what, forgery) in forgeries {
        forge(&disputed, forgery).await;
        let refused = disputed.reverify(&["j1"]);
        assert_eq!(refused.code, 3, "{refused:?}");
        assert!(refused.err.contains(what), "{}", refused.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_trust_file_a_preview_says_that_nothing_was_checked_and_nothing_is_published() {
    let disputed = Disputed::new(&[good("j1")]).await;
    stricter(&disputed.pool);
    std::fs::rename(
        disputed.pool.bench.path("trust.toml"),
        disputed.pool.bench.path("away.toml"),
    )
    .unwrap();
    let before = disputed.standing().await;
    let preview = disputed.reverify(&["j1", "--plan", "stricter.toml"]);
    assert_eq!(preview.code, 1, "{preview:?}");
    assert!(
        preview
            .out
            .contains("not checked: the receipt of what is in dispute"),
        "{}",
        preview.out
    );
    let refused = disputed.reverify(&PUBLISH);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.err.contains("name it with ASSAY_TRUST"),
        "{}",
        refused.err
    );
    let made = SET_OF_ALL;
    assert_eq!(disputed.reverify(&made).code, 1);
    let refused = disputed.reverify(&["--apply", "all", "--yes"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert_eq!(disputed.standing().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_was_forged_after_a_set_was_judged_is_not_overturned() {
    let disputed = Disputed::new(&[good("j1")]).await;
    stricter(&disputed.pool);
    let made = SET_OF_ALL;
    assert_eq!(disputed.reverify(&made).code, 1);
    let before = disputed.standing().await;
    forge(
        &disputed,
        "UPDATE assay.decision SET message = convert_to(replace(convert_from(message, 'UTF8'),
             '\"price_cents\":100', '\"price_cents\":900'), 'UTF8')",
    )
    .await;
    let refused = disputed.reverify(&["--apply", "all", "--yes"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("is not believed"), "{}", refused.err);
    assert_eq!(disputed.standing().await, before);
}
