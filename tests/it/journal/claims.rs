//! Claims: who may grade a submission.

use std::sync::Arc;
use std::time::Duration;

use assay::digest::Digest;
use assay::job::JobId;
use assay::journal::{
    ClaimAnswer, Claims, EndingState, GroupWriter, Held, Journal as _, SUSPECT_AFTER, Unplanned, verify_chain,
};
use assay::metrics::Metrics;

use super::{LEASE, claim, decided, end, journal, lease_ends, written};

fn first() -> ClaimAnswer {
    ClaimAnswer::Held(Held {
        starts: 1,
        ..Held::default()
    })
}

#[tokio::test]
async fn of_many_who_want_a_submission_at_once_one_gets_it() {
    let (_database, journal) = journal().await;
    let workers: Vec<_> = (0..3)
        .map(|number| Claims::start(journal.clone(), format!("w{number}"), LEASE))
        .collect();
    let wanting: Vec<_> = (0..30)
        .map(|number: usize| {
            let claims = workers[number % 3].clone();
            tokio::spawn(async move { claims.claim(claim("j", b"s")).await.unwrap() })
        })
        .collect();
    let mut held = 0;
    for wanted in wanting {
        match wanted.await.unwrap() {
            ClaimAnswer::Held(_) => held += 1,
            ClaimAnswer::Busy(left) => assert!(left <= LEASE),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(held, 1);
}

#[tokio::test]
async fn a_lease_that_has_ended_is_taken_over_and_the_old_row_says_by_whom() {
    let (_database, journal) = journal().await;
    let claims = Claims::start(journal.clone(), "w".into(), LEASE);
    let (old, new) = (claim("j", b"s"), claim("j", b"s"));
    assert_eq!(claims.claim(old.clone()).await.unwrap(), first());
    assert!(matches!(
        claims.claim(new.clone()).await.unwrap(),
        ClaimAnswer::Busy(_)
    ));
    lease_ends(&journal).await;
    let ClaimAnswer::Held(held) = claims.claim(new.clone()).await.unwrap() else {
        panic!("not taken over")
    };
    assert_eq!((held.starts, held.took_over), (2, Some(old.verification.id)));
    let rows = journal.verifications(&JobId::new("j")).await.unwrap();
    assert_eq!(rows.len(), 2);
    let taken = rows.iter().find(|row| row.id == old.verification.id).unwrap();
    assert_eq!(taken.outcome.as_deref(), Some("taken-over"));
    let by: uuid::Uuid = sqlx::query_scalar("SELECT taken_over_by FROM assay.verification WHERE id = $1")
        .bind(old.verification.id.uuid())
        .fetch_one(&journal.pool())
        .await
        .unwrap();
    assert_eq!(by, new.verification.id.uuid());
}

#[tokio::test]
async fn a_decided_submission_answers_with_its_stored_outcome() {
    let (_database, journal) = journal().await;
    let claims = Claims::start(journal.clone(), "w".into(), LEASE);
    let writer = GroupWriter::start(journal.clone(), LEASE, Metrics::new());
    let held = claim("j", b"s");
    claims.claim(held.clone()).await.unwrap();
    assert!(end(&writer, &held, decided()).await);
    let ClaimAnswer::Decided(stored) = claims.claim(claim("j", b"s")).await.unwrap() else {
        panic!("not decided")
    };
    assert_eq!(stored.verification_id, held.verification.id);
    assert_eq!(stored.message, b"{\"outcome\":\"verified\"}");
    let other = claims.claim(claim("j", b"other")).await.unwrap();
    assert_eq!(
        other,
        ClaimAnswer::SubmissionChanged,
        "other content of the same attempt"
    );
    let unplanned = Unplanned {
        job_id: JobId::new("j"),
        attempt: 0,
        submission: Digest::of(b"s"),
        plan_choice: Digest::of(b"gone"),
        message: Arc::default(),
        traceparent: None,
        has_judge: false,
    };
    let answer = journal
        .claim_unplanned(&unplanned, ("plan-unknown", ""), |_| None)
        .await
        .unwrap();
    assert!(
        matches!(answer, Some(ClaimAnswer::Decided(_))),
        "even if its plan is gone: {answer:?}"
    );
}

#[tokio::test]
async fn what_waits_is_busy_until_it_is_due_and_its_tries_are_counted() {
    let (_database, journal) = journal().await;
    let claims = Claims::start(journal.clone(), "w".into(), LEASE);
    let writer = GroupWriter::start(journal.clone(), LEASE, Metrics::new());
    for tries in 0..3 {
        let held = claim("j", b"s");
        let ClaimAnswer::Held(told) = claims.claim(held.clone()).await.unwrap() else {
            panic!("not held")
        };
        assert_eq!((told.tries, told.starts), (tries, 1));
        assert_eq!(
            told.not_found.map(|missing| (missing.file, missing.times)),
            (tries > 0).then_some((Digest::of(b"url"), tries))
        );
        let waits = EndingState::Waits {
            after: Duration::from_secs(60),
            counts: true,
            not_found: Some(Digest::of(b"url")),
            for_judge: false,
        };
        assert!(end(&writer, &held, waits).await);
        let busy = claims.claim(claim("j", b"s")).await.unwrap();
        assert!(
            matches!(busy, ClaimAnswer::Busy(left) if left > Duration::from_secs(50)),
            "{busy:?}"
        );
        assert_eq!(journal.overdue(Duration::ZERO, false, 9).await.unwrap(), []);
        lease_ends(&journal).await;
        assert_eq!(journal.overdue(Duration::ZERO, false, 9).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn what_never_ends_runs_alone_after_three_runs_and_parks_after_the_fourth() {
    let (_database, journal) = journal().await;
    let claims = Claims::start(journal.clone(), "w".into(), LEASE);
    for starts in 1..=SUSPECT_AFTER {
        let answer = claims.claim(claim("killer", b"s")).await.unwrap();
        assert!(
            matches!(&answer, ClaimAnswer::Held(held) if held.starts == starts),
            "{answer:?}"
        );
        lease_ends(&journal).await;
    }
    // Whoever dies while it waits to be alone is not blamed for it, however often.
    for is_alone in [false, false, true] {
        let suspect = claim("killer", b"s");
        let answer = claims.claim(suspect.clone()).await.unwrap();
        assert!(
            matches!(&answer, ClaimAnswer::Held(held) if held.starts == SUSPECT_AFTER + 1),
            "{answer:?}"
        );
        if is_alone {
            assert!(journal.begins_alone(&written(&suspect)).await.unwrap());
            assert!(
                !journal
                    .begins_alone(&written(&claim("killer", b"s")))
                    .await
                    .unwrap(),
                "only whoever holds it begins"
            );
        }
        lease_ends(&journal).await;
    }
    let answer = claims.claim(claim("killer", b"s")).await.unwrap();
    assert_eq!(answer, ClaimAnswer::KillsWorkers);
    let killer = JobId::new("killer");
    journal
        .park_claimed((&killer, 0), "kills-worker", "four runs never ended")
        .await
        .unwrap();
    assert_eq!(
        claims.claim(claim("killer", b"s")).await.unwrap(),
        ClaimAnswer::Ended
    );
    for run in journal.verifications(&killer).await.unwrap() {
        assert_eq!(verify_chain(&run, &[]), Ok(()), "nobody changed its log");
        assert_eq!(run.outcome.as_deref(), Some("taken-over"));
    }
    let parked = journal.parked(false, 9).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert!(
        journal
            .close_parked(parked[0].id, true, ("me", "mended"))
            .await
            .unwrap()
    );
    let again = claims.claim(claim("killer", b"s")).await.unwrap();
    assert_eq!(
        again,
        ClaimAnswer::Held(Held {
            starts: 1,
            received_ago: received(&again),
            kept: Some(Arc::new(b"{}".to_vec())),
            ..Held::default()
        })
    );
    assert!(
        !journal
            .close_parked(parked[0].id, true, ("me", "again"))
            .await
            .unwrap(),
        "ended once"
    );
}

fn received(answer: &ClaimAnswer) -> Duration {
    match answer {
        ClaimAnswer::Held(held) => held.received_ago,
        _ => Duration::ZERO,
    }
}

#[tokio::test]
async fn a_claim_that_breaks_the_batch_does_not_take_its_neighbours_along() {
    let (_database, journal) = journal().await;
    let claims = Claims::start(journal, "w".into(), LEASE);
    let wanting: Vec<_> = (0..40)
        .map(|number| {
            let claims = claims.clone();
            // PostgreSQL refuses NUL in a text.
            let job = if number == 20 {
                "nul\0".to_owned()
            } else {
                format!("j{number}")
            };
            tokio::spawn(async move { (number, claims.claim(claim(&job, b"s")).await) })
        })
        .collect();
    for wanted in wanting {
        let (number, answer) = wanted.await.unwrap();
        if number == 20 {
            assert!(answer.is_err());
        } else {
            assert_eq!(answer.unwrap(), first(), "{number}");
        }
    }
}
