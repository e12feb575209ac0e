//! The table of transitions (DESIGN.md section 6), row by row.

use assay::job::JobStatus;
use assay::journal::{Effect, Settled};
use assay::outcome::Outcome;
use assay::settle::SettleSettings;

use super::World;

fn with_fee() -> SettleSettings {
    SettleSettings {
        fee_basis_points: 333,
        platform_user: Some("platform".to_owned()),
        ..SettleSettings::default()
    }
}

fn entry(user: &str, delta: i64, reason: impl Into<String>) -> (String, i64, String) {
    (user.to_owned(), delta, reason.into())
}

#[tokio::test]
async fn a_verified_submission_pays_the_receiver() {
    let world = World::new().await;
    let job = world.job("j1", |_| ()).await;
    let total = world.total().await;
    let decision = world.decide(&job, Outcome::Verified).await;
    assert_eq!(world.settle(&decision).await, Settled::Applied(Effect::Paid));
    assert_eq!(world.load(&job).await.status, JobStatus::Verified);
    assert_eq!(world.ledger().await, [entry("receiver", 1000, "payout:j1")]);
    assert_eq!(world.balances().await, [("receiver".to_owned(), 1000)].into());
    world.assert_sums(total).await;
}

#[tokio::test]
async fn the_platforms_fee_is_rounded_down_and_comes_out_of_the_price() {
    let world = World::with(with_fee()).await;
    let job = world.job("j1", |_| ()).await;
    let total = world.total().await;
    let decision = world.decide(&job, Outcome::Verified).await;
    assert_eq!(world.settle(&decision).await, Settled::Applied(Effect::Paid));
    assert_eq!(
        world.ledger().await,
        [
            entry("receiver", 967, "payout:j1"),
            entry("platform", 33, "fee:j1")
        ]
    );
    world.assert_sums(total).await;
}

#[tokio::test]
async fn a_job_without_a_price_is_verified_and_nothing_moves() {
    let world = World::new().await;
    let job = world.job("j1", |job| job.price_cents = None).await;
    let decision = world.decide(&job, Outcome::Verified).await;
    assert_eq!(world.settle(&decision).await, Settled::Applied(Effect::Paid));
    assert_eq!(world.load(&job).await.status, JobStatus::Verified);
    assert_eq!(world.ledger().await, []);
}

#[tokio::test]
async fn a_retry_below_the_maximum_opens_the_job_again() {
    let world = World::new().await;
    let job = world.job("j1", |job| job.attempt_count = 1).await;
    let total = world.total().await;
    let decision = world.decide(&job, Outcome::Retry).await;
    assert_eq!(world.settle(&decision).await, Settled::Applied(Effect::Requeued));
    let open = world.load(&job).await;
    assert_eq!((open.status, open.attempt_count), (JobStatus::Queued, 2));
    assert_eq!(
        (&open.receiver, &open.receiver_agent_id, &open.held_by_agent_id),
        (&None, &None, &None)
    );
    assert_eq!(
        (open.accepted_at, open.deadline_at, open.output_text),
        (None, None, None)
    );
    assert!(open.output_attachments.is_empty());
    assert_eq!(world.ledger().await, []);
    world.assert_sums(total).await;
}

#[tokio::test]
async fn a_retry_at_the_maximum_fails_the_job_and_refunds_the_sender() {
    let world = World::new().await;
    let job = world.job("j1", |job| job.attempt_count = 2).await;
    let total = world.total().await;
    let decision = world.decide(&job, Outcome::Retry).await;
    assert_eq!(world.settle(&decision).await, Settled::Applied(Effect::Failed));
    let failed = world.load(&job).await;
    assert_eq!((failed.status, failed.attempt_count), (JobStatus::Failed, 3));
    assert_eq!(world.ledger().await, [entry("sender", 1000, "refund:j1")]);
    world.assert_sums(total).await;
}

#[tokio::test]
async fn a_dispute_takes_a_payment_back_from_whom_it_went_to() {
    let world = World::with(with_fee()).await;
    let job = world.job("j1", |_| ()).await;
    let total = world.total().await;
    let paid = world.decide(&job, Outcome::Verified).await;
    world.settle(&paid).await;
    let overturned = world.dispute(&job, Outcome::Retry, paid.id()).await;
    assert_eq!(
        world.settle(&overturned).await,
        Settled::Applied(Effect::ReversedRequeued)
    );
    assert_eq!(world.load(&job).await.status, JobStatus::Queued);
    let reversal = format!("reversal:{}", overturned.id());
    assert_eq!(
        world.ledger().await[2..],
        [
            entry("receiver", -967, reversal.clone()),
            entry("platform", -33, reversal)
        ]
    );
    assert_eq!(world.balances().await, [].into());
    world.assert_sums(total).await;
}

#[tokio::test]
async fn a_dispute_of_the_last_attempt_gives_the_money_back_to_the_sender() {
    let world = World::new().await;
    let job = world.job("j1", |job| job.attempt_count = 2).await;
    let total = world.total().await;
    let paid = world.decide(&job, Outcome::Verified).await;
    world.settle(&paid).await;
    let overturned = world.dispute(&job, Outcome::Retry, paid.id()).await;
    assert_eq!(
        world.settle(&overturned).await,
        Settled::Applied(Effect::ReversedFailed)
    );
    assert_eq!(world.load(&job).await.status, JobStatus::Failed);
    assert_eq!(world.balances().await, [("sender".to_owned(), 1000)].into());
    world.assert_sums(total).await;
}

#[tokio::test]
async fn what_was_spent_cannot_be_taken_back() {
    let world = World::new().await;
    let job = world.job("j1", |_| ()).await;
    let paid = world.decide(&job, Outcome::Verified).await;
    world.settle(&paid).await;
    world
        .execute("UPDATE users SET balance_cents = 999 WHERE id = 'receiver'")
        .await;
    let overturned = world.dispute(&job, Outcome::Retry, paid.id()).await;
    assert_eq!(
        world.settle(&overturned).await,
        Settled::Exception("balance-too-low")
    );
    assert_eq!(world.load(&job).await.status, JobStatus::Verified);
    let detail = &world.market.exceptions(false).await.unwrap()[0].detail;
    insta::assert_snapshot!(detail, @"`receiver` has 999 cents, 1000 are to be given back");
}

#[tokio::test]
async fn a_decision_is_overturned_once() {
    let world = World::new().await;
    let job = world.job("j1", |_| ()).await;
    let paid = world.decide(&job, Outcome::Verified).await;
    world.settle(&paid).await;
    // The database refuses the second; settlement would, too.
    world.execute("DROP INDEX assay.decision_overturned_once").await;
    let first = world.dispute(&job, Outcome::Retry, paid.id()).await;
    let second = world.dispute(&job, Outcome::Retry, paid.id()).await;
    assert_eq!(
        world.settle(&first).await,
        Settled::Applied(Effect::ReversedRequeued)
    );
    assert_eq!(world.settle(&second).await, Settled::Exception("overturned"));
    assert_eq!(world.settle(&first).await, Settled::Already);
}

#[tokio::test]
async fn a_dispute_needs_the_decision_that_paid() {
    let world = World::new().await;
    let job = world.job("j1", |_| ()).await;
    let other = world.job("j2", |_| ()).await;
    let paid = world.decide(&job, Outcome::Verified).await;
    let paid_other = world.decide(&other, Outcome::Verified).await;
    world.settle(&paid).await;
    world.settle(&paid_other).await;
    // The database refuses such decisions; settlement would, too.
    world
        .execute("ALTER TABLE assay.decision DISABLE TRIGGER decision_overturns")
        .await;
    let wrong = world.dispute(&job, Outcome::Retry, paid_other.id()).await;
    assert_eq!(world.settle(&wrong).await, Settled::Exception("moved-on"));
    let none = world
        .decide_with(&job, Outcome::Retry, |message| {
            message.trigger = assay::receipt::Trigger::Dispute
        })
        .await;
    assert_eq!(world.settle(&none).await, Settled::Exception("moved-on"));
    let again = world.dispute(&job, Outcome::Verified, paid.id()).await;
    assert_eq!(world.settle(&again).await, Settled::Exception("moved-on"));
}

#[tokio::test]
async fn the_database_refuses_a_dispute_of_nothing_of_another_attempt_and_a_second_one() {
    let world = World::new().await;
    let (job, other) = (world.job("j1", |_| ()).await, world.job("j2", |_| ()).await);
    let decided = world.decide(&job, Outcome::Verified).await;
    let elsewhere = world.decide(&other, Outcome::Verified).await;
    let dispute = |earlier: Option<assay::entry::VerificationId>| {
        let mut message = super::message(&job, Outcome::Retry);
        message.trigger = assay::receipt::Trigger::Dispute;
        message.supersedes = earlier;
        super::Decision::of(message)
    };
    for wrong in [
        None,
        Some(assay::entry::VerificationId::new()),
        Some(elsewhere.id()),
    ] {
        let refused = world.try_store(&dispute(wrong)).await.unwrap_err();
        assert!(refused.contains("overturns no decision"), "{refused}");
    }
    world.try_store(&dispute(Some(decided.id()))).await.unwrap();
    let refused = world.try_store(&dispute(Some(decided.id()))).await.unwrap_err();
    assert!(refused.contains("decision_overturned_once"), "{refused}");
}

#[tokio::test]
async fn a_decision_that_was_overturned_before_it_was_applied_is_an_exception() {
    let world = World::new().await;
    let job = world.job("j1", |_| ()).await;
    let late = world.decide(&job, Outcome::Verified).await;
    let overturned = world.dispute(&job, Outcome::Retry, late.id()).await;
    assert_eq!(
        world.settle(&overturned).await,
        Settled::Applied(Effect::Requeued)
    );
    assert_eq!(world.settle(&late).await, Settled::Exception("overturned"));
    assert_eq!(world.ledger().await, []);
}

#[tokio::test]
async fn a_job_that_has_moved_on_is_left_alone() {
    let world = World::new().await;
    for (number, status) in [
        JobStatus::PendingPayment,
        JobStatus::Queued,
        JobStatus::Held,
        JobStatus::Accepted,
        JobStatus::Verified,
        JobStatus::Cancelled,
        JobStatus::Failed,
    ]
    .into_iter()
    .enumerate()
    {
        let job = world.job(&format!("j{number}"), |job| job.status = status).await;
        for outcome in [Outcome::Verified, Outcome::Retry] {
            let mut decided = job.clone();
            decided.attempt_count = u32::from(outcome == Outcome::Retry);
            let decision = world.decide(&decided, outcome).await;
            assert_eq!(
                world.settle(&decision).await,
                Settled::Exception("moved-on"),
                "{status:?}"
            );
            assert_eq!(world.load(&job).await.status, status);
        }
    }
    assert_eq!(world.ledger().await, []);
    let details: Vec<_> = world.market.exceptions(false).await.unwrap();
    insta::assert_snapshot!(details[3].detail, @"the job is `queued` at attempt 0; the decision is about attempt 1");
}

#[tokio::test]
async fn a_decision_that_was_applied_changes_nothing_any_more() {
    let world = World::new().await;
    let job = world.job("j1", |_| ()).await;
    let decision = world.decide(&job, Outcome::Retry).await;
    assert_eq!(world.settle(&decision).await, Settled::Applied(Effect::Requeued));
    assert_eq!(world.settle(&decision).await, Settled::Already);
    assert_eq!(world.load(&job).await.attempt_count, 1);
    assert_eq!(world.exceptions().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_marketplace_may_have_uuids_an_enum_and_columns_of_its_own() {
    let world = World::new().await;
    world
        .execute("ALTER TABLE ledger_entries DROP CONSTRAINT ledger_entries_user_id_fkey")
        .await;
    world
        .execute("ALTER TABLE agents DROP CONSTRAINT agents_owner_id_fkey")
        .await;
    world
        .execute("ALTER TABLE withdrawals DROP CONSTRAINT withdrawals_user_id_fkey")
        .await;
    world.execute("DELETE FROM ledger_entries").await;
    world.execute("DELETE FROM users").await;
    world
        .execute("ALTER TABLE jobs DROP CONSTRAINT jobs_status_check")
        .await;
    world
        .execute("CREATE TYPE job_status AS ENUM ('queued', 'held', 'accepted', 'submitted', 'verified', 'failed')")
        .await;
    for statement in [
        "ALTER TABLE users ALTER id TYPE uuid USING id::uuid",
        "ALTER TABLE ledger_entries ALTER user_id TYPE uuid USING user_id::uuid",
        "ALTER TABLE jobs ALTER sender TYPE uuid USING sender::uuid, ALTER receiver TYPE uuid USING receiver::uuid",
        "ALTER TABLE jobs ALTER status TYPE job_status USING status::job_status, ADD shelf integer DEFAULT 7",
    ] {
        world.execute(statement).await;
    }
    let market = world.journal.market().await.unwrap();
    let (sender, receiver) = (
        uuid::Uuid::from_u128(1).to_string(),
        uuid::Uuid::from_u128(2).to_string(),
    );
    let mut job = super::job("j1");
    (job.sender, job.receiver) = (sender, Some(receiver));
    market.insert_demo(std::slice::from_ref(&job), 0).await.unwrap();
    let decision = world.decide(&job, Outcome::Verified).await;
    let settler = super::settler(&market, &world.trust, SettleSettings::default());
    assert_eq!(
        settler.settle(&decision.body).await.unwrap(),
        Settled::Applied(Effect::Paid)
    );
    assert!(market.audit_sums().await.unwrap().unbalanced.is_empty());
}
