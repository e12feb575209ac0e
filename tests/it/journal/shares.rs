//! Shares of the pool's budget, kept in the database.

use assay::journal::PgLeases;
use assay::pacing::{Ask, Leases as _};

use super::journal;

fn ask(holder: &str, wanted: f64) -> Ask {
    Ask {
        holder: holder.to_owned(),
        wanted,
    }
}

#[tokio::test]
async fn a_share_grows_only_when_the_lease_of_whoever_had_it_has_ended() {
    let (_database, journal) = journal().await;
    let leases = PgLeases::new(journal.clone(), "endpoint".to_owned());
    let first = leases.ask(&ask("a", 1.0)).await.unwrap();
    assert_eq!((first.share, first.holders), (1.0, 1));
    assert_eq!(leases.ask(&ask("b", 1.0)).await.unwrap().share, 0.0);
    // `a` makes room, and may still be using what it had.
    assert_eq!(leases.ask(&ask("a", 1.0)).await.unwrap().share, 0.5);
    assert_eq!(leases.ask(&ask("b", 1.0)).await.unwrap().share, 0.0);
    // Asking again does not lengthen what it had before.
    let older = "SELECT older_until::text FROM assay.share WHERE holder = 'a'";
    let before: String = sqlx::query_scalar(older)
        .fetch_one(&journal.pool())
        .await
        .unwrap();
    assert_eq!(leases.ask(&ask("a", 1.0)).await.unwrap().share, 0.5);
    let after: String = sqlx::query_scalar(older)
        .fetch_one(&journal.pool())
        .await
        .unwrap();
    assert_eq!(before, after);
    sqlx::query("UPDATE assay.share SET older_until = now() WHERE holder = 'a'")
        .execute(&journal.pool())
        .await
        .unwrap();
    let second = leases.ask(&ask("b", 1.0)).await.unwrap();
    assert_eq!((second.share, second.holders), (0.5, 2));
}

#[tokio::test]
async fn the_share_of_a_process_that_is_gone_is_free_when_its_lease_has_ended() {
    let (_database, journal) = journal().await;
    let leases = PgLeases::new(journal.clone(), "endpoint".to_owned());
    leases.ask(&ask("gone", 1.0)).await.unwrap();
    sqlx::query("UPDATE assay.share SET until = now() WHERE holder = 'gone'")
        .execute(&journal.pool())
        .await
        .unwrap();
    let left = leases.ask(&ask("left", 1.0)).await.unwrap();
    assert_eq!((left.share, left.holders), (1.0, 1));
}

#[tokio::test]
async fn those_who_ask_at_the_same_time_never_get_more_than_there_is() {
    let (_database, journal) = journal().await;
    let asking: Vec<_> = (0..8)
        .map(|number| {
            let leases = PgLeases::new(journal.clone(), "endpoint".to_owned());
            tokio::spawn(async move { leases.ask(&ask(&format!("w{number}"), 1.0)).await.unwrap().share })
        })
        .collect();
    let mut sum = 0.0;
    for asked in asking {
        sum += asked.await.unwrap();
    }
    assert!(sum <= 1.0 + 1e-9, "{sum}");
    let other = PgLeases::new(journal, "another endpoint".to_owned());
    assert_eq!(other.ask(&ask("w0", 1.0)).await.unwrap().share, 1.0);
}

#[tokio::test]
async fn those_who_need_most_of_a_minutes_tokens_have_them_one_after_the_other_in_the_order_of_asking() {
    let (_database, journal) = journal().await;
    let leases = PgLeases::new(journal.clone(), "endpoint".to_owned());
    let reserve = async |holder: &str, tokens| leases.reserve(holder, tokens, 60_000).await.unwrap();
    let first = reserve("a", 40_000).await.unwrap();
    assert!(first.wait.is_zero());
    for holder in ["b", "c", "a"] {
        assert_eq!(reserve(holder, 40_000).await, None, "{holder}");
    }
    // The first used far less: there is room for one more, and `b` has waited longest. Small calls do not overtake it.
    leases.correct(first.second, -39_900).await.unwrap();
    assert_eq!(reserve("c", 40_000).await, None);
    assert_eq!(reserve("d", 30_000).await, None);
    let second = reserve("b", 40_000).await.unwrap();
    // Whoever has not asked again for longer than a lease has lost its place.
    leases.correct(second.second, -100_000).await.unwrap();
    let lapse = "UPDATE assay.token_wait SET until = now() WHERE holder IN ('a', 'c')";
    sqlx::query(lapse).execute(&journal.pool()).await.unwrap();
    assert!(reserve("d", 30_000).await.is_some());
    let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM assay.token_wait")
        .fetch_one(&journal.pool())
        .await
        .unwrap();
    assert_eq!(waiting, 0);
    // What is long past is forgotten.
    sqlx::query("UPDATE assay.tokens SET last = now() - interval '63 seconds'")
        .execute(&journal.pool())
        .await
        .unwrap();
    assert!(reserve("a", 60_000).await.unwrap().wait.is_zero());
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM assay.tokens")
        .fetch_one(&journal.pool())
        .await
        .unwrap();
    assert_eq!(rows, 1);
    let other = PgLeases::new(journal, "another endpoint".to_owned());
    assert!(
        other
            .reserve("a", 60_000, 60_000)
            .await
            .unwrap()
            .unwrap()
            .wait
            .is_zero()
    );
}

#[tokio::test]
async fn those_who_ask_for_tokens_at_the_same_time_never_get_more_than_there_are() {
    let (_database, journal) = journal().await;
    let asking: Vec<_> = (0..8)
        .map(|number| {
            let leases = PgLeases::new(journal.clone(), "endpoint".to_owned());
            tokio::spawn(async move {
                leases
                    .reserve(&format!("w{number}"), 40_000, 60_000)
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut reserved = 0;
    for asked in asking {
        reserved += u32::from(asked.await.unwrap().is_some());
    }
    assert_eq!(reserved, 1);
}
