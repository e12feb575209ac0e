//! Collecting attachments, over a real connection where one is needed: who is to blame for what.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use assay::evidence::{GoneForGood, Limits, Network, Sources, collect};
use assay::submission::{Fault, FileRole, Submission};
use assay::verdict::{ErrorKind, GradeError};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Answers each connection with what stands for its path, until the test ends.
async fn host(answer: fn(&str) -> String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let count = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..count]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            let _ = stream.write_all(answer(&path).as_bytes()).await;
        }
    });
    format!("http://{address}")
}

fn answer(path: &str) -> String {
    let body = |status: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/csv\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let to = |place: &str| {
        format!("HTTP/1.1 302 Found\r\nlocation: {place}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    };
    match path {
        "/a.csv" => body("200 OK", "x,y\n"),
        "/moved" => to("/a.csv"),
        "/round" => to("/round"),
        "/inward" => to("file:///etc/passwd"),
        "/long" => body("200 OK", &"x".repeat(2000)),
        "/endless" => format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(2000)),
        "/cut" => "HTTP/1.1 200 OK\r\ncontent-length: 900\r\nconnection: close\r\n\r\nonly this".to_owned(),
        "/gone" => body("410 Gone", ""),
        "/forbidden" => body("403 Forbidden", ""),
        "/broken" => body("503 Service Unavailable", ""),
        _ => body("404 Not Found", ""),
    }
}

async fn collected(fields: Value, network: Option<Network>) -> Result<Submission, GradeError> {
    let mut job = json!({
        "id": "j", "status": "submitted", "prompt": "p", "title": "t", "sender": "s",
        "created_at": "2026-11-24T09:00:00Z", "updated_at": "2026-11-24T09:00:00Z",
    });
    job.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    let limits = Limits {
        text_bytes: 50,
        files: 3,
        file_bytes: 1000,
        total_bytes: 1500,
    };
    let submission = Submission::of(&serde_json::from_value(job).unwrap());
    collect(
        submission,
        Sources {
            limits,
            network,
            fixture: None,
        },
    )
    .await
}

const TEST_NETWORK: Option<Network> = Some(Network {
    allow_private: true,
    allow_http: true,
    gone_for_good: GoneForGood::Nothing,
});

async fn fetched(path: &str) -> Result<Submission, GradeError> {
    let host = host(answer).await;
    collected(
        json!({"output_attachments": [format!("{host}{path}")]}),
        TEST_NETWORK,
    )
    .await
}

#[tokio::test]
async fn a_fetched_file_is_measured_read_only_and_follows_redirects() {
    for path in ["/a.csv", "/moved"] {
        let submission = fetched(path).await.unwrap();
        assert_eq!(submission.faults, []);
        let file = &submission.files[0];
        assert_eq!((file.size, file.content_type.as_deref()), (4, Some("text/csv")));
        assert_eq!(file.sha256, assay::digest::Digest::of(b"x,y\n"));
        assert_eq!(std::fs::read(&file.path).unwrap(), b"x,y\n");
        assert!(std::fs::metadata(&file.path).unwrap().permissions().readonly());
    }
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_our_trouble_and_passes() {
    for path in ["/broken", "/forbidden", "/cut"] {
        assert_eq!(
            fetched(path).await.unwrap_err().kind,
            ErrorKind::AttachmentUnreachable,
            "{path}"
        );
    }
    for path in ["/gone", "/none"] {
        assert_eq!(
            fetched(path).await.unwrap_err().kind,
            ErrorKind::AttachmentNotFoundYet,
            "{path}"
        );
    }
    let gone_for_good = Some(Network {
        gone_for_good: GoneForGood::Everything,
        ..TEST_NETWORK.unwrap()
    });
    for (path, status) in [("/gone", 410), ("/none", 404)] {
        let url = format!("{}{path}", host(answer).await);
        let submission = collected(json!({"output_attachments": [url]}), gone_for_good)
            .await
            .unwrap();
        assert!(
            matches!(submission.faults[..], [Fault::AttachmentGone { status: told, .. }] if told == status),
            "{path}: after three tries over 15 minutes it is the submitter's"
        );
    }
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = unused.local_addr().unwrap();
    drop(unused);
    let error = collected(
        json!({"output_attachments": [format!("http://{address}/x?sig=secret")]}),
        TEST_NETWORK,
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind, ErrorKind::AttachmentUnreachable);
    assert!(!error.message.contains("sig=secret"), "{error}");
}

#[tokio::test]
async fn a_url_that_nobody_may_use_is_the_submitters_fault() {
    for path in ["/round", "/inward"] {
        let submission = fetched(path).await.unwrap();
        assert!(
            matches!(submission.faults[..], [Fault::AttachmentRefused { .. }]),
            "{path}: {:?}",
            submission.faults
        );
    }
    // The same host without leave for private addresses, and without a network at all.
    let url = format!("{}/a.csv", host(answer).await);
    for network in [
        Some(Network {
            allow_private: false,
            allow_http: true,
            gone_for_good: GoneForGood::Nothing,
        }),
        None,
    ] {
        let submission = collected(json!({"output_attachments": [url]}), network)
            .await
            .unwrap();
        assert!(
            matches!(submission.faults[..], [Fault::AttachmentRefused { .. }]),
            "{:?}",
            submission.faults
        );
    }
}

#[tokio::test]
async fn what_is_over_a_limit_is_the_submitters_fault() {
    for path in ["/long", "/endless"] {
        let submission = fetched(path).await.unwrap();
        assert!(
            matches!(
                submission.faults[..],
                [Fault::AttachmentTooLarge { limit: 1000, .. }]
            ),
            "{path}"
        );
    }
    let data = |bytes: usize| json!({"name": "d", "url": format!("data:,{}", "x".repeat(bytes))});
    let faults = async |fields: Value| collected(fields, None).await.unwrap().faults;
    let many = json!({"output_attachments": [data(1), data(1), data(1), data(1)]});
    assert_eq!(
        faults(many).await,
        [Fault::TooManyAttachments { count: 4, limit: 3 }]
    );
    let together = json!({"output_attachments": [data(900), data(900)]});
    assert_eq!(
        faults(together).await,
        [Fault::AttachmentsTooLarge { limit: 1500 }]
    );
    let one = json!({"output_attachments": [data(1001)]});
    assert_eq!(
        faults(one).await,
        [Fault::AttachmentTooLarge {
            name: "d".into(),
            limit: 1000
        }]
    );
    let text = json!({"output_text": "x".repeat(51)});
    assert_eq!(faults(text).await, [Fault::TextTooLarge { size: 51, limit: 50 }]);
}

#[tokio::test]
async fn bytes_other_than_stated_are_the_submitters_fault() {
    let stated = assay::digest::Digest::of(b"other").to_string();
    let attachment = json!({"name": "a", "data": "aGk=", "sha256": stated});
    let faults = collected(json!({"output_attachments": [attachment]}), None)
        .await
        .unwrap()
        .faults;
    let actual = assay::digest::Digest::of(b"hi");
    assert_eq!(
        faults,
        [Fault::Sha256Mismatch {
            name: "a".into(),
            stated,
            actual
        }]
    );
    let right = json!({"name": "a", "data": "aGk=", "sha256": actual.to_string().to_uppercase()});
    assert_eq!(
        collected(json!({"output_attachments": [right]}), None)
            .await
            .unwrap()
            .faults,
        []
    );
}

#[tokio::test]
async fn what_is_wrong_with_the_senders_files_never_blames_the_submitter() {
    let broken = json!({"name": "a", "data": "!"});
    let error = collected(json!({"output_text": "x", "attachments": [broken]}), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::InputRefused);
}

#[tokio::test]
async fn files_of_one_name_are_told_apart() {
    let file = |data: &str| json!({"name": "dir/a.txt", "data": data});
    let submission = collected(json!({"output_attachments": [file("aGk="), file("aG8=")]}), None)
        .await
        .unwrap();
    let names: Vec<_> = submission.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["a.txt", "a.txt (2)"]);
    assert!(
        submission.file(FileRole::Output, "a.txt").is_some()
            && submission.file(FileRole::Input, "a.txt").is_none()
    );
}
