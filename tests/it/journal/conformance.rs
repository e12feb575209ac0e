//! What every driver of the journal keeps.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use assay::digest::Digest;
use assay::entry::{Audience, Entry, EntryType, VerificationId};
use assay::job::JobId;
use assay::journal::{
    Cause, ChainError, Journal, JournalError, NewVerification, PgJournal, SqliteJournal, VerificationRow,
    verify_chain,
};
use assay::model_call::{CallFinish, ModelCall, NoRoom, Reservation, Spent, TokenUsage};
use assay::outcome::{Decision, Outcome};
use assay::plan::PlanRef;
use assay::verdict::{ErrorKind, GradeError, Score};
use jiff::Timestamp;

fn new(job: &str, second: i64) -> NewVerification {
    NewVerification {
        id: VerificationId::new(),
        job_id: JobId::new(job),
        attempt: 2,
        cause: Cause::Desk,
        plan: PlanRef {
            name: "p".into(),
            digest: Digest::of(b"plan"),
        },
        submission: Digest::of(b"submission"),
        started_at: Timestamp::from_second(second).unwrap(),
    }
}

fn entry(content: &str) -> Entry {
    Entry {
        kind: EntryType::Reasoning,
        content: content.into(),
        audience: Audience::Operator,
        created_at: Timestamp::from_microsecond(1_700_000_000_123_456).unwrap(),
    }
}

fn decision() -> Result<Decision, GradeError> {
    Ok(Decision {
        outcome: Outcome::Verified,
        score: Score::ONE,
        threshold: 0.5,
        plan: PlanRef {
            name: "p".into(),
            digest: Digest::of(b"plan"),
        },
        submission: Digest::of(b"submission"),
        evidence: Digest::of(b"evidence"),
    })
}

/// The suite: each driver's test calls it with an empty journal.
async fn conforms(journal: &dyn Journal) {
    entries_come_back_as_they_were_written(journal).await;
    a_verification_ends_once(journal).await;
    an_ended_or_unknown_verification_takes_no_entries(journal).await;
    verifications_of_a_job_come_oldest_first(journal).await;
    calls_of_models_are_kept_and_found_again(journal).await;
    calls_under_way_count_against_the_ceilings(journal).await;
}

async fn entries_come_back_as_they_were_written(journal: &dyn Journal) {
    let verification = new("written", 1);
    journal.begin(&verification).await.unwrap();
    let written = [entry("one"), entry("zwei\n\tü"), entry("")];
    journal
        .append(verification.id, written[..2].to_vec())
        .await
        .unwrap();
    journal
        .append(verification.id, written[2..].to_vec())
        .await
        .unwrap();
    let read = journal.entries(verification.id).await.unwrap();
    assert_eq!(journal.entries_from(verification.id, 1).await.unwrap(), read[1..]);
    let seqs: Vec<_> = read.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, [0, 1, 2]);
    let contents: Vec<_> = read.iter().map(|entry| entry.entry.clone()).collect();
    assert_eq!(contents, written);
    let row = &journal.verifications(&verification.job_id).await.unwrap()[0];
    assert_eq!((row.entries, row.outcome.as_deref()), (3, None));
    assert_eq!(verify_chain(row, &read), Ok(()));

    let mut changed = read.clone();
    changed[1].entry.content.push('x');
    assert_eq!(verify_chain(row, &changed), Err(ChainError::Changed(1)));
    let mut audience = read.clone();
    audience[2].entry.audience = Audience::Public;
    assert_eq!(verify_chain(row, &audience), Err(ChainError::Changed(2)));
    let removed = [read[0].clone(), read[2].clone()];
    assert_eq!(
        verify_chain(row, &removed),
        Err(ChainError::Gap {
            expected: 1,
            found: 2
        })
    );
    let swapped = [read[1].clone(), read[0].clone(), read[2].clone()];
    assert_eq!(
        verify_chain(row, &swapped),
        Err(ChainError::Gap {
            expected: 0,
            found: 1
        })
    );
    assert_eq!(verify_chain(row, &read[..2]), Err(ChainError::Head(2)));
    for other in [
        VerificationRow {
            job_id: JobId::new("other"),
            ..row.clone()
        },
        VerificationRow {
            cause: Cause::Submission,
            ..row.clone()
        },
        VerificationRow {
            attempt: 3,
            ..row.clone()
        },
        VerificationRow {
            submission: Digest::of(b"other"),
            ..row.clone()
        },
        VerificationRow {
            plan: PlanRef {
                name: "p".into(),
                digest: Digest::of(b"other"),
            },
            ..row.clone()
        },
    ] {
        assert_eq!(
            verify_chain(&other, &read),
            Err(ChainError::Changed(0)),
            "a chain says what it is about"
        );
    }
    let claimed = VerificationRow {
        outcome: Some("verified".into()),
        ..row.clone()
    };
    assert!(
        matches!(verify_chain(&claimed, &read), Err(ChainError::Outcome { .. })),
        "an outcome nobody told"
    );
}

fn call(answer: Option<&str>) -> ModelCall {
    let at = Timestamp::now();
    let at = Timestamp::from_microsecond(at.as_microsecond()).unwrap();
    ModelCall {
        id: uuid::Uuid::now_v7(),
        grader: "quality".into(),
        criteria: vec!["tone".into(), "sum".into()],
        sample: 2,
        model_asked: "asked".into(),
        model: Some("served-1".into()),
        judge_mode: "live".into(),
        parameters: serde_json::json!({"temperature": 0.5}),
        prompt: Some("[\"a NUL \0 of a stranger\"]".into()),
        prompt_digest: Digest::of(b"prompt"),
        answer: answer.map(str::to_owned),
        answer_digest: answer.map(|answer| Digest::of(answer.as_bytes())),
        finish: CallFinish::Complete,
        rejected: None,
        usage: Some(TokenUsage {
            prompt_tokens: 100,
            completion_tokens: 20,
        }),
        usage_estimated: false,
        cost_microcents: Some(1_500),
        key: Digest::of(b"question"),
        reused: None,
        started_at: at,
        ended_at: at,
    }
}

async fn calls_of_models_are_kept_and_found_again(journal: &dyn Journal) {
    let (first, second) = (new("calls", 1), new("calls", 2));
    journal.begin(&first).await.unwrap();
    journal.begin(&second).await.unwrap();
    let about = (first.id, &first.job_id, 2);
    let unusable = [
        ModelCall {
            finish: CallFinish::Failed(ErrorKind::ModelStreamCut),
            rejected: Some("cut".into()),
            usage: None,
            cost_microcents: None,
            ..call(None)
        },
        ModelCall {
            finish: CallFinish::Truncated,
            ..call(Some("{"))
        },
        ModelCall {
            rejected: Some("off the menu".into()),
            ..call(Some("no"))
        },
        call(Some(" \n")),
    ];
    for call in &unusable {
        journal.keep_call(about, call).await.unwrap();
    }
    let key = Digest::of(b"question");
    assert_eq!(journal.paid_call((&first.job_id, 2), key).await.unwrap(), None);
    let good = call(Some("\0 {}"));
    journal
        .keep_call((second.id, &first.job_id, 2), &good)
        .await
        .unwrap();
    let found = journal.paid_call((&first.job_id, 2), key).await.unwrap();
    assert_eq!(found, Some((second.id, good.clone())));
    for (attempt, key) in [(1, key), (2, Digest::of(b"another question"))] {
        assert_eq!(
            journal.paid_call((&first.job_id, attempt), key).await.unwrap(),
            None
        );
    }
    assert_eq!(journal.model_calls(first.id).await.unwrap(), unusable);
    assert_eq!(journal.model_calls(second.id).await.unwrap(), [good]);
    let spent = journal.spent(&first.job_id).await.unwrap();
    assert_eq!((spent.on_job, spent.today), (6_000, 6_000));
    let nothing = journal.spent(&JobId::new("another")).await.unwrap();
    assert_eq!((nothing.on_job, nothing.today), (0, 6_000));
}

async fn calls_under_way_count_against_the_ceilings(journal: &dyn Journal) {
    let verification = new("ceilings", 1);
    journal.begin(&verification).await.unwrap();
    let job_id = &verification.job_id;
    let before = journal.spent(job_id).await.unwrap().today;
    let reservation = |max_on_job, more_today| Reservation {
        call: uuid::Uuid::now_v7(),
        more: 400,
        max_on_job,
        max_today: Some(before + more_today),
    };
    // Of many at once as many as fit, whoever they are.
    let wanted: Vec<_> = (0..8).map(|_| reservation(Some(1_000), 10_000)).collect();
    let asked = wanted
        .iter()
        .map(|wanted| journal.reserve_spending(job_id, wanted));
    let answers = futures_util::future::try_join_all(asked).await.unwrap();
    assert_eq!(answers.iter().filter(|answer| answer.is_none()).count(), 2);
    let spent = Spent {
        on_job: 800,
        today: before + 800,
    };
    let no_room = answers
        .iter()
        .flatten()
        .max_by_key(|answer| answer.under_way_on_job);
    assert_eq!(
        no_room,
        Some(&NoRoom {
            spent,
            under_way_on_job: 800
        })
    );
    assert_eq!(journal.spent(job_id).await.unwrap(), spent);
    // The same for the day, of another job; and no ceiling is no limit.
    let other = JobId::new("ceilings-of-another");
    let more = reservation(None, 1_199);
    assert!(journal.reserve_spending(&other, &more).await.unwrap().is_some());
    let free = Reservation {
        max_today: None,
        ..reservation(None, 0)
    };
    assert_eq!(journal.reserve_spending(&other, &free).await.unwrap(), None);
    // One ends, and what it really cost counts; nobody is left to end the other, which stays at what it may have cost.
    let noted = wanted.iter().zip(&answers).find(|(_, answer)| answer.is_none());
    let ended = ModelCall {
        id: noted.unwrap().0.call,
        cost_microcents: Some(150),
        started_at: Timestamp::now(),
        ..call(Some("{}"))
    };
    let about = (verification.id, job_id, 2);
    journal.keep_call(about, &ended).await.unwrap();
    assert_eq!(journal.spent(job_id).await.unwrap().on_job, 550);
    assert_eq!(journal.spent(&other).await.unwrap().today, before + 950);
    let fits = reservation(Some(950), 10_000);
    assert_eq!(journal.reserve_spending(job_id, &fits).await.unwrap(), None);
}

async fn a_verification_ends_once(journal: &dyn Journal) {
    let verification = new("ends", 1);
    journal.begin(&verification).await.unwrap();
    journal
        .conclude(verification.id, &decision(), Timestamp::from_second(2).unwrap())
        .await
        .unwrap();
    let error = Err(GradeError::new(ErrorKind::ModelUnavailable, "down"));
    let again = journal
        .conclude(verification.id, &error, Timestamp::from_second(3).unwrap())
        .await;
    assert!(matches!(again, Err(JournalError::NotUnderWay(id)) if id == verification.id));
    let row = &journal.verifications(&verification.job_id).await.unwrap()[0];
    assert_eq!(row.outcome.as_deref(), Some("verified"));
}

async fn an_ended_or_unknown_verification_takes_no_entries(journal: &dyn Journal) {
    let verification = new("closed", 1);
    journal.begin(&verification).await.unwrap();
    journal
        .conclude(verification.id, &decision(), Timestamp::from_second(2).unwrap())
        .await
        .unwrap();
    for id in [verification.id, VerificationId::new()] {
        let refused = journal.append(id, vec![entry("late")]).await;
        assert!(
            matches!(refused, Err(JournalError::NotUnderWay(_))),
            "{refused:?}"
        );
    }
    assert_eq!(journal.entries(verification.id).await.unwrap(), []);
}

async fn verifications_of_a_job_come_oldest_first(journal: &dyn Journal) {
    let (late, early) = (new("twice", 20), new("twice", 10));
    journal.begin(&late).await.unwrap();
    journal.begin(&early).await.unwrap();
    let rows = journal.verifications(&JobId::new("twice")).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| row.id).collect::<Vec<_>>(),
        [early.id, late.id]
    );
    assert_eq!(journal.jobs(1).await.unwrap(), [JobId::new("twice")]);
}

#[tokio::test]
async fn sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(&folder.path().join("new/journal.sqlite"))
        .await
        .unwrap();
    conforms(&journal).await;
}

#[tokio::test]
async fn postgres_conforms() {
    let database = crate::servers::database().await;
    let journal = PgJournal::connect(&database.url, 4).await.unwrap();
    assert!(
        matches!(journal.check_set_up().await, Err(JournalError::NotSetUp { .. })),
        "an empty database says so"
    );
    journal.set_up().await.unwrap();
    journal.set_up().await.unwrap();
    journal.check_set_up().await.unwrap();
    conforms(&journal).await;
}

#[tokio::test]
async fn several_processes_may_set_the_tables_up_at_once() {
    let database = crate::servers::database().await;
    let journal = PgJournal::connect(&database.url, 8).await.unwrap();
    let (one, two, three) = tokio::join!(journal.set_up(), journal.set_up(), journal.set_up());
    one.and(two).and(three).unwrap();
}

#[tokio::test]
async fn a_database_url_is_never_repeated_in_an_error() {
    for url in ["postgres://u:hunter2@127.0.0.1:1/x", "postgres//u:hunter2@"] {
        let error = PgJournal::connect(url, 1).await.err().unwrap();
        let told = format!("{error} {error:?} {}", assay::causes::in_full(&error));
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[tokio::test]
async fn postgres_itself_refuses_to_change_or_delete_what_is_kept_its_owner_too() {
    let database = crate::servers::database().await;
    let journal = PgJournal::connect(&database.url, 2).await.unwrap();
    journal.set_up().await.unwrap();
    let verification = new("kept", 1);
    journal.begin(&verification).await.unwrap();
    journal.append(verification.id, vec![entry("one")]).await.unwrap();
    journal
        .conclude(verification.id, &decision(), Timestamp::from_second(2).unwrap())
        .await
        .unwrap();
    for statement in [
        "UPDATE assay.log SET content = 'other'",
        "DELETE FROM assay.log",
        "TRUNCATE assay.log",
        "DELETE FROM assay.verification",
        "UPDATE assay.verification SET outcome = 'retry'",
        "UPDATE assay.verification SET plan_digest = '\\x00'",
        "TRUNCATE assay.decision",
        "TRUNCATE assay.settlement",
    ] {
        let refused = sqlx::query(statement).execute(&journal.pool()).await;
        assert!(refused.is_err(), "{statement}");
    }
    assert_eq!(journal.entries(verification.id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn sqlite_itself_refuses_to_change_or_delete_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(&folder.path().join("journal.sqlite"))
        .await
        .unwrap();
    let verification = new("kept", 1);
    journal.begin(&verification).await.unwrap();
    journal.append(verification.id, vec![entry("one")]).await.unwrap();
    journal
        .conclude(verification.id, &decision(), Timestamp::from_second(2).unwrap())
        .await
        .unwrap();
    for statement in [
        "UPDATE log SET content = 'other'",
        "DELETE FROM log",
        "INSERT OR REPLACE INTO log SELECT * FROM log",
        "DELETE FROM verification",
        "UPDATE verification SET outcome = 'retry'",
        "UPDATE verification SET plan_digest = 'x'",
    ] {
        let refused = sqlx::query(statement).execute(journal.pool()).await;
        assert!(refused.is_err(), "{statement}");
    }
    assert_eq!(journal.entries(verification.id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn two_processes_may_write_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.sqlite");
    let (one, other) = (
        SqliteJournal::open(&path).await.unwrap(),
        SqliteJournal::open(&path).await.unwrap(),
    );
    let (first, second) = (new("first", 1), new("second", 1));
    one.begin(&first).await.unwrap();
    other.begin(&second).await.unwrap();
    let write = async |journal: &SqliteJournal, id| {
        for number in 0..50 {
            journal
                .append(id, vec![entry(&number.to_string())])
                .await
                .unwrap();
        }
    };
    tokio::join!(write(&one, first.id), write(&other, second.id));
    for verification in [first, second] {
        let entries = other.entries(verification.id).await.unwrap();
        let row = &other.verifications(&verification.job_id).await.unwrap()[0];
        assert_eq!(entries.len(), 50);
        assert_eq!(verify_chain(row, &entries), Ok(()));
    }
}

#[tokio::test]
async fn what_a_verification_is_about_cannot_be_changed_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(&folder.path().join("journal.sqlite"))
        .await
        .unwrap();
    journal.begin(&new("running", 1)).await.unwrap();
    for column in [
        "job_id",
        "attempt",
        "plan_digest",
        "submission_digest",
        "started_at",
    ] {
        let update = sqlx::AssertSqlSafe(format!("UPDATE verification SET {column} = 7"));
        assert!(
            sqlx::query(update).execute(journal.pool()).await.is_err(),
            "{column}"
        );
    }
}

#[test]
fn processes_that_start_at_once_on_a_new_journal_do_not_collide() {
    let bench = crate::workbench::Workbench::new();
    bench.plan(
        "p",
        "[[graders]]\nname = \"d\"\nkind = \"diff\"\ncompare = \"exact\"\nexpected = { text = \"x\" }\n",
    );
    bench.fixture(
        "a",
        "plan = \"p\"\nexpect = \"verified\"\n",
        serde_json::json!({"output_text": "x"}),
    );
    let children: Vec<_> = (0..6)
        .map(|_| {
            bench
                .command(&["run", "fixtures", "--json"])
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &str| std::fs::metadata(bench.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(".assay"), mode(".assay/journal.sqlite")),
        (0o700, 0o600),
        "the journal is nobody else's to read"
    );
}
