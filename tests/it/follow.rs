//! `assay log --follow` at a desk.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use assay::digest::Digest;
use assay::entry::{Audience, Entry, EntryType, VerificationId};
use assay::job::JobId;
use assay::journal::{Cause, Journal as _, NewVerification, SqliteJournal};
use assay::plan::PlanRef;
use assay::verdict::{ErrorKind, GradeError};
use jiff::Timestamp;

use crate::workbench::Workbench;

fn entry(kind: EntryType, content: &str) -> Entry {
    Entry {
        kind,
        content: content.to_owned(),
        audience: Audience::Public,
        created_at: Timestamp::UNIX_EPOCH,
    }
}

#[tokio::test]
async fn a_run_at_the_desk_is_followed_until_it_ends() {
    let bench = Workbench::new();
    let journal = SqliteJournal::open(&bench.path("journal.sqlite")).await.unwrap();
    let verification = NewVerification {
        id: VerificationId::new(),
        job_id: JobId::new("j"),
        attempt: 0,
        cause: Cause::Desk,
        plan: PlanRef {
            name: "p".into(),
            digest: Digest::of(b"plan"),
        },
        submission: Digest::of(b"submission"),
        started_at: Timestamp::UNIX_EPOCH,
    };
    journal.begin(&verification).await.unwrap();
    let first = vec![entry(EntryType::Info, "it begins")];
    journal.append(verification.id, first).await.unwrap();

    let mut command = bench.command(&["log", "j", "--follow", "--journal", "journal.sqlite"]);
    let mut following = command
        // The file that was named is read, whatever pool there is.
        .env("ASSAY_DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(following.stdout.take().unwrap());
    let mut told = String::new();
    while !told.contains("it begins") {
        assert!(out.read_line(&mut told).unwrap() > 0, "{told}");
    }

    let last = vec![
        entry(EntryType::Info, "it goes on"),
        entry(EntryType::Result, r#"{"outcome":"error"}"#),
    ];
    journal.append(verification.id, last).await.unwrap();
    let error = GradeError::new(ErrorKind::Journal, "the end");
    journal
        .conclude(verification.id, &Err(error), Timestamp::UNIX_EPOCH)
        .await
        .unwrap();
    out.read_to_string(&mut told).unwrap();
    assert!(following.wait().unwrap().success());
    let lines: Vec<_> = told.lines().skip(1).map(str::trim_start).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    00:00:00.000 info      it begins
    00:00:00.000 info      it goes on
    00:00:00.000 result    {"outcome":"error"}
    error; hash chain holds
    "#);
}

#[test]
fn without_a_journal_it_is_said_where_one_would_come_from() {
    let bench = Workbench::new();
    let mut command = bench.command(&["log", "j"]);
    let output = command.env_remove("ASSAY_DATABASE_URL").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(String::from_utf8(output.stderr).unwrap(), @"assay: there is no journal .assay/journal.sqlite yet: `assay run` writes one, and ASSAY_DATABASE_URL, with which the pool's is read, is not set");
}
