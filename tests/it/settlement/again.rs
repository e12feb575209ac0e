//! `assay settle again`, by the roles of `deploy/roles.sql`: what waited, became an exception and was mended is paid once.

use assay::journal::{Effect, HoldReason, JournalError, Settled, Tried};
use assay::outcome::Outcome;
use assay::settle::{SettleSettings, SettleTrouble};

use super::shipped::Shipped;

fn good(said: &str) -> (Option<i32>, String) {
    (Some(0), format!("{said}\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_payment_that_became_an_exception_is_paid_once_when_it_is_tried_again() {
    let shop = Shipped::new(SettleSettings {
        hold_above_cents: Some(1000),
        ..SettleSettings::default()
    })
    .await;
    let job = shop.world.job("j1", |job| job.price_cents = Some(2000)).await;
    let total = shop.world.total().await;
    let decision = shop.world.decide(&job, Outcome::Verified).await;
    assert_eq!(shop.settle(&decision).await, Settled::Held(HoldReason::Price));
    assert_eq!(shop.stands(&decision).await, "held: price");
    shop.operate(&["settle", "approve", "j1"]);
    shop.world
        .execute("UPDATE jobs SET receiver = 'sender' WHERE id = 'j1'")
        .await;
    assert_eq!(shop.settler.release().await.unwrap(), 1);
    assert_eq!(shop.stands(&decision).await, "exception: receiver-differs");
    shop.world
        .execute("UPDATE jobs SET receiver = 'receiver' WHERE id = 'j1'")
        .await;
    assert_eq!(shop.again().await, good("paid"), "the approval still holds");
    assert_eq!(shop.stands(&decision).await, "settled");
    assert_eq!(shop.settler.release().await.unwrap(), 0);
    assert_eq!(shop.settle(&decision).await, Settled::Already);
    assert_eq!(
        shop.world.balances().await,
        [("receiver".to_owned(), 2000)].into()
    );
    shop.world.assert_sums(total).await;
    let acts: Vec<(String, String, String)> =
        sqlx::query_as("SELECT what, by, reason FROM assay.act ORDER BY id")
            .fetch_all(&shop.world.journal.pool())
            .await
            .unwrap();
    insta::assert_snapshot!(format!("{acts:?}"), @r#"[("approve", "ann", ""), ("close-exception", "ann", "tried again: paid")]"#);
}

/// Whatever it waits for: an exception by the trust file, tried again while the brake still holds, an exception for the same
/// reason when the brake opens, tried again.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_neither_lost_nor_paid_twice_whichever_brake_and_however_often_it_fails() {
    for brake in [HoldReason::Paused, HoldReason::Price, HoldReason::Rate] {
        let shop = Shipped::new(SettleSettings {
            hold_above_cents: (brake == HoldReason::Price).then_some(100),
            max_paid_per_hour_cents: (brake == HoldReason::Rate).then_some(1500),
            ..SettleSettings::default()
        })
        .await;
        if brake == HoldReason::Rate {
            let earlier = shop.world.job("j0", |_| ()).await;
            let earlier = shop.world.decide(&earlier, Outcome::Verified).await;
            shop.settle(&earlier).await;
        }
        let job = shop.world.job("j1", |_| ()).await;
        let total = shop.world.total().await;
        let before = shop.world.ledger().await.len();
        let decision = shop.world.decide(&job, Outcome::Verified).await;
        if brake == HoldReason::Paused {
            shop.operate(&["pause"]);
        }
        let held = format!("held: {}", brake.as_str());
        assert_eq!(shop.settle(&decision).await, Settled::Held(brake));
        assert_eq!(shop.stands(&decision).await, held);

        shop.trust_the_wrong_key();
        let unknown = Settled::Exception("receipt-key-unknown");
        assert_eq!(shop.settle(&decision).await, unknown);
        assert_eq!(shop.stands(&decision).await, "exception: receipt-key-unknown");
        let still = (Some(1), "still an exception: receipt-key-unknown\n".to_owned());
        assert_eq!(shop.again().await, still);
        assert_eq!(shop.stands(&decision).await, "exception: receipt-key-unknown");

        shop.trust(&shop.world.key);
        assert_eq!(shop.again().await, good(brake.as_str()));
        assert_eq!(shop.stands(&decision).await, held, "it waits again");
        assert_eq!(shop.settler.release().await.unwrap(), 0);

        match brake {
            HoldReason::Paused => shop.operate(&["resume"]),
            HoldReason::Price => shop.operate(&["settle", "approve", "j1"]),
            HoldReason::Rate => {
                for statement in [
                    "ALTER TABLE assay.settlement DISABLE TRIGGER USER",
                    "UPDATE assay.settlement SET settled_at = settled_at - interval '61 minutes'",
                ] {
                    shop.world.execute(statement).await;
                }
            }
        }
        shop.trust_the_wrong_key();
        assert_eq!(shop.settler.release().await.unwrap(), 1);
        assert_eq!(
            shop.stands(&decision).await,
            "exception: receipt-key-unknown",
            "for the same reason once more, and open"
        );
        shop.trust(&shop.world.key);
        assert_eq!(shop.again().await, good("paid"), "{held}");
        assert_eq!(shop.stands(&decision).await, "settled");
        assert_eq!(shop.settle(&decision).await, Settled::Already);
        assert_eq!(shop.world.ledger().await.len(), before + 1);
        shop.world.assert_sums(total).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_that_is_one_for_another_reason_now_is_shown_as_that_alone() {
    let shop = Shipped::new(SettleSettings::default()).await;
    let job = shop.world.job("j1", |_| ()).await;
    let decision = shop.world.decide(&job, Outcome::Verified).await;
    shop.world
        .execute("UPDATE jobs SET receiver = 'sender' WHERE id = 'j1'")
        .await;
    shop.settle(&decision).await;
    shop.world
        .execute("UPDATE jobs SET receiver = 'receiver', price_cents = 1 WHERE id = 'j1'")
        .await;
    let became = (Some(1), "still an exception: price-differs\n".to_owned());
    assert_eq!(shop.again().await, became);
    assert_eq!(shop.stands(&decision).await, "exception: price-differs");
    shop.trust_the_wrong_key();
    let became = (Some(1), "still an exception: receipt-key-unknown\n".to_owned());
    assert_eq!(shop.again().await, became);
    assert_eq!(shop.stands(&decision).await, "exception: receipt-key-unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_settle_is_told_so_before_anything_is_tried() {
    let shop = Shipped::new(SettleSettings::default()).await;
    let job = shop.world.job("j1", |_| ()).await;
    let decision = shop.world.decide(&job, Outcome::Verified).await;
    shop.trust_the_wrong_key();
    shop.settle(&decision).await;
    shop.trust(&shop.world.key);
    let number = shop.number().await;
    let refused = shop.run(&shop.operator, &["settle", "again", &number]);
    let complained = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{complained}");
    assert!(complained.contains("connect as assay_settlement"), "{complained}");
    assert_eq!(shop.stands(&decision).await, "exception: receipt-key-unknown");
    // Among others, a number that is none's is told before the others are tried.
    let unknown = shop.run(&shop.settlement, &["settle", "again", &number, "999"]);
    let complained = String::from_utf8(unknown.stderr).unwrap();
    assert_eq!(unknown.status.code(), Some(2), "{complained}");
    assert!(complained.contains("no open exception 999"), "{complained}");
    assert_eq!(shop.stands(&decision).await, "exception: receipt-key-unknown");
    assert_eq!(shop.again().await, good("paid"));
}

#[tokio::test]
async fn what_cannot_be_closed_is_not_paid() {
    let shop = Shipped::new(SettleSettings::default()).await;
    let job = shop.world.job("j1", |_| ()).await;
    let decision = shop.world.decide(&job, Outcome::Verified).await;
    shop.trust_the_wrong_key();
    shop.settle(&decision).await;
    shop.trust(&shop.world.key);
    let exception = shop.number().await.parse().unwrap();
    let tried = Tried { exception, by: "ann" };
    shop.world
        .execute("ALTER TABLE assay.act RENAME TO elsewhere")
        .await;
    assert!(shop.settler.again(tried).await.is_err());
    assert_eq!(shop.stands(&decision).await, "exception: receipt-key-unknown");
    assert_eq!(shop.world.ledger().await, []);
    shop.world
        .execute("ALTER TABLE assay.elsewhere RENAME TO act")
        .await;
    assert_eq!(
        shop.settler.again(tried).await.unwrap(),
        Settled::Applied(Effect::Paid)
    );
}

#[tokio::test]
async fn tried_by_several_people_at_once_it_is_paid_once_and_nobody_pays_what_was_closed() {
    let shop = Shipped::new(SettleSettings::default()).await;
    shop.trust_the_wrong_key();
    let mut decisions = Vec::new();
    for id in ["j1", "j2"] {
        let job = shop.world.job(id, |_| ()).await;
        let decision = shop.world.decide(&job, Outcome::Verified).await;
        shop.settle(&decision).await;
        decisions.push(decision);
    }
    shop.trust(&shop.world.key);
    let open = shop.world.market.exceptions(false).await.unwrap();
    let mut trying = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (settler, exception) = (shop.settler.clone(), open[0].id);
        trying.spawn(async move { settler.again(Tried { exception, by: "ann" }).await });
    }
    let mut paid = 0;
    for became in trying.join_all().await {
        match became {
            Ok(settled) => {
                assert_eq!(settled, Settled::Applied(Effect::Paid));
                paid += 1;
            }
            Err(SettleTrouble::Journal(JournalError::NoOpenException(id))) => assert_eq!(id, open[0].id),
            Err(trouble) => panic!("{trouble:?}"),
        }
    }
    assert_eq!(paid, 1);

    // Somebody closes the other one while it is being tried: whoever comes first has his way.
    let exception = open[1].id;
    let mut closing = shop.world.journal.pool().begin().await.unwrap();
    sqlx::query(
        "UPDATE assay.exception SET closed_at = now(), closed_by = 'bob', closed_reason = 'no' WHERE id = $1",
    )
    .bind(exception)
    .execute(&mut *closing)
    .await
    .unwrap();
    let settler = shop.settler.clone();
    let trying = tokio::spawn(async move { settler.again(Tried { exception, by: "ann" }).await });
    let waits = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database OR database IS NULL
                 WHERE NOT granted AND d.datname = current_database()";
    loop {
        let waiting: i64 = sqlx::query_scalar(waits)
            .fetch_one(&shop.world.journal.pool())
            .await
            .unwrap();
        if waiting > 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    closing.commit().await.unwrap();
    let became = trying.await.unwrap();
    assert!(
        matches!(
            became,
            Err(SettleTrouble::Journal(JournalError::NoOpenException(_)))
        ),
        "{became:?}"
    );
    assert_eq!(shop.stands(&decisions[1]).await, "");
    assert_eq!(shop.world.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_message_longer_than_an_exception_keeps_is_tried_again_as_it_was() {
    let shop = Shipped::new(SettleSettings::default()).await;
    let job = shop.world.job("j1", |_| ()).await;
    let decision = shop.world.decide_with(&job, Outcome::Verified, |message| {
        message.plan.name = "p".repeat(1024 * 1024);
    });
    let decision = decision.await;
    shop.trust_the_wrong_key();
    shop.settle(&decision).await;
    shop.trust(&shop.world.key);
    let exception = shop.number().await.parse().unwrap();
    let tried = Tried { exception, by: "ann" };
    assert_eq!(
        shop.settler.again(tried).await.unwrap(),
        Settled::Applied(Effect::Paid)
    );
}
