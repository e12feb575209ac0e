//! `deploy/roles.sql`: what each role may do, and what it is refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use assay::digest::Digest;
use assay::entry::{Audience, Entry, EntryType, VerificationId};
use assay::job::{Job, JobId};
use assay::journal::postgres::{Duty, PgJournal};
use assay::journal::{
    Cause, Chain, Change, Checked, ClaimAnswer, Claims, Effect, Ending, EndingState, GroupWriter, HoldReason,
    Journal as _, Market, Movement, NewClaim, NewException, NewParked, NewVerification, Settled, Transition,
    Unplanned, Written,
};
use assay::message::OutcomeMessage;
use assay::metrics::Metrics;
use assay::outcome::Outcome;
use assay::plan::PlanRef;
use jiff::Timestamp;
use serde_json::json;
use sqlx::Executor as _;
use tokio_util::sync::CancellationToken;

use crate::servers::{self, TestDatabase};

pub(crate) const ROLES: &str = include_str!("../../deploy/roles.sql");
const LEASE: Duration = Duration::from_secs(30);

/// A database as `assay setup` and `deploy/roles.sql` leave it.
struct Deployment {
    database: TestDatabase,
    owner: PgJournal,
}

impl Deployment {
    async fn new() -> Self {
        let database = servers::database().await;
        let owner = PgJournal::connect(&database.url, 2).await.unwrap();
        owner.set_up().await.unwrap();
        owner.set_up_demo_marketplace().await.unwrap();
        owner.pool().execute(ROLES).await.unwrap();
        Self { database, owner }
    }

    /// A login of its own, a member of the role.
    async fn login(&self, role: &str) -> PgJournal {
        PgJournal::connect(&self.database.login(role).await, 2)
            .await
            .unwrap()
    }
}

/// How the database refuses the statement: its code and message.
async fn refusal(journal: &PgJournal, statement: &'static str) -> (String, String) {
    let error = journal.pool().execute(statement).await.unwrap_err();
    let error = error.as_database_error().unwrap();
    (error.code().unwrap().into_owned(), error.message().to_owned())
}

fn verification(job: &str) -> NewVerification {
    NewVerification {
        id: VerificationId::new(),
        job_id: JobId::new(job),
        attempt: 0,
        cause: Cause::Submission,
        plan: PlanRef {
            name: "p".to_owned(),
            digest: Digest::of(b"plan"),
        },
        submission: Digest::of(b"submission"),
        started_at: Timestamp::now().round(jiff::Unit::Microsecond).unwrap(),
    }
}

fn entry() -> Entry {
    Entry {
        kind: EntryType::Info,
        audience: Audience::Public,
        content: "begun".to_owned(),
        created_at: Timestamp::from_second(1).unwrap(),
    }
}

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
        assert!(writer.end(ending, links).await.unwrap());
    }
    worker.overdue(Duration::ZERO, false, 10).await.unwrap();
    let lease_ends = "UPDATE assay.claim SET due_at = now() - interval '1 second' WHERE state = 'decided'";
    deployment.owner.pool().execute(lease_ends).await.unwrap();
    let unconfirmed = worker.unconfirmed(Duration::ZERO, 10).await.unwrap();
    let [stored] = unconfirmed.as_slice() else {
        panic!("{unconfirmed:?}")
    };
    let of = (stored.job_id.clone(), stored.attempt, stored.verification_id);
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
