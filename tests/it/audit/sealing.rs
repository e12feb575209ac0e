//! How checkpoints are made: nothing that ended is left out, whenever it began and commits.

use std::time::Duration;

use assay::journal::{LookFrom, Looked, Place};
use assay::outcome::Outcome;
use jiff::Timestamp;
use uuid::Uuid;

use super::World;

const ANCHOR: Option<&str> = Some("anchor.jsonl");

const EVERYTHING: LookFrom = LookFrom::Place(Place::BEGINNING);

/// The id of what began at a time.
fn begun_at(time: Timestamp) -> Uuid {
    let seconds = u64::try_from(time.as_second()).unwrap();
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_that_ends_around_the_cut_is_sealed_once_whenever_it_commits() {
    let world = World::new().await;
    world.decide("first", Outcome::Verified).await;
    let late = world.decide("late", Outcome::Verified).await;
    // It ended before the checkpoint by its clock, but commits after it.
    world
        .tamper(&format!(
            "CREATE TABLE late AS SELECT * FROM assay.verification WHERE id = '{late}';
             UPDATE assay.verification SET ended_at = NULL, outcome = NULL, entries = NULL, head = NULL WHERE id = '{late}'"
        ))
        .await;
    let pool = world.journal.pool();
    let mut committing = pool.begin().await.unwrap();
    sqlx::raw_sql("UPDATE assay.verification v SET ended_at = l.ended_at, outcome = l.outcome, entries = l.entries, head = l.head FROM late l WHERE v.id = l.id")
        .execute(&mut *committing)
        .await
        .unwrap();
    world.seal(ANCHOR).await;
    assert_eq!(
        world.audit(ANCHOR).0,
        1,
        "decided, and not ended as others see it"
    );
    committing.commit().await.unwrap();
    let recent = LookFrom::BeforeLast(Duration::from_secs(60));
    world.sealer(ANCHOR).round(Duration::ZERO, recent).await.unwrap();
    let counts: Vec<i64> = sqlx::query_scalar("SELECT count FROM assay.checkpoint ORDER BY number")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(counts, [1, 1]);
    assert_eq!(world.audit(ANCHOR), (0, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_workers_make_one_chain_and_an_anchor_that_was_away_catches_up() {
    let world = World::new().await;
    for round in 0..4 {
        for number in 0..5 {
            world.decide(&format!("j-{round}-{number}"), Outcome::Retry).await;
        }
        let sealers: Vec<_> = (0..4).map(|_| world.sealer(None)).collect();
        let rounds = sealers
            .iter()
            .map(|sealer| sealer.round(Duration::ZERO, EVERYTHING));
        for round in futures_util::future::join_all(rounds).await {
            round.unwrap();
        }
        // Nobody had the lock for longer than it took: what one left, the next takes.
        world.seal(None).await;
    }
    let sealers: Vec<_> = (0..4).map(|_| world.sealer(ANCHOR)).collect();
    let rounds = sealers
        .iter()
        .map(|sealer| sealer.round(Duration::from_secs(60), EVERYTHING));
    for round in futures_util::future::join_all(rounds).await {
        round.unwrap();
    }
    assert_eq!(world.audit(ANCHOR), (0, Vec::new()));
    let (_, report) = world.audit_report(&["--all"], ANCHOR);
    assert_eq!(report["anchored"]["at"]["through"], report["checkpoints"]);
    assert_eq!(report["unsealed"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_checkpoint_is_made_before_its_time_or_of_nothing() {
    let world = World::new().await;
    let seal = async |every: u64| {
        let key = world.key();
        let sign = |last: Option<&_>, leaves: &[_], erasures| {
            let at = jiff::Timestamp::now();
            assay::checkpoint::Checkpoint::next(last, leaves, erasures, (&key, "default"), at)
        };
        world
            .journal
            .seal(Duration::from_secs(every), EVERYTHING, sign)
            .await
            .unwrap()
    };
    let made = |looked: Option<Looked>| looked.unwrap().made.map(|checkpoint| checkpoint.count);
    assert_eq!(made(seal(60).await), None);
    world.decide("a", Outcome::Verified).await;
    assert_eq!(made(seal(60).await), Some(1));
    world.decide("b", Outcome::Verified).await;
    assert_eq!(seal(60).await, None, "not due");
    assert_eq!(made(seal(0).await), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_over_more_than_is_written_at_a_time_holds_each_in_its_place() {
    let world = World::new().await;
    let jobs: Vec<_> = (0..1_100).map(|number| format!("j-{number}")).collect();
    let deciding = jobs.iter().map(|job| world.decide(job, Outcome::Verified));
    futures_util::future::join_all(deciding).await;
    world.seal(ANCHOR).await;
    assert_eq!(world.audit(ANCHOR), (0, Vec::new()));
    let (_, report) = world.audit_report(&["--all"], ANCHOR);
    assert_eq!(
        (&report["checkpoints"], &report["verifications"]),
        (&1.into(), &1_100.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_tells_before_where_all_is_settled() {
    let world = World::new().await;
    world.decide("first", Outcome::Verified).await;
    let sealer = world.sealer(None);
    let minute = Duration::from_secs(60);
    let settled = sealer.round(minute, EVERYTHING).await.unwrap().unwrap();
    assert!(settled > Place::at(Timestamp::now() - Duration::from_secs(130)));
    let open = world.decide("second", Outcome::Verified).await;
    assert!(
        sealer.round(minute, EVERYTHING).await.unwrap().is_none(),
        "not due"
    );
    // It began an hour ago, and has not ended yet.
    let long_ago = begun_at(Timestamp::now() - Duration::from_secs(3_600));
    world
        .tamper(&format!(
            "UPDATE assay.verification SET id = '{long_ago}', ended_at = NULL WHERE id = '{open}'"
        ))
        .await;
    let settled = sealer.round(Duration::ZERO, EVERYTHING).await.unwrap().unwrap();
    assert!(settled < Place::at(Timestamp::now() - Duration::from_secs(3_600)));
    world
        .tamper("UPDATE assay.verification SET ended_at = now() WHERE ended_at IS NULL")
        .await;
    let recent = LookFrom::BeforeLast(minute);
    for (from, sealed) in [(recent, 1), (LookFrom::Place(settled), 2)] {
        sealer.round(Duration::ZERO, from).await.unwrap();
        assert_eq!(world.sealed().await, sealed, "{from:?}");
    }
}

/// Its worker died before it had told anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_verification_that_was_taken_over_before_its_first_entry_is_sealed_at_the_start_of_its_chain() {
    let world = World::new().await;
    let of = world.decide("job", Outcome::Verified).await;
    world
        .tamper(&format!(
            "INSERT INTO assay.verification (id, job_id, attempt, cause, plan_name, plan_digest, submission, started_at,
                                             ended_at, outcome, entries, taken_over_by)
             SELECT '{}', job_id, attempt, cause, plan_name, plan_digest, submission, started_at, ended_at, 'taken-over', 0, id
             FROM assay.verification WHERE id = '{of}'",
            begun_at(Timestamp::now() - Duration::from_secs(60))
        ))
        .await;
    world.seal(ANCHOR).await;
    assert_eq!(world.sealed().await, 2);
    assert_eq!(world.audit(ANCHOR), (0, Vec::new()));
}

/// Such a pool was not watched for hours, or comes from a time before there were checkpoints.
#[tokio::test(flavor = "multi_thread")]
async fn more_than_one_look_goes_through_is_sealed_all_the_same() {
    let world = World::new().await;
    let of = world.decide("first", Outcome::Verified).await;
    world
        .tamper(&format!(
            "INSERT INTO assay.verification (id, job_id, attempt, cause, plan_name, plan_digest, submission, started_at,
                                             ended_at, outcome, entries, head)
             SELECT lpad(to_hex(number), 32, '0')::uuid, 'j-' || number, 0, cause, plan_name, plan_digest, submission,
                    started_at, ended_at, 'error', entries, head
             FROM assay.verification, generate_series(1, 41000) number WHERE id = '{of}'"
        ))
        .await;
    let sealer = world.sealer(None);
    sealer
        .round(Duration::ZERO, LookFrom::BeforeLast(Duration::ZERO))
        .await
        .unwrap();
    assert_eq!(
        world.sealed().await,
        41_001,
        "there was no checkpoint to begin at"
    );
    let tampered = world.tamper(
        "DELETE FROM assay.checkpoint_leaf WHERE verification_id < '00000000-0000-0000-0000-000000000100'",
    );
    tampered.await;
    sealer
        .round(Duration::ZERO, LookFrom::BeforeLast(Duration::ZERO))
        .await
        .unwrap();
    assert_eq!(world.sealed().await, 41_001 - 255);
    sealer.round(Duration::ZERO, EVERYTHING).await.unwrap();
    assert_eq!(world.sealed().await, 41_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_rounds_do_not_find_in_its_time_the_walk_does() {
    let world = World::new().await;
    let lost = world.decide("lost", Outcome::Retry).await;
    world.seal(None).await;
    // It appeared long after it began, beyond a part of the walk.
    let long_ago = begun_at(Timestamp::now() - Duration::from_secs(86_400));
    world
        .tamper(&format!(
            "DELETE FROM assay.checkpoint_leaf;
             UPDATE assay.verification SET id = '{long_ago}' WHERE id = '{lost}';
             INSERT INTO assay.verification (id, job_id, attempt, cause, plan_name, plan_digest, submission, started_at)
             SELECT lpad(to_hex(number), 32, '0')::uuid, 'j-' || number, 0, cause, plan_name, plan_digest, submission,
                    started_at
             FROM assay.verification, generate_series(1, 25000) number WHERE id = '{long_ago}'"
        ))
        .await;
    // Whichever worker it is.
    for (look, sealed) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
        world.sealer(None).look(&mut None).await.unwrap();
        assert_eq!(world.sealed().await, sealed, "look {look}");
        if look != 1 {
            world
                .tamper("UPDATE assay.seal_walk SET walked_at = '-infinity'")
                .await;
        }
    }
    let again: uuid::Uuid = sqlx::query_scalar("SELECT place FROM assay.seal_walk")
        .fetch_one(&world.journal.pool())
        .await
        .unwrap();
    assert!(again > Uuid::nil(), "after the end comes the beginning");
}
