//! Whatever a superuser changes with the triggers disabled is found, and named.

use std::fmt::Write as _;

use assay::entry::{VerificationId, chain_hash};
use assay::job::JobId;
use assay::journal::{Journal as _, verify_chain};
use assay::outcome::Outcome;
use sqlx::Row as _;

use super::World;

/// A clean database with a victim among others, sealed.
async fn victim() -> (World, VerificationId) {
    let world = World::new().await;
    world.decide("before", Outcome::Verified).await;
    let victim = world.decide("victim", Outcome::Retry).await;
    world.decide("after", Outcome::Verified).await;
    world.fail("failed").await;
    (world, victim)
}

async fn found(world: &World, statement: String) -> Vec<(String, String)> {
    assert_eq!(world.audit(None), (0, Vec::new()), "clean before");
    world.tamper(&statement).await;
    let (code, findings) = world.audit(None);
    assert_eq!(code, 1, "{findings:?}");
    findings
}

fn one(what: &str, place: &str) -> Vec<(String, String)> {
    vec![(what.to_owned(), place.to_owned())]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_database_exits_with_0_and_says_that_it_is_unanchored() {
    let (world, _) = victim().await;
    let output = world.run(&["audit", "--all"], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    insta::assert_snapshot!(text, @"
    4 verifications (0 running), 17 entries, 3 receipts, 1 plans, 0 checkpoints
    unanchored: whoever owns the database could have removed the latest checkpoints with all they covered; set ASSAY_ANCHOR
    nothing found: all of it is what was written
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_character_of_an_entry_is_found() {
    let (world, id) = victim().await;
    let change = format!(
        "UPDATE assay.log SET content = overlay(content placing 'X' from 3) WHERE verification_id = '{id}' AND seq = 2"
    );
    assert_eq!(found(&world, change).await, one("entry-changed", "entry 2"));
    let (code, report) = world.audit_report(&["victim"], None);
    assert_eq!(code, 1);
    assert_eq!(report["findings"][0]["verification_id"], id.to_string());
    assert_eq!(world.audit_report(&["before"], None).0, 0, "others are clean");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_entry_is_found_in_the_middle_and_at_the_end() {
    let (world, id) = victim().await;
    let middle = format!("DELETE FROM assay.log WHERE verification_id = '{id}' AND seq = 1");
    assert_eq!(found(&world, middle).await, one("entry-missing", "entry 1"));
    let (world, id) = victim().await;
    let end = format!("DELETE FROM assay.log WHERE verification_id = '{id}' AND seq = 4");
    assert_eq!(found(&world, end).await, one("chain-end", "after entry 3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_entries_that_were_exchanged_are_found() {
    let (world, id) = victim().await;
    let swap = format!("UPDATE assay.log SET seq = seq + 100 WHERE verification_id = '{id}' AND seq IN (1, 2);
                        UPDATE assay.log SET seq = CASE seq WHEN 101 THEN 2 ELSE 1 END WHERE verification_id = '{id}' AND seq > 100");
    assert_eq!(found(&world, swap).await, one("entry-changed", "entry 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inserted_entry_is_found() {
    let (world, id) = victim().await;
    let insert = format!(
        "UPDATE assay.log SET seq = seq + 1000 WHERE verification_id = '{id}' AND seq >= 2;
         UPDATE assay.log SET seq = seq - 999 WHERE verification_id = '{id}' AND seq >= 1000;
         INSERT INTO assay.log (job_id, verification_id, seq, type, content, audience, created_at, salt, hash)
         SELECT job_id, verification_id, 2, type, 'it is all fine', audience, created_at, salt, hash FROM assay.log
         WHERE verification_id = '{id}' AND seq = 1"
    );
    assert_eq!(found(&world, insert).await, one("entry-changed", "entry 2"));
}

/// Whoever knows how hashes are made changes an entry and computes all of them anew, the recorded head too.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_was_recomputed_as_a_whole_is_found_by_the_receipt() {
    let (world, id) = victim().await;
    let row = world
        .journal
        .verifications(&JobId::new("victim"))
        .await
        .unwrap()
        .remove(0);
    let mut entries = world.journal.entries(id).await.unwrap();
    entries[3].entry.content = entries[3].entry.content.replace("fail", "pass");
    let mut hash = assay::entry::chain_start(
        id,
        &row.job_id,
        0,
        row.cause.as_str(),
        (&row.plan.name, row.plan.digest),
        row.submission,
    );
    let mut forged = format!(
        "UPDATE assay.log SET content = replace(content, 'fail', 'pass') WHERE verification_id = '{id}' AND seq = 3;"
    );
    for entry in &mut entries {
        hash = chain_hash(hash, entry.seq, &entry.entry, &entry.salt);
        entry.hash = hash;
        let seq = entry.seq;
        write!(
            forged,
            "UPDATE assay.log SET hash = '\\x{hash}' WHERE verification_id = '{id}' AND seq = {seq};"
        )
        .unwrap();
    }
    write!(
        forged,
        "UPDATE assay.verification SET head = '\\x{hash}' WHERE id = '{id}'"
    )
    .unwrap();
    assert_eq!(
        found(&world, forged).await,
        one("chain-recomputed", "the whole chain")
    );
    let row = world
        .journal
        .verifications(&JobId::new("victim"))
        .await
        .unwrap()
        .remove(0);
    let entries = world.journal.entries(id).await.unwrap();
    assert_eq!(
        verify_chain(&row, &entries),
        Ok(()),
        "the chain alone tells nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_was_changed_or_removed_is_found() {
    for (change, what, place) in [
        (
            "SET message = convert_to(replace(convert_from(message, 'UTF8'), '\"reason\":\"canary\"', '\"reason\":\"fine\"'), 'UTF8')",
            "decision-changed",
            "decision.message.graders.text",
        ),
        (
            "SET message = convert_to(replace(convert_from(message, 'UTF8'), '\"threshold\":0.5', '\"threshold\":0.6'), 'UTF8')",
            "decision-changed",
            "decision.message.threshold",
        ),
        (
            "SET message = convert_to(replace(convert_from(message, 'UTF8'), '\"price_cents\":1000', '\"price_cents\":9000'), 'UTF8')",
            "receipt-invalid",
            "decision.message.receipt",
        ),
        ("SET message = 'nothing'", "decision-changed", "decision.message"),
        ("SET outcome = 'verified'", "decision-changed", "decision.outcome"),
        ("SET attempt = 1", "decision-changed", "decision.attempt"),
    ] {
        let (world, id) = victim().await;
        let statement = format!("UPDATE assay.decision {change} WHERE verification_id = '{id}'");
        assert_eq!(found(&world, statement).await, one(what, place), "{change}");
    }
    let (world, id) = victim().await;
    let removed = format!("DELETE FROM assay.decision WHERE verification_id = '{id}'");
    assert_eq!(found(&world, removed).await, one("decision-missing", "decision"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_that_was_turned_round_everywhere_but_in_its_receipt_is_found() {
    let (world, id) = victim().await;
    let turned = format!(
        "UPDATE assay.decision SET outcome = 'verified',
             message = convert_to(replace(convert_from(message, 'UTF8'), '\"retry\"', '\"verified\"'), 'UTF8')
         WHERE verification_id = '{id}';
         UPDATE assay.verification SET outcome = 'verified' WHERE id = '{id}';
         UPDATE assay.log SET content = replace(content, 'retry', 'verified') WHERE verification_id = '{id}'"
    );
    let found = found(&world, turned).await;
    assert!(
        found.contains(&("entry-changed".to_owned(), "entry 4".to_owned())),
        "{found:?}"
    );
    assert!(
        found.contains(&(
            "receipt-invalid".to_owned(),
            "decision.message.receipt".to_owned()
        )),
        "{found:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_removed_verification_tells_on_it_even_before_a_checkpoint() {
    let (world, id) = victim().await;
    let removed = format!("DELETE FROM assay.verification WHERE id = '{id}'");
    let found = found(&world, removed).await;
    let places: Vec<_> = found.iter().map(|(_, place)| place.as_str()).collect();
    assert_eq!(places, ["decision", "claim", "log"], "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_without_a_decision_is_covered_by_its_checkpoint() {
    let (world, _) = victim().await;
    world.seal(None).await;
    let id: sqlx::types::Uuid = sqlx::query("SELECT id FROM assay.verification WHERE outcome = 'error'")
        .fetch_one(&world.journal.pool())
        .await
        .unwrap()
        .get("id");
    let closed = format!("UPDATE assay.verification SET outcome = 'closed' WHERE id = '{id}'");
    assert_eq!(
        found(&world, closed).await,
        one("sealed-otherwise", "checkpoint 1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_was_settled_otherwise_than_signed_is_found() {
    let world = World::new().await;
    let paid = world.decide("paid", Outcome::Verified).await;
    let retried = world.decide("retried", Outcome::Retry).await;
    let settle = format!(
        "INSERT INTO assay.settlement (verification_id, job_id, attempt, outcome, effect, paid_user, amount_cents, fee_user, fee_cents)
         VALUES ('{paid}', 'paid', 0, 'verified', 'paid', 'receiver', 900, 'platform', 100),
                ('{retried}', 'retried', 0, 'retry', 'requeued', NULL, 0, NULL, 0)"
    );
    world.tamper(&settle).await;
    for (id, change, back) in [
        (paid, "paid_user = 'mallory'", "paid_user = 'receiver'"),
        (paid, "amount_cents = 9000", "amount_cents = 900"),
        (paid, "fee_cents = 101", "fee_cents = 100"),
        (paid, "effect = 'requeued'", "effect = 'paid'"),
        (
            retried,
            "effect = 'failed', paid_user = 'mallory', amount_cents = 9000",
            "effect = 'requeued', paid_user = NULL, amount_cents = 0",
        ),
        (
            retried,
            "effect = 'reversed-requeued', paid_user = 'victim', amount_cents = 1000",
            "effect = 'requeued', paid_user = NULL, amount_cents = 0",
        ),
    ] {
        let update = |set: &str| format!("UPDATE assay.settlement SET {set} WHERE verification_id = '{id}'");
        assert_eq!(
            found(&world, update(change)).await,
            one("settlement-differs", "settlement"),
            "{change}"
        );
        world.tamper(&update(back)).await;
    }
}
