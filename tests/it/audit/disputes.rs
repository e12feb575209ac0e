//! Disputes: neither what one of them overturned nor that it overturned nothing can be changed later.

use assay::clock::Clock;
use assay::entry::VerificationId;
use assay::journal::{Journal as _, Overturned, Overturning};
use assay::message::OutcomeMessage;
use assay::outcome::{Decision, Outcome};
use assay::receipt::{Purpose, Trigger};
use assay::verdict::Score;
use serde_json::{Value, json};

use super::World;
use super::facts::{SignWith as _, again_of, links, message};

const ANCHOR: Option<&str> = Some("anchor.jsonl");

/// What `assay reverify` leaves of a decision that comes out otherwise: a verification with a preview.
async fn dispute(world: &World, job: &str, disputes: VerificationId) -> OutcomeMessage {
    let (new, why) = again_of(job, disputes, None);
    world.journal.begin_dispute(&new, &why).await.unwrap();
    let (links, _) = links(&new, Outcome::Retry);
    let entries = links.into_iter().map(|link| link.entry).collect();
    world.journal.append(new.id, entries).await.unwrap();
    let head = world.journal.verifications(&new.job_id).await.unwrap();
    let head = head.into_iter().find(|row| row.id == new.id).unwrap().head;
    let mut preview = message(&new, Outcome::Retry, head);
    preview.trigger = Trigger::Dispute;
    preview.supersedes = Some(disputes);
    preview.receipt.trigger = Trigger::Dispute;
    preview.receipt.supersedes = Some(disputes);
    preview.receipt.purpose = Purpose::Preview;
    let preview = preview.sign_with(&world.key());
    let decision = Decision {
        outcome: Outcome::Retry,
        score: Score::ZERO,
        threshold: 0.5,
        plan: new.plan.clone(),
        submission: new.submission,
        evidence: new.submission,
    };
    world
        .journal
        .end_dispute(
            new.id,
            &Ok(decision),
            Some(&serde_json::to_vec(&preview).unwrap()),
            Clock::system().now(),
        )
        .await
        .unwrap();
    preview
}

/// What `--publish` makes of it.
async fn publish(world: &World, preview: &OutcomeMessage) {
    let mut message = preview.clone();
    message.receipt.purpose = Purpose::Settle;
    let message = message.sign_with(&world.key());
    let overturning = Overturning {
        verification_id: message.verification_id,
        job_id: message.job_id.clone(),
        attempt: message.attempt,
        supersedes: message.supersedes.unwrap(),
        outcome: message.outcome,
        message: serde_json::to_vec(&message).unwrap(),
    };
    let stored = world.journal.overturn(&[overturning], "ann", None).await.unwrap();
    assert_eq!(stored, Overturned::Stored);
}

/// A job whose payout was overturned.
async fn overturned() -> (World, VerificationId) {
    let world = World::new().await;
    let first = world.decide("disputed", Outcome::Verified).await;
    world.seal(ANCHOR).await;
    let preview = dispute(&world, "disputed", first).await;
    world.seal(ANCHOR).await;
    publish(&world, &preview).await;
    assert_eq!(world.audit(ANCHOR), (0, Vec::new()));
    (world, preview.verification_id)
}

fn one(what: &str, place: &str) -> (i32, Vec<(String, String)>) {
    (1, vec![(what.to_owned(), place.to_owned())])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_decision_that_was_removed_is_missed_by_who_published_it() {
    let (world, id) = overturned().await;
    world
        .tamper(&format!(
            "DELETE FROM assay.decision WHERE verification_id = '{id}'"
        ))
        .await;
    assert_eq!(world.audit(None), one("decision-missing", "dispute_outcome"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_decision_that_was_removed_with_every_trace_is_missed_by_its_checkpoint() {
    let (world, id) = overturned().await;
    world.seal(ANCHOR).await;
    assert_eq!(world.audit(ANCHOR), (0, Vec::new()));
    let (_, report) = world.audit_report(&["--all"], ANCHOR);
    assert_eq!(report["checkpoints"], 3, "published later, sealed once more");
    world
        .tamper(&format!(
            "DELETE FROM assay.decision WHERE verification_id = '{id}';
             DELETE FROM assay.dispute_outcome WHERE verification_id = '{id}'"
        ))
        .await;
    assert_eq!(world.audit(None), one("decision-missing", "checkpoint 3"));
    // Without the checkpoint that sealed it, too, only the anchor tells.
    world
        .tamper(
            "DELETE FROM assay.checkpoint WHERE number = 3; DELETE FROM assay.checkpoint_leaf WHERE checkpoint = 3",
        )
        .await;
    assert_eq!(world.audit(ANCHOR), one("checkpoint-removed", "checkpoint 3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_of_a_set_that_was_applied_is_missed_by_the_set() {
    let (world, id) = overturned().await;
    world
        .tamper(&format!(
            "INSERT INTO assay.dispute_set (name, selection, reason, by, state, ended_by, ended_at)
             VALUES ('s', '{{}}', 'r', 'ann', 'applied', 'ann', now());
             INSERT INTO assay.dispute_item (set_name, disputes, place, job_id, attempt, verification_id)
             SELECT 's', supersedes, 0, job_id, attempt, verification_id FROM assay.decision
             WHERE verification_id = '{id}'"
        ))
        .await;
    assert_eq!(world.audit(None), (0, Vec::new()));
    world
        .tamper(&format!(
            "DELETE FROM assay.decision WHERE verification_id = '{id}';
             DELETE FROM assay.dispute_outcome WHERE verification_id = '{id}'"
        ))
        .await;
    assert_eq!(world.audit(None), one("decision-missing", "dispute_set"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_in_that_is_passed_off_as_a_dispute_is_found_by_its_chain() {
    let world = World::new().await;
    let id = world.decide("victim", Outcome::Retry).await;
    world
        .tamper(&format!(
            "UPDATE assay.verification SET cause = 'dispute' WHERE id = '{id}';
             DELETE FROM assay.decision WHERE verification_id = '{id}'"
        ))
        .await;
    let (code, found) = world.audit(None);
    assert_eq!(code, 1);
    let found: Vec<_> = found
        .iter()
        .map(|(what, place)| (what.as_str(), place.as_str()))
        .collect();
    assert_eq!(
        found,
        [("entry-changed", "entry 0"), ("decision-missing", "claim")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_that_is_passed_off_as_a_decision_is_found() {
    let world = World::new().await;
    let first = world.decide("looked-at", Outcome::Verified).await;
    dispute(&world, "looked-at", first).await;
    assert_eq!(world.audit(None), (0, Vec::new()));
    world
        .tamper(
            "INSERT INTO assay.decision (verification_id, job_id, attempt, trigger, supersedes, outcome, message)
             SELECT p.verification_id, v.job_id, v.attempt, 'dispute', d.disputes, v.outcome, p.message
             FROM assay.preview p JOIN assay.verification v ON v.id = p.verification_id
             JOIN assay.dispute d USING (verification_id)",
        )
        .await;
    assert_eq!(
        world.audit(None),
        one("receipt-invalid", "decision.message.receipt")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_that_nobody_published_is_exported_as_one_without_a_decision() {
    let world = World::new().await;
    let first = world.decide("looked-at", Outcome::Verified).await;
    let preview = dispute(&world, "looked-at", first).await;
    let export = |name: &str| {
        let file = world.folder.path().join(name).display().to_string();
        let id = preview.verification_id.to_string();
        let exported = world.run(&["audit", "export", &id, "-o", &file, "--json"], &[]);
        let exported: Value = serde_json::from_slice(&exported.stdout).unwrap();
        assert_eq!(exported["file"], file);
        assert_eq!(
            (&exported["outcome"], &exported["decided"]),
            (&json!("retry"), &json!(false))
        );
        let verified = world.run(&["audit", "verify", &file], &[]);
        let said = String::from_utf8(verified.stdout).unwrap();
        (
            exported["checkpoint"].clone(),
            verified.status.code().unwrap(),
            said,
        )
    };
    // Nothing was signed of it yet.
    let (checkpoint, code, said) = export("before.json");
    assert_eq!((checkpoint, code), (Value::Null, 1), "{said}");
    world.seal(None).await;
    let (checkpoint, code, said) = export("sealed.json");
    assert_eq!((checkpoint, code), (json!(1), 0), "{said}");
    assert!(said.contains("not proven: a decision: there is none"), "{said}");
}
