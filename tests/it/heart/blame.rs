//! Errors are nobody's verdict, faults of the submitter nobody else's.

use assay::entry::EntryType;
use assay::outcome::{GraderEnd, Outcome};
use assay::submission::Fault;
use assay::verdict::ErrorKind;
use tokio::time::Instant;

use super::{
    Act, context, ends, fail, gate, judge, kind, outcome, part, pass, submission, verify, verify_in,
};

/// Promise 3: a grade error never becomes `retry`, whatever its kind and whatever the others say.
#[tokio::test]
async fn an_error_of_any_kind_makes_the_whole_an_error() {
    for error in ErrorKind::ALL {
        for others in [pass(), fail()] {
            let (verification, entries) = verify(0.1, &[gate(others), part(Act::Err(*error))]).await;
            assert_eq!(kind(&verification), *error);
            let told = entries
                .iter()
                .any(|entry| entry.kind == EntryType::Result && entry.content.contains("\"retry\""));
            assert!(!told, "{error}");
        }
    }
}

#[tokio::test]
async fn an_error_before_the_judges_spares_their_price() {
    let (verification, _) = verify(0.5, &[part(Act::Err(ErrorKind::SandboxDied)), judge(Act::Panic)]).await;
    assert_eq!(kind(&verification), ErrorKind::SandboxDied);
    assert_eq!(ends(&verification), [GraderEnd::Error, GraderEnd::Skipped]);
}

#[tokio::test]
async fn of_two_errors_the_one_that_stays_decides() {
    let transient = || part(Act::Err(ErrorKind::ModelUnavailable));
    let permanent = || part(Act::Err(ErrorKind::ScriptTrapped));
    let (verification, _) = verify(0.5, &[transient(), permanent()]).await;
    assert_eq!(kind(&verification), ErrorKind::ScriptTrapped);
    let (verification, _) = verify(0.5, &[permanent(), transient()]).await;
    assert_eq!(kind(&verification), ErrorKind::ScriptTrapped);
}

#[tokio::test]
async fn a_panic_in_a_grader_is_a_grade_error_and_its_neighbours_go_on() {
    let (verification, entries) = verify(0.5, &[part(Act::Panic), part(pass())]).await;
    assert_eq!(kind(&verification), ErrorKind::GraderPanicked);
    assert_eq!(ends(&verification), [GraderEnd::Error, GraderEnd::Pass]);
    assert!(
        entries.iter().all(|entry| !entry.content.contains('\u{1b}')),
        "control characters are escaped"
    );
}

#[tokio::test]
async fn a_grader_past_the_deadline_is_a_transient_error() {
    let (mut context, reader) = context();
    context.deadline = Instant::now();
    let (verification, _) = verify_in(
        context,
        reader,
        &submission("text"),
        0.5,
        &[part(Act::Never), part(pass())],
    )
    .await;
    assert_eq!(kind(&verification), ErrorKind::DeadlineExceeded);
}

#[tokio::test]
async fn a_verification_that_is_called_off_is_a_transient_error() {
    let (context, reader) = context();
    context.cancel.cancel();
    let (verification, _) = verify_in(context, reader, &submission("text"), 0.5, &[part(Act::Never)]).await;
    assert_eq!(kind(&verification), ErrorKind::Cancelled);
}

/// The submitter's rows of the blame table: each is a fail with its reason, and nobody is asked.
#[tokio::test]
async fn a_fault_of_the_submitter_fails_with_its_reason_and_asks_nobody() {
    let digest = submission("x").digest;
    let faults = [
        Fault::TooManyAttachments { count: 40, limit: 32 },
        Fault::AttachmentTooLarge {
            name: "a".into(),
            limit: 5,
        },
        Fault::AttachmentsTooLarge { limit: 5 },
        Fault::TextTooLarge { size: 9, limit: 5 },
        Fault::Sha256Mismatch {
            name: "a".into(),
            stated: "b".into(),
            actual: digest,
        },
        Fault::AttachmentUndecodable {
            name: "a".into(),
            reason: "r".into(),
        },
        Fault::AttachmentRefused {
            name: "a".into(),
            reason: "r".into(),
        },
        Fault::AttachmentGone {
            name: "a".into(),
            status: 404,
        },
    ];
    for fault in faults {
        let (context, reader) = context();
        let mut submission = submission("text");
        submission.faults.push(fault.clone());
        let (verification, _) = verify_in(context, reader, &submission, 0.5, &[part(Act::Panic)]).await;
        assert_eq!(outcome(&verification), Outcome::Retry, "{fault}");
        assert_eq!(verification.graders[0].reason, fault.to_string());
        assert_eq!(ends(&verification), [GraderEnd::Fail, GraderEnd::Skipped]);
    }
}

#[tokio::test]
async fn an_empty_hand_in_fails_and_asks_nobody() {
    for empty in [
        "",
        " \n\t",
        "\u{a0}",
        "\u{200b}",
        "\u{feff}\n\u{2060}",
        "\0\u{3164}",
    ] {
        let (context, reader) = context();
        let (verification, _) =
            verify_in(context, reader, &submission(empty), 0.5, &[part(Act::Panic)]).await;
        assert_eq!(outcome(&verification), Outcome::Retry);
        assert_eq!(verification.graders[0].reason, Fault::OutputEmpty.to_string());
    }
}
