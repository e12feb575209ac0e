//! The messages of the broker fit their schemas and round-trip.

use assay::message::{MessageError, OutcomeMessage, PlanChoice, SubmittedJob, Work};
use assay::schema::Subject;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::validator::Validator;

fn job() -> Value {
    json!({
        "id": "job_1", "status": "submitted", "prompt": "Write it.", "title": "T", "sender": "s",
        "attempt_count": 2, "output_text": "Here.", "env_vars": {"KEY": "sk-canary-123"},
        "created_at": "2026-11-24T09:00:00Z", "updated_at": "2026-11-24T09:00:00Z", "later_field": 1,
    })
}

fn parse(message: &Value) -> Result<SubmittedJob, MessageError> {
    SubmittedJob::parse(message.to_string().as_bytes())
}

#[test]
fn both_forms_of_a_submitted_job_round_trip_and_fit() {
    let validator = Validator::of(Subject::Message);
    let inline = json!({"graders": [{"name": "d", "kind": "diff"}]});
    for message in [
        json!({"v": 1, "job": job()}),
        json!({"v": 1, "job": job(), "plan": "csv-cleanup"}),
        json!({"v": 1, "job": job(), "plan": inline}),
        json!({"v": 1, "job_id": "job_1", "attempt": 2}),
        json!({"v": 1, "job_id": "job_1", "attempt": 2, "submission_sha256": "ab".repeat(32), "plan": null}),
    ] {
        assert!(validator.accepts(&message), "{message}");
        let read = parse(&message).unwrap();
        let written = read.to_json().unwrap();
        assert_eq!(SubmittedJob::parse(&written).unwrap(), read, "{message}");
        let written: Value = serde_json::from_slice(&written).unwrap();
        assert!(validator.accepts(&written), "{written}");
    }
    let thin = parse(&json!({"v": 1, "job_id": "job_1", "attempt": 2, "plan": "p"})).unwrap();
    assert!(matches!(thin.work, Work::Thin { attempt: 2, .. }));
    assert_eq!(thin.plan, Some(PlanChoice::Named("p".to_owned())));
}

#[test]
fn a_wrong_message_is_refused_and_does_not_fit() {
    let validator = Validator::of(Subject::Message);
    for wrong in [
        json!({"v": 2, "job": job()}),
        json!({"job": job()}),
        json!({"v": 1}),
        json!({"v": 1, "job": job(), "job_id": "job_1", "attempt": 2}),
        json!({"v": 1, "job_id": "job_1"}),
        json!({"v": 1, "job_id": "job_1", "attempt": -1}),
        json!({"v": 1, "job": job(), "plan": 5}),
        json!({"v": 1, "job": job(), "plann": "typo"}),
        json!({"v": 1, "job_id": "job_1", "attempt": 2, "submission_sha256": "ab"}),
        json!([]),
    ] {
        assert!(parse(&wrong).is_err(), "{wrong}");
        assert!(!validator.accepts(&wrong), "{wrong}");
    }
    let error = |message: &Value| parse(message).unwrap_err().to_string();
    insta::assert_snapshot!(error(&json!({"v": 2, "job": job()})), @"version 2 of the message is not 1, which this program reads");
    insta::assert_snapshot!(error(&json!({"v": 1})), @"the message needs either `job` or `job_id` with `attempt`");
    let mut wrong = job();
    wrong["env_vars"] = json!("KEY=sk-canary-123");
    let error = error(&json!({"v": 1, "job": wrong}));
    assert!(
        error.starts_with("job.env_vars: ") && !error.contains("canary"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn no_message_whatever_makes_the_reader_panic(bytes in any::<Vec<u8>>(), at in 0_usize..200, byte in any::<u8>()) {
        drop(SubmittedJob::parse(&bytes));
        let mut message = json!({"v": 1, "job": job(), "plan": {"graders": []}}).to_string().into_bytes();
        message[at] = byte;
        drop(SubmittedJob::parse(&message));
    }
}

#[test]
fn a_message_above_1_mib_is_refused_before_it_is_read() {
    let large = vec![b'['; 1024 * 1024 + 1];
    assert_eq!(
        SubmittedJob::parse(&large),
        Err(MessageError::TooLarge(1024 * 1024 + 1))
    );
}

#[test]
fn an_outcome_round_trips_and_fits() {
    let digest = "0f".repeat(32);
    let id = "0193a5c0-0000-7000-8000-000000000001";
    let message = json!({
        "v": 1, "outcome": "verified", "job_id": "job_1", "attempt": 2, "verification_id": id,
        "trigger": "submission", "score": 0.75, "threshold": 0.5,
        "graders": [{"name": "d", "kind": "diff", "verdict": "pass", "score": 0.75, "reason": "the same"}],
        "plan": {"name": "p", "digest": digest}, "decided_at": "2026-11-24T09:00:00Z",
        "receipt": {
            "kid": "k1", "deployment": "main", "purpose": "settle", "trigger": "submission",
            "verification_id": id, "job_id": "job_1", "attempt": 2, "outcome": "verified", "score": 0.75,
            "receiver": "u2", "price_cents": 1250, "plan": digest, "runtimes": {"python": digest},
            "submission": digest, "evidence": digest, "task": digest, "log_head": digest,
            "decided_at": "2026-11-24T09:00:00Z", "signature": "c2ln",
        },
    });
    let validator = Validator::of(Subject::Outcome);
    assert!(validator.accepts(&message));
    let read: OutcomeMessage = serde_json::from_value(message.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), message);
    for wrong in ["/receipt/purpose", "/score", "/graders/0/verdict", "/plan/digest"] {
        let mut message = message.clone();
        *message.pointer_mut(wrong).unwrap() = json!("wrong");
        assert!(!validator.accepts(&message), "{wrong}");
        assert!(
            serde_json::from_value::<OutcomeMessage>(message).is_err(),
            "{wrong}"
        );
    }
}
