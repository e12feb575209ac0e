//! Once, whatever happens: side by side, cut off in between, with others in the way.

use assay::job::JobStatus;
use assay::journal::{Effect, PgJournal, Settled};
use assay::outcome::Outcome;
use assay::settle::SettleSettings;

use super::{World, settler};

#[tokio::test]
async fn the_same_outcome_fifty_times_from_several_settlers_pays_once() {
    let world = World::new().await;
    let job = world.job("j1", |_| ()).await;
    let total = world.total().await;
    let decision = world.decide(&job, Outcome::Verified).await;
    let settlers: Vec<_> = (0..5)
        .map(|_| settler(&world.market, &world.trust, SettleSettings::default()))
        .collect();
    let mut settling = tokio::task::JoinSet::new();
    for number in 0..50 {
        let (settler, body) = (settlers[number % 5].clone(), decision.body.clone());
        settling.spawn(async move { settler.settle(&body).await.unwrap() });
    }
    let became = settling.join_all().await;
    let applied = became
        .iter()
        .filter(|settled| **settled == Settled::Applied(Effect::Paid));
    assert_eq!(applied.count(), 1);
    assert_eq!(
        became
            .iter()
            .filter(|settled| **settled == Settled::Already)
            .count(),
        49
    );
    assert_eq!(world.ledger().await.len(), 1);
    world.assert_sums(total).await;
}

#[tokio::test]
async fn settlers_cut_off_anywhere_leave_nothing_half_done() {
    let world = World::new().await;
    let total = world.total().await;
    for number in 0..30 {
        let job = world.job(&format!("j{number}"), |_| ()).await;
        let decision = world.decide(&job, Outcome::Verified).await;
        // Each round is cut off a little later, by dropping it in the middle of its statements.
        let cut = std::time::Duration::from_micros(150 * number);
        // With connections of its own, which end with it, as those of a killed process do.
        let victim = PgJournal::connect(&world.database.url, 2).await.unwrap();
        let cut_off = settler(
            &victim.market().await.unwrap(),
            &world.trust,
            SettleSettings::default(),
        );
        let first = tokio::time::timeout(cut, cut_off.settle(&decision.body)).await;
        drop((cut_off, victim));
        let sums = world.market.audit_sums().await.unwrap();
        assert_eq!(sums.unbalanced, Vec::<String>::new(), "after {cut:?}: {first:?}");
        let second = world.settle(&decision).await;
        assert!(
            matches!(second, Settled::Applied(Effect::Paid) | Settled::Already),
            "after {cut:?}: {second:?}"
        );
        assert_eq!(world.load(&job).await.status, JobStatus::Verified);
    }
    assert_eq!(world.balances().await, [("receiver".to_owned(), 30_000)].into());
    // Every job brought its own price.
    world.assert_sums(total + 30 * 1000).await;
}

#[tokio::test]
async fn a_decision_whose_message_was_lost_is_found_whatever_a_forger_names() {
    let world = World::new().await;
    let job = world.job("j1", |_| ()).await;
    let decision = world.decide(&job, Outcome::Verified).await;
    let unsettled = async || {
        let found = world.market.unsettled(None, std::time::Duration::ZERO, 10).await;
        found.unwrap().due.messages
    };
    assert_eq!(unsettled().await, std::slice::from_ref(&decision.body));
    let mut forged: serde_json::Value = serde_json::from_slice(&decision.body).unwrap();
    forged["receipt"]["price_cents"] = serde_json::json!(1);
    let forged = serde_json::to_vec(&forged).unwrap();
    let became = world.settler.settle(&forged).await.unwrap();
    assert!(matches!(became, Settled::Exception(_)), "{became:?}");
    assert_eq!(
        unsettled().await,
        std::slice::from_ref(&decision.body),
        "its id in a forgery hides it not"
    );
    // What waited and waits no longer, without having become anything else, is as good as lost.
    world.market.set_pause(true, "ann", "").await.unwrap();
    world.settle(&decision).await;
    assert_eq!(unsettled().await, Vec::<Vec<u8>>::new());
    world.execute("UPDATE assay.held SET released_at = now()").await;
    assert_eq!(unsettled().await, std::slice::from_ref(&decision.body));
    world.market.set_pause(false, "ann", "").await.unwrap();
    assert_eq!(world.settle(&decision).await, Settled::Applied(Effect::Paid));
    assert_eq!(unsettled().await, Vec::<Vec<u8>>::new());
}

#[tokio::test]
async fn jobs_whose_users_pay_each_other_settle_side_by_side() {
    let world = World::new().await;
    let mut decisions = Vec::new();
    for number in 0..60 {
        let job = world
            .job(&format!("j{number}"), |job| {
                if number % 2 == 0 {
                    (job.sender, job.receiver) = ("receiver".to_owned(), Some("sender".to_owned()));
                }
                job.attempt_count = 2 * (number % 3 / 2);
            })
            .await;
        let outcome = if number % 3 == 2 {
            Outcome::Retry
        } else {
            Outcome::Verified
        };
        decisions.push(world.decide(&job, outcome).await);
    }
    let total = world.total().await;
    let mut settling = tokio::task::JoinSet::new();
    for decision in decisions {
        let settler = world.settler.clone();
        settling.spawn(async move { settler.settle(&decision.body).await.unwrap() });
    }
    let became = settling.join_all().await;
    let applied = became
        .iter()
        .filter(|settled| matches!(settled, Settled::Applied(_)));
    assert_eq!(applied.count(), 60);
    world.assert_sums(total).await;
}

#[tokio::test]
async fn a_marketplace_that_refuses_an_update_makes_an_exception_and_nothing_moves() {
    let world = World::new().await;
    let job = world.job("j1", |_| ()).await;
    let total = world.total().await;
    world
        .execute("ALTER TABLE jobs ADD CONSTRAINT frozen CHECK (status <> 'verified')")
        .await;
    let decision = world.decide(&job, Outcome::Verified).await;
    assert_eq!(world.settle(&decision).await, Settled::Exception("refused"));
    assert_eq!(world.ledger().await, []);
    world.assert_sums(total).await;
    world.execute("ALTER TABLE jobs DROP CONSTRAINT frozen").await;
    assert_eq!(world.settle(&decision).await, Settled::Applied(Effect::Paid));
}

#[tokio::test]
async fn a_table_that_is_missing_is_our_trouble_and_no_exception() {
    let world = World::new().await;
    let job = world.job("j1", |_| ()).await;
    let decision = world.decide(&job, Outcome::Verified).await;
    world
        .execute("ALTER TABLE ledger_entries RENAME TO elsewhere")
        .await;
    assert!(world.settler.settle(&decision.body).await.is_err());
    world
        .execute("ALTER TABLE elsewhere RENAME TO ledger_entries")
        .await;
    assert_eq!(world.settle(&decision).await, Settled::Applied(Effect::Paid));
    assert_eq!(world.exceptions().await, Vec::<String>::new());
}
