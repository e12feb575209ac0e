//! What the roles may do: all that their commands do.

use std::sync::Arc;
use std::time::Duration;

use assay::digest::Digest;
use assay::entry::VerificationId;
use assay::job::{Job, JobId};
use assay::journal::{
    Chain, Change, Checked, ClaimAnswer, Claims, Effect, Ending, EndingState, GroupWriter, HoldReason,
    Market, Movement, NewClaim, NewException, NewParked, Settled, Transition, Unplanned, Written,
};
use assay::message::OutcomeMessage;
use assay::metrics::Metrics;
use assay::outcome::Outcome;
use jiff::Timestamp;
use serde_json::json;
use sqlx::Executor as _;
use tokio_util::sync::CancellationToken;

use super::{Deployment, LEASE, entry, verification};

/// Everything that a worker writes, by the statements that it writes it with.
#[tokio::test]
async fn the_workers_role_may_do_all_that_a_worker_does() {
    let deployment = Deployment::new().await;
    let worker = deployment.login("assay_worker").await;
    worker.check_set_up().await.unwrap();
    let claims = Claims::start(worker.clone(), "w".to_owned(), LEASE);
    let writer = GroupWriter::start(worker.clone(), LEASE, Metrics::new());
    let states = [
        EndingState::Decided {
            outcome: Outcome::Verified,
            message: b"{}".to_vec(),
            traceparent: None,
        },
        EndingState::Waits {
            after: Duration::ZERO,
            counts: true,
            not_found: Some(assay::digest::Digest::of(b"url")),
            for_judge: true,
        },
        EndingState::Parked {
            reason: "plan-invalid",
            detail: "broken".to_owned(),
        },
        EndingState::Closed,
    ];
    for (number, state) in states.into_iter().enumerate() {
        let verification = verification(&format!("job-{number}"));
        let of = Written {
            id: verification.id,
            job_id: verification.job_id.clone(),
            attempt: 0,
        };
        let mut chain = Chain::new(verification.chain_start());
        let claimed = claims
            .claim(NewClaim {
                verification,
                plan_choice: Digest::of(b"choice"),
                message: Arc::new(b"{}".to_vec()),
                traceparent: None,
                has_judge: false,
            })
            .await
            .unwrap();
        assert!(matches!(claimed, ClaimAnswer::Held(_)), "{claimed:?}");
        assert_eq!(writer.lengthen(vec![of.id]).await.unwrap().len(), 1);
        let links = vec![chain.push(entry())];
        writer
            .entries(of.clone(), links, CancellationToken::new())
            .await
            .unwrap();
        let links = vec![chain.push(entry())];
        let ending = Ending {
            of,
            state,
            outcome: "verified",
            error: None,
            chain,
            at: Timestamp::now(),
        };
        assert!(writer.end(ending, links).await.unwrap().is_committed());
    }
    worker.overdue(Duration::ZERO, false, 10).await.unwrap();
    let due = "UPDATE assay.outbox SET due_at = now() - interval '1 second'";
    deployment.owner.pool().execute(due).await.unwrap();
    let unconfirmed = worker.unconfirmed(Duration::ZERO, 10).await.unwrap();
    let [stored] = unconfirmed.as_slice() else {
        panic!("{unconfirmed:?}")
    };
    let of = (stored.outbox.unwrap(), stored.verification_id);
    worker.confirmed(&[of]).await.unwrap();
    let waits = JobId::new("job-1");
    worker
        .park_claimed((&waits, 0), "kills-worker", "d")
        .await
        .unwrap();
    let unplanned = Unplanned {
        job_id: JobId::new("job-unplanned"),
        attempt: 0,
        submission: Digest::of(b"submission"),
        plan_choice: Digest::of(b"choice"),
        message: Arc::new(b"{}".to_vec()),
        traceparent: None,
        has_judge: false,
    };
    worker
        .claim_unplanned(&unplanned, ("plan-unknown", "d"), |_| None)
        .await
        .unwrap();
    let parked = NewParked {
        about: None,
        reason: "undecodable",
        detail: "no JSON".to_owned(),
        message: b"?".to_vec(),
        digest: Digest::of(b"?"),
    };
    worker.park(&parked).await.unwrap();
    assert_eq!(worker.parked_open().await.unwrap().0, 4);
    for row in worker.parked_unnoticed(10).await.unwrap() {
        worker.parked_noticed(row.id).await.unwrap();
    }
    worker.unclaimed_jobs(Duration::ZERO, 10).await.unwrap();
    worker.close_found().await.unwrap();
    let market = worker.market().await.unwrap();
    assert_eq!(market.load_job(&waits).await.unwrap(), None);
}

/// Everything that settlement writes, by the statements that it writes it with.
#[tokio::test]
async fn settlements_role_may_do_all_that_settlement_does() {
    let deployment = Deployment::new().await;
    let job: Job = serde_json::from_value(json!({
        "id": "job-1", "status": "submitted", "prompt": "p", "title": "t", "sender": "u1", "receiver": "u2",
        "price_cents": 100, "attempt_count": 0,
        "created_at": "2026-11-24T09:00:00Z", "updated_at": "2026-11-24T09:00:00Z",
    }))
    .unwrap();
    let owner = deployment.owner.market().await.unwrap();
    owner.insert_demo(&[job], 0).await.unwrap();

    let settlement = deployment.login("assay_settlement").await;
    settlement.check_set_up().await.unwrap();
    let market = settlement.market().await.unwrap();
    let settle = async |transition: Transition| {
        let message = outcome_message();
        let body = serde_json::to_vec(&message).unwrap();
        let checked = Checked {
            message: &message,
            body: &body,
            platform_user: Some("u1"),
            rated: true,
        };
        market
            .settle(checked, None, |_| transition.clone())
            .await
            .unwrap()
    };
    let hold = |reason| Transition::Hold {
        reason,
        price_cents: 100,
    };
    assert_eq!(
        settle(hold(HoldReason::Paused)).await,
        Settled::Held(HoldReason::Paused)
    );
    assert_eq!(
        settle(hold(HoldReason::Price)).await,
        Settled::Held(HoldReason::Price)
    );
    let exception = NewException {
        reason: "job-moved-on",
        detail: "d".to_owned(),
    };
    let excepted = settle(Transition::Except(exception.clone())).await;
    assert_eq!(excepted, Settled::Exception("job-moved-on"));
    let paid = Change {
        effect: Effect::Paid,
        movements: vec![Movement {
            user: "u2".to_owned(),
            delta: 100,
            reason: "payout:job-1".to_owned(),
        }],
        user: Some("u2".to_owned()),
        amount_cents: 100,
        fee_user: None,
        fee_cents: 0,
    };
    let applied = settle(Transition::Apply(paid.clone())).await;
    assert_eq!(applied, Settled::Applied(Effect::Paid));
    let requeued = Change {
        effect: Effect::Requeued,
        movements: Vec::new(),
        ..paid
    };
    let again = settle(Transition::Apply(requeued)).await;
    assert_eq!(again, Settled::Applied(Effect::Requeued));
    note_forged(&market, &exception).await;
}

async fn note_forged(market: &Market, exception: &NewException) {
    let about = (None, None);
    market
        .note_exception(about, exception, b"forged", None)
        .await
        .unwrap();
}

/// A decision under a new id.
fn outcome_message() -> OutcomeMessage {
    let digest = "0f".repeat(32);
    let id = VerificationId::new();
    serde_json::from_value(json!({
        "v": 1, "outcome": "verified", "job_id": "job-1", "attempt": 0, "verification_id": id,
        "trigger": "submission", "score": 1.0, "threshold": 0.5, "graders": [],
        "plan": {"name": "p", "digest": digest}, "decided_at": "2026-11-24T09:00:00Z",
        "receipt": {
            "kid": "k1", "deployment": "main", "purpose": "settle", "trigger": "submission",
            "verification_id": id, "job_id": "job-1", "attempt": 0, "outcome": "verified", "score": 1.0,
            "receiver": "u2", "price_cents": 100, "plan": digest, "runtimes": {},
            "submission": digest, "evidence": digest, "task": digest, "log_head": digest,
            "decided_at": "2026-11-24T09:00:00Z", "signature": "c2ln",
        },
    }))
    .unwrap()
}
