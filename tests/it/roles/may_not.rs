//! What the roles are refused.

use assay::digest::Digest;
use assay::journal::postgres::Duty;
use assay::journal::{Journal as _, NewParked};

use super::{Deployment, entry, refusal, verification};

#[tokio::test]
async fn the_workers_role_cannot_change_the_log() {
    let deployment = Deployment::new().await;
    let worker = deployment.login("assay_worker").await;
    let verification = verification("job-1");
    worker.begin(&verification).await.unwrap();
    worker.append(verification.id, vec![entry()]).await.unwrap();

    // One statement for each, since what stands between is what is tested.
    let statements = [
        "UPDATE assay.log SET content = 'forged'",
        "DELETE FROM assay.log",
        "TRUNCATE assay.log",
        "UPDATE assay.decision SET outcome = 'verified'",
        "DELETE FROM assay.decision",
        "TRUNCATE assay.decision",
    ];
    for statement in statements {
        let (code, message) = refusal(&worker, statement).await;
        assert_eq!(code, "42501", "insufficient_privilege: {statement}: {message}");
    }
    for statement in [
        "ALTER TABLE assay.log DISABLE TRIGGER ALL",
        "DROP TRIGGER log_is_append_only ON assay.log",
    ] {
        let (code, message) = refusal(&worker, statement).await;
        assert_eq!(code, "42501", "{statement}: {message}");
    }
    // The owner has every privilege; there the triggers stand.
    for statement in &statements[..3] {
        let (code, message) = refusal(&deployment.owner, statement).await;
        assert_eq!(code, "23001", "restrict_violation: {statement}: {message}");
        assert!(message.contains("append-only"), "{message}");
    }
    assert_eq!(worker.entries(verification.id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_workers_role_moves_no_money() {
    let deployment = Deployment::new().await;
    let worker = deployment.login("assay_worker").await;
    for statement in [
        "INSERT INTO assay.settlement (verification_id, job_id, attempt, outcome, effect, amount_cents) \
         VALUES (gen_random_uuid(), 'j', 0, 'verified', 'paid', 1)",
        "UPDATE users SET balance_cents = 1000000",
        "INSERT INTO ledger_entries (user_id, delta, reason) VALUES ('u', 1, 'payout:j')",
        "UPDATE jobs SET status = 'verified'",
        "UPDATE assay.switch SET is_on = false",
        "UPDATE assay.held SET approved_by = 'me'",
        "UPDATE assay.hand_in SET message = ''",
        "DELETE FROM assay.claim",
        "SELECT balance_cents FROM users",
        "SELECT * FROM withdrawals",
    ] {
        let (code, message) = refusal(&worker, statement).await;
        assert_eq!(code, "42501", "{statement}: {message}");
    }
}

#[tokio::test]
async fn settlements_role_grades_nothing_and_changes_no_settlement() {
    let deployment = Deployment::new().await;
    let settlement = deployment.login("assay_settlement").await;
    for statement in [
        "INSERT INTO assay.decision (verification_id, job_id, attempt, trigger, outcome, message) \
         VALUES (gen_random_uuid(), 'j', 0, 'submission', 'verified', '')",
        "SELECT * FROM assay.log",
        "UPDATE assay.claim SET state = 'decided'",
        "UPDATE assay.settlement SET amount_cents = 1",
        "DELETE FROM assay.settlement",
        "UPDATE assay.held SET approved_at = now()",
        "UPDATE assay.switch SET is_on = false",
        "UPDATE jobs SET price_cents = 1",
        "DELETE FROM ledger_entries",
    ] {
        let (code, message) = refusal(&settlement, statement).await;
        assert_eq!(code, "42501", "{statement}: {message}");
    }
}

#[tokio::test]
async fn people_close_what_is_parked_and_held_and_decide_nothing() {
    let deployment = Deployment::new().await;
    let operator = deployment.login("assay_operator").await;
    let parked = NewParked {
        about: None,
        reason: "undecodable",
        detail: "no JSON".to_owned(),
        message: b"?".to_vec(),
        digest: Digest::of(b"?"),
    };
    deployment.owner.park(&parked).await.unwrap();
    let [row] = &operator.parked(false, 10).await.unwrap()[..] else {
        panic!("one row was parked")
    };
    operator
        .close_parked(row.id, false, ("me", "a test message"))
        .await
        .unwrap();
    let market = operator.market().await.unwrap();
    market.set_pause(true, "me", "a drill").await.unwrap();
    market.set_pause(false, "me", "it is over").await.unwrap();
    market.approve(&[], "me", "checked").await.unwrap();
    market.close_exception(1, "me", "seen").await.unwrap();
    for statement in [
        "INSERT INTO assay.decision (verification_id, job_id, attempt, trigger, outcome, message) \
         VALUES (gen_random_uuid(), 'j', 0, 'submission', 'verified', '')",
        "INSERT INTO assay.log (job_id) VALUES ('j')",
        "UPDATE assay.act SET reason = 'other'",
        "DELETE FROM assay.parked",
    ] {
        let (code, message) = refusal(&operator, statement).await;
        assert_eq!(code, "42501", "{statement}: {message}");
    }
}

#[tokio::test]
async fn what_a_role_lacks_and_what_it_has_too_much_is_told() {
    let deployment = Deployment::new().await;
    for (role, duty) in [
        ("assay_worker", Duty::Worker),
        ("assay_settlement", Duty::Settlement),
        ("assay_arbiter", Duty::Arbiter),
    ] {
        let told = deployment.login(role).await.privileges(duty, true).await.unwrap();
        assert!(
            told.missing.is_empty() && told.excess.is_empty(),
            "{role}: {told:?}"
        );
        let owner = deployment.owner.privileges(duty, true).await.unwrap();
        assert!(owner.missing.is_empty(), "{owner:?}");
        assert!(!owner.excess.is_empty(), "{role}");
    }
    let worker = deployment.login("assay_worker").await;
    let told = worker.privileges(Duty::Settlement, true).await.unwrap();
    assert!(
        told.missing.contains(&"INSERT on assay.settlement".to_owned()),
        "{told:?}"
    );
    assert!(
        told.missing
            .contains(&"UPDATE on users (balance_cents)".to_owned()),
        "{told:?}"
    );
    assert_eq!(
        told.excess,
        [
            "INSERT on assay.log",
            "INSERT on assay.decision",
            "INSERT on assay.hand_in",
            "INSERT on assay.model_call"
        ],
        "a worker is no settler"
    );
}
