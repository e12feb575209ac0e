//! An erasure reaches whatever keeps words of a job, and waits for nobody but those who work on it.

use std::sync::Arc;

use assay::clock::Clock;
use assay::digest::Digest;
use assay::entry::{Audience, Entry, EntryType};
use assay::job::JobId;
use assay::journal::{BeginDisputeError, Journal as _, JournalError, NewParked, PgJournal, Unplanned};
use assay::outcome::Outcome;
use serde_json::json;

use super::World;
use super::facts::again_of;

/// Every column of our tables that holds the text anywhere, as `table.column`: as text, or as bytes.
pub(super) async fn places_of(journal: &PgJournal, text: &str) -> Vec<String> {
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.table_name::text, c.column_name::text FROM information_schema.columns c
         JOIN information_schema.tables t USING (table_schema, table_name)
         WHERE c.table_schema = 'assay' AND t.table_type = 'BASE TABLE' ORDER BY 1, 2",
    )
    .fetch_all(&journal.pool())
    .await
    .unwrap();
    assert!(columns.len() > 100, "{columns:?}");
    let bytes: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut places = Vec::new();
    for (table, column) in columns {
        let select = format!(
            "SELECT EXISTS (SELECT FROM assay.{table} WHERE {column}::text LIKE '%{text}%' OR {column}::text LIKE '%{bytes}%')"
        );
        let found: bool = sqlx::query_scalar(sqlx::AssertSqlSafe(select))
            .fetch_one(&journal.pool())
            .await
            .unwrap();
        if found {
            places.push(format!("{table}.{column}"));
        }
    }
    places
}

impl World {
    async fn execute(&self, statement: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
            .execute(&self.journal.pool())
            .await
            .unwrap();
    }

    /// `assay erase --yes --json`, which succeeds.
    fn erase(&self, arguments: &[&str]) -> serde_json::Value {
        let arguments = [
            &["erase", "--reason", "ticket 4711", "--yes", "--json"],
            arguments,
        ]
        .concat();
        let erased = self.run(&arguments, &[]);
        assert!(erased.status.success(), "{erased:?}");
        serde_json::from_slice(&erased.stdout).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_parked_before_any_verification_began_is_erased_and_closed() {
    let world = World::new().await;
    let parked = |attempt, detail: &str| NewParked {
        about: Some((JobId::new("stale"), attempt)),
        reason: "stale",
        detail: detail.to_owned(),
        message: br#"{"v":1,"job":{"output_text":"canary"}}"#.to_vec(),
        digest: Digest::of(detail.as_bytes()),
    };
    world.journal.park(&parked(0, "canary")).await.unwrap();
    world.journal.park(&parked(1, "the other attempt")).await.unwrap();
    let unplanned = Unplanned {
        job_id: JobId::new("unplanned"),
        attempt: 0,
        submission: Digest::of(b"s"),
        plan_choice: Digest::of(b"c"),
        message: Arc::new(br#"{"v":1,"job":{"output_text":"canary"}}"#.to_vec()),
        traceparent: None,
        has_judge: false,
    };
    let why = ("plan-not-allowed", "canary");
    let parking = world.journal.claim_unplanned(&unplanned, why, |_| None);
    assert_eq!(parking.await.unwrap(), None);

    let unknown = world.run(&["erase", "nobody", "--reason", "r", "--yes"], &[]);
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
    let unknown = world.run(
        &["erase", "stale", "--attempt", "7", "--reason", "r", "--yes"],
        &[],
    );
    let told = String::from_utf8(unknown.stderr).unwrap();
    assert!(
        told.contains("holds nothing of attempt 7 of the job `stale`"),
        "{told}"
    );

    world.erase(&["stale", "--attempt", "0"]);
    world.erase(&["unplanned"]);
    let left = places_of(&world.journal, "canary").await;
    assert_eq!(left, ["parked.message"], "that of the other attempt");
    let open = world.journal.parked(false, 10).await.unwrap();
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0].detail, "the other attempt");
    let closed = world.journal.parked(true, 10).await.unwrap();
    let closed = closed
        .iter()
        .find(|row| row.job_id == Some(JobId::new("unplanned")))
        .unwrap();
    let (_, how, by, why) = closed.closed.as_ref().unwrap();
    assert_eq!(
        (how.as_str(), by.as_str(), why.as_str()),
        ("closed", "ann", "erased: ticket 4711")
    );
    // Nobody tries what is left of it.
    let id = closed.id.to_string();
    let retried = world.run(&["parked", "retry", &id, "--reason", "again"], &[]);
    assert!(!retried.status.success(), "{retried:?}");
    let claim: String = sqlx::query_scalar("SELECT state FROM assay.claim WHERE job_id = 'unplanned'")
        .fetch_one(&world.journal.pool())
        .await
        .unwrap();
    assert_eq!(claim, "closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_reached_is_told_and_parked_messages_of_nobody_are_named() {
    let world = World::new().await;
    world.decide("j1", Outcome::Verified).await;
    let unread = NewParked {
        about: None,
        reason: "undecodable",
        detail: "expected value".to_owned(),
        message: b"{job_id: j1".to_vec(),
        digest: Digest::of(b"unread"),
    };
    world.journal.park(&unread).await.unwrap();
    let erased = world.erase(&["j1", "--attempt", "0"]);
    assert_eq!(
        [
            &erased["job_id"],
            &erased["attempt"],
            &erased["verifications"],
            &erased["entries"],
            &erased["deleted"]
        ],
        [&json!("j1"), &json!(0), &json!(1), &json!(5), &json!(null)]
    );
    let not_reached = erased["not_reached"].as_array().unwrap();
    let told = not_reached[0].as_str().unwrap();
    assert!(
        told.starts_with("1 parked messages that nobody could read"),
        "{told}"
    );
    for place in [
        "backups",
        "the broker's queues",
        "the marketplace",
        "exported bundles; the anchor",
    ] {
        assert!(
            not_reached
                .iter()
                .any(|told| told.as_str().unwrap().contains(place)),
            "{place}"
        );
    }
    // The same, for people.
    let again = world.run(&["erase", "j1", "--reason", "r", "--yes"], &[]);
    let told = String::from_utf8(again.stdout).unwrap();
    assert!(
        told.starts_with("erased: 0 entries of 1 verifications; 0 files are to go\nnot reached: 1 parked"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn altered_copies_of_an_outcome_and_copies_that_come_later_keep_no_words() {
    let world = World::new().await;
    let id = world.decide("j1", Outcome::Verified).await;
    let other = world.decide("j2", Outcome::Verified).await;
    let note = |message: &str, verification: &str, reason: &str| {
        format!(
            "INSERT INTO assay.exception (verification_id, job_id, reason, detail, message, digest)
             SELECT {verification}, 'j1', '{reason}', 'd', {message}, sha256({message})
             FROM assay.decision d WHERE d.job_id = 'j1'"
        )
    };
    let quoted = format!("'{id}'");
    let altered = "convert_to(replace(convert_from(d.message, 'UTF8'), 'text', 'altered'), 'UTF8')";
    world.execute(&note("d.message", &quoted, "same")).await;
    world.execute(&note(altered, &quoted, "altered")).await;
    world
        .execute(&note("'no message: canary'::bytea", &quoted, "no-message"))
        .await;
    world
        .execute(&note("'forged: canary'::bytea", "gen_random_uuid()", "forged"))
        .await;
    let came: Vec<u8> = sqlx::query_scalar("SELECT message FROM assay.decision WHERE job_id = 'j1'")
        .fetch_one(&world.journal.pool())
        .await
        .unwrap();
    world.erase(&["j1"]);
    let hex: String = came.iter().map(|byte| format!("{byte:02x}")).collect();
    let came = format!("decode('{hex}', 'hex')");
    world.execute(&note(&came, &quoted, "decision-differs")).await;

    let canary = "SELECT reason FROM assay.exception WHERE position('canary'::bytea IN message) > 0";
    let left: Vec<String> = sqlx::query_scalar(canary)
        .fetch_all(&world.journal.pool())
        .await
        .unwrap();
    assert_eq!(left, Vec::<String>::new());
    // What came later is as what was there, and no decision is mistaken for it.
    let same = "SELECT count(*) FROM assay.exception e JOIN assay.decision d ON d.message = e.message
                WHERE e.reason IN ('same', 'decision-differs')";
    let mistaken =
        "SELECT count(*) FROM assay.exception e JOIN assay.decision d ON sha256(d.message) = e.digest
                    WHERE e.reason <> 'same'";
    for (select, count) in [(same, 2), (mistaken, 0)] {
        let counted: i64 = sqlx::query_scalar(select)
            .fetch_one(&world.journal.pool())
            .await
            .unwrap();
        assert_eq!(counted, count, "{select}");
    }
    let kept: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM assay.decision WHERE verification_id = $1 AND position('canary'::bytea IN message) > 0",
    )
    .bind(other.uuid())
    .fetch_one(&world.journal.pool())
    .await
    .unwrap();
    assert_eq!(kept, 1, "another job's words stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_keeps_no_words_on_what_could_not_be_begun_not_even_of_one_who_read_it_before() {
    let world = World::new().await;
    let id = world.decide("j1", Outcome::Verified).await;
    let other = world.decide("j2", Outcome::Verified).await;
    let items = [(id, JobId::new("j1"), 0), (other, JobId::new("j2"), 0)];
    let journal = &world.journal;
    assert!(journal.create_set("s", ("{}", "r", "b"), &items).await.unwrap());
    for disputes in [id, other] {
        journal
            .fail_item("s", disputes, "canary.csv cannot be had")
            .await
            .unwrap();
    }
    world.erase(&["j1"]);
    assert_eq!(
        places_of(journal, "canary.csv").await,
        ["dispute_item.error"],
        "of j2"
    );
    let first = journal.dispute_items("s").await.unwrap().swap_remove(0);
    assert_eq!(first.error.as_deref(), Some("erased by ann: ticket 4711"));
    journal
        .fail_item("s", id, "canary.csv is another one")
        .await
        .unwrap();
    let items = journal.dispute_items("s").await.unwrap();
    let errors: Vec<_> = items.iter().map(|item| item.error.as_deref().unwrap()).collect();
    assert_eq!(errors, ["erased by ann: ticket 4711", "canary.csv cannot be had"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_erased_while_it_is_judged_again_and_nothing_judged_again_that_was_erased() {
    let world = World::new().await;
    let id = world.decide("j1", Outcome::Verified).await;
    let (new, asked) = again_of("j1", id, None);
    let running = world.journal.begin_dispute(&new, &asked).await.unwrap();
    let canary = Entry {
        kind: EntryType::Info,
        content: "canary: said again".to_owned(),
        audience: Audience::Public,
        created_at: Clock::system().now(),
    };
    world.journal.append(new.id, vec![canary.clone()]).await.unwrap();
    let refused = world.run(&["erase", "j1", "--reason", "r", "--yes"], &[]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(
        told.contains(&format!("j1 is in dispute: verification {} of it runs", new.id)),
        "{told}"
    );
    assert!(told.contains("stop that `assay reverify` first"), "{told}");

    // Its process dies: nobody waits for it, and what it said is gone, too.
    drop(running);
    let mut erased = world.run(&["erase", "j1", "--reason", "ticket 4711", "--yes"], &[]);
    // The server may take a moment to see that it is gone.
    while erased.status.code() == Some(2) {
        erased = world.run(&["erase", "j1", "--reason", "ticket 4711", "--yes"], &[]);
    }
    assert!(erased.status.success(), "{erased:?}");
    assert_eq!(places_of(&world.journal, "canary").await, Vec::<String>::new());
    let late = world.journal.append(new.id, vec![canary]).await;
    assert!(matches!(late, Err(JournalError::NotUnderWay(_))), "{late:?}");

    let (new, asked) = again_of("j1", id, None);
    let Err(BeginDisputeError::Erased(erasure)) = world.journal.begin_dispute(&new, &asked).await else {
        panic!("begun");
    };
    assert!(
        erasure.to_string().starts_with("erased by ann (role "),
        "{erasure}"
    );
    assert!(
        erasure.to_string().ends_with(", because: ticket 4711"),
        "{erasure}"
    );
    assert_eq!(world.audit(None), (0, Vec::new()));
}
