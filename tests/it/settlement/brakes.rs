//! Brakes: pause, price, rate. What waits is lost never and paid once.

use assay::job::JobStatus;
use assay::journal::{Effect, HoldReason, Settled};
use assay::outcome::Outcome;
use assay::receipt::TrustFile;
use assay::settle::SettleSettings;

use super::World;

#[tokio::test]
async fn while_paused_verified_outcomes_wait_and_retries_do_not() {
    let world = World::new().await;
    let good = world.job("j1", |_| ()).await;
    let bad = world.job("j2", |_| ()).await;
    let total = world.total().await;
    world.market.set_pause(true, "ann", "looks wrong").await.unwrap();
    let (verified, retry) = (
        world.decide(&good, Outcome::Verified).await,
        world.decide(&bad, Outcome::Retry).await,
    );
    for _ in 0..2 {
        assert_eq!(world.settle(&verified).await, Settled::Held(HoldReason::Paused));
    }
    assert_eq!(world.settle(&retry).await, Settled::Applied(Effect::Requeued));
    assert_eq!(world.settler.release().await.unwrap(), 0);
    assert_eq!(world.market.held().await.unwrap().len(), 1);
    world
        .market
        .set_pause(false, "ann", "was a display error")
        .await
        .unwrap();
    assert_eq!(world.settler.release().await.unwrap(), 1);
    assert_eq!(world.settler.release().await.unwrap(), 0);
    assert_eq!(world.settle(&verified).await, Settled::Already);
    assert_eq!(world.load(&good).await.status, JobStatus::Verified);
    assert!(world.market.held().await.unwrap().is_empty());
    world.assert_sums(total).await;
}

#[tokio::test]
async fn what_waited_and_is_in_trouble_keeps_no_other_waiting_however_many_they_are() {
    // With a limit of the hour they go one by one.
    let world = World::with(SettleSettings {
        max_paid_per_hour_cents: Some(1_000_000),
        ..SettleSettings::default()
    })
    .await;
    world.market.set_pause(true, "ann", "looks wrong").await.unwrap();
    for id in World::many_and_two() {
        let job = world.job(&id, |_| ()).await;
        let decision = world.decide(&job, Outcome::Verified).await;
        assert_eq!(world.settle(&decision).await, Settled::Held(HoldReason::Paused));
    }
    let total = world.total().await;
    world.trouble("a-stuck-%").await;
    world.market.set_pause(false, "ann", "").await.unwrap();
    world.settler.release().await.unwrap_err();
    assert_eq!(world.ledger().await.len(), 2);
    assert_eq!(world.market.held().await.unwrap().len(), 101);
    world.trouble_is_over().await;
    // All of them in one go.
    assert_eq!(world.settler.release().await.unwrap(), 101);
    assert_eq!(world.ledger().await.len(), 103);
    assert_eq!(world.exceptions().await, Vec::<String>::new());
    world.assert_sums(total).await;
}

#[tokio::test]
async fn a_high_price_waits_for_approval_and_is_then_paid_once() {
    let world = World::with(SettleSettings {
        hold_above_cents: Some(1000),
        ..SettleSettings::default()
    })
    .await;
    let cheap = world.job("j1", |_| ()).await;
    let dear = world.job("j2", |job| job.price_cents = Some(1001)).await;
    let cheap = world.decide(&cheap, Outcome::Verified).await;
    let decision = world.decide(&dear, Outcome::Verified).await;
    assert_eq!(world.settle(&cheap).await, Settled::Applied(Effect::Paid));
    assert_eq!(world.settle(&decision).await, Settled::Held(HoldReason::Price));
    assert_eq!(world.settler.release().await.unwrap(), 0);
    let nobody = world.market.approve(&["j1".to_owned()], "ann", "").await.unwrap();
    assert_eq!(nobody, []);
    let approved = world
        .market
        .approve(&["j2".to_owned()], "ann", "seen")
        .await
        .unwrap();
    assert_eq!(approved, [decision.id()]);
    // Approval does not open a pause.
    world.market.set_pause(true, "bob", "").await.unwrap();
    assert_eq!(world.settler.release().await.unwrap(), 0);
    assert_eq!(world.settle(&decision).await, Settled::Held(HoldReason::Paused));
    world.market.set_pause(false, "bob", "").await.unwrap();
    let (one, two) = tokio::join!(world.settler.release(), world.settler.release());
    assert!(one.unwrap() + two.unwrap() >= 1);
    assert_eq!(world.ledger().await.len(), 2);
    assert_eq!(world.balances().await, [("receiver".to_owned(), 2001)].into());
}

#[tokio::test]
async fn what_does_not_fit_into_the_hour_waits_for_room_in_its_turn() {
    let world = World::with(SettleSettings {
        max_paid_per_hour_cents: Some(2500),
        ..SettleSettings::default()
    })
    .await;
    let mut decisions = Vec::new();
    for (id, price) in [
        ("j1", 1000),
        ("j2", 1000),
        ("j3", 1000),
        ("j4", 300),
        ("j5", 2501),
    ] {
        let job = world.job(id, |job| job.price_cents = Some(price)).await;
        decisions.push(world.decide(&job, Outcome::Verified).await);
    }
    let mut became = Vec::new();
    for decision in &decisions {
        became.push(world.settle(decision).await);
    }
    let (paid, rate) = (Settled::Applied(Effect::Paid), Settled::Held(HoldReason::Rate));
    // The fourth would fit, but the third waits already; the fifth never fits, and waits for a person.
    let price = Settled::Held(HoldReason::Price);
    assert_eq!(became, [paid.clone(), paid, rate.clone(), rate, price]);
    assert_eq!(world.settler.release().await.unwrap(), 0);
    world
        .execute("ALTER TABLE assay.settlement DISABLE TRIGGER USER")
        .await;
    world
        .execute(
            "UPDATE assay.settlement SET settled_at = settled_at - interval '61 minutes' WHERE job_id = 'j1'",
        )
        .await;
    assert_eq!(world.settler.release().await.unwrap(), 2);
    let waiting = world.market.held().await.unwrap();
    assert_eq!(
        waiting.iter().map(|row| row.job_id.as_str()).collect::<Vec<_>>(),
        ["j5"]
    );
}

#[tokio::test]
async fn side_by_side_no_more_is_paid_than_the_hour_allows() {
    let world = World::with(SettleSettings {
        max_paid_per_hour_cents: Some(5000),
        ..SettleSettings::default()
    })
    .await;
    let mut decisions = Vec::new();
    for number in 0..12 {
        let job = world.job(&format!("j{number}"), |_| ()).await;
        decisions.push(world.decide(&job, Outcome::Verified).await);
    }
    let mut settling = tokio::task::JoinSet::new();
    for decision in decisions {
        let settler = world.settler.clone();
        settling.spawn(async move { settler.settle(&decision.body).await.unwrap() });
    }
    settling.join_all().await;
    assert_eq!(world.balances().await, [("receiver".to_owned(), 5000)].into());
}

#[tokio::test]
async fn what_waited_and_no_longer_fits_becomes_an_exception() {
    let world = World::new().await;
    let moved = world.job("j1", |_| ()).await;
    let revoked = world.job("j2", |_| ()).await;
    world.market.set_pause(true, "ann", "").await.unwrap();
    let decision = world.decide(&moved, Outcome::Verified).await;
    world.settle(&decision).await;
    world
        .execute("UPDATE jobs SET status = 'cancelled' WHERE id = 'j1'")
        .await;
    world.market.set_pause(false, "ann", "").await.unwrap();
    assert_eq!(world.settler.release().await.unwrap(), 1);
    assert_eq!(world.exceptions().await, ["moved-on"]);

    world.market.set_pause(true, "ann", "").await.unwrap();
    let decision = world.decide(&revoked, Outcome::Verified).await;
    assert_eq!(world.settle(&decision).await, Settled::Held(HoldReason::Paused));
    let mut trust = TrustFile::read(&world.trust).unwrap();
    let earlier = "2026-01-01T00:00:00Z".parse().unwrap();
    trust.revoke(world.key.id().as_str(), earlier, "stolen").unwrap();
    trust.write(&world.trust).unwrap();
    world.market.set_pause(false, "ann", "").await.unwrap();
    assert_eq!(world.settler.release().await.unwrap(), 1);
    assert_eq!(world.exceptions().await, ["moved-on", "receipt-key-revoked"]);
    assert!(world.market.held().await.unwrap().is_empty());
    assert_eq!(world.ledger().await, []);
}

#[tokio::test]
async fn every_act_is_noted_with_who_and_why() {
    let world = World::new().await;
    world.market.set_pause(true, "ann", "looks wrong").await.unwrap();
    world.market.set_pause(false, "bob", "fine").await.unwrap();
    let pause = world.market.pause().await.unwrap().unwrap();
    assert_eq!(
        (pause.paused, pause.by.as_str(), pause.reason.as_str()),
        (false, "bob", "fine")
    );
    world.settler.settle(b"no outcome").await.unwrap();
    let id = world.market.exceptions(false).await.unwrap()[0].id;
    assert!(world.market.close_exception(id, "cleo", "noise").await.unwrap());
    assert!(!world.market.close_exception(id, "cleo", "again").await.unwrap());
    let closed = &world.market.exceptions(true).await.unwrap()[0];
    assert_eq!(closed.closed_reason.as_deref(), Some("noise"));
    let acts: Vec<(String, String, String)> =
        sqlx::query_as("SELECT what, by, reason FROM assay.act ORDER BY id")
            .fetch_all(&world.journal.pool())
            .await
            .unwrap();
    insta::assert_snapshot!(format!("{acts:?}"), @r#"[("pause", "ann", "looks wrong"), ("resume", "bob", "fine"), ("close-exception", "cleo", "noise")]"#);
}
