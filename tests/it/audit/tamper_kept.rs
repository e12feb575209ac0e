//! Whatever a superuser changes of hand-ins, plans, their files and tombstones is found, too.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use assay::checkpoint::{Checkpoint, Leaf};
use assay::digest::Digest;
use assay::journal::{LookFrom, Looked, Place};
use assay::outcome::Outcome;
use jiff::Timestamp;

use super::World;
use super::facts::plan_ref;

const ANCHOR: Option<&str> = Some("anchor.jsonl");

fn one(what: &str, place: &str) -> Vec<(String, String)> {
    vec![(what.to_owned(), place.to_owned())]
}

/// Finds nothing before, and after the change what is given back.
async fn found(world: &World, statement: &str) -> Vec<(String, String)> {
    assert_eq!(world.audit(ANCHOR), (0, Vec::new()), "clean before");
    world.tamper(statement).await;
    let (code, findings) = world.audit(ANCHOR);
    assert_eq!(code, 1, "{statement}: {findings:?}");
    findings
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_in_that_was_changed_or_removed_is_found() {
    let replaced = |from: &str, to: &str| {
        format!(
            "UPDATE assay.hand_in SET message = convert_to(replace(convert_from(message, 'UTF8'), '{from}', '{to}'), 'UTF8')"
        )
    };
    for (change, told) in [
        (
            replaced("canary", "better"),
            "another digest than what was judged",
        ),
        (
            replaced("Write it.", "Say anything."),
            "another task than its receipt",
        ),
        (
            replaced("\"price_cents\":1000", "\"price_cents\":1"),
            "another price than its receipt",
        ),
        (
            replaced("\"receiver\":\"receiver\"", "\"receiver\":\"thief\""),
            "another receiver than its receipt",
        ),
        (
            "UPDATE assay.hand_in SET message = assay.without_content(job_id, attempt)".to_owned(),
            "does not hold what was handed in",
        ),
        (
            "UPDATE assay.hand_in SET message = 'nothing'".to_owned(),
            "cannot be read",
        ),
        ("DELETE FROM assay.hand_in".to_owned(), "is gone"),
    ] {
        let world = World::new().await;
        world.decide("victim", Outcome::Verified).await;
        // Nobody judged it, so that nothing speaks of its hand-in.
        world.fail("failed").await;
        let found = found(&world, &format!("{change} WHERE job_id = 'victim'")).await;
        assert_eq!(found, one("hand-in-changed", "hand_in.message"), "{change}");
        let (_, report) = world.audit_report(&["victim"], ANCHOR);
        let detail = report["findings"][0]["detail"].as_str().unwrap();
        assert!(detail.contains(told), "{change}: {detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_was_changed_or_removed_is_found() {
    let plan = format!("plan {}", plan_ref().digest);
    for change in [
        "UPDATE assay.plan SET settings = replace(settings, '0.5', '0.1')",
        "UPDATE assay.plan SET settings = replace(settings, 'as expected', 'anything')",
        "UPDATE assay.plan SET settings = replace(settings, '\"weight\":1.0', '\"weight\":2.0')",
        "UPDATE assay.plan SET settings = '{}'",
        "UPDATE assay.plan SET settings = 'nothing'",
        "DELETE FROM assay.plan",
    ] {
        let world = World::new().await;
        world.decide("victim", Outcome::Verified).await;
        assert_eq!(
            found(&world, change).await,
            one("plan-changed", &plan),
            "{change}"
        );
        assert_eq!(world.audit_report(&["victim"], ANCHOR).0, 1, "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_by_which_nobody_came_to_an_answer_is_not_missed() {
    let world = World::new().await;
    world.fail("failed").await;
    world.tamper("DELETE FROM assay.plan").await;
    assert_eq!(world.audit(ANCHOR), (0, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_file_with_other_bytes_is_found() {
    let world = World::new().await;
    world.journal.keep_artifact(b"an interpreter").await.unwrap();
    let place = format!("artifact {}", Digest::of(b"an interpreter"));
    let change = "UPDATE assay.artifact SET bytes = 'another interpreter'";
    assert_eq!(found(&world, change).await, one("plan-changed", &place));
}

fn erase(world: &World, job: &str) {
    let erased = world.run(&["erase", job, "--reason", "ticket 4711", "--yes"], &[]);
    assert_eq!(erased.status.code(), Some(0), "{erased:?}");
}

/// Three jobs, two of them erased; each erasure is sealed by a checkpoint of its own, which covers nothing else.
async fn erased() -> World {
    let world = World::new().await;
    for job in ["first", "second", "stays"] {
        world.decide(job, Outcome::Verified).await;
    }
    world.seal(ANCHOR).await;
    for job in ["first", "second"] {
        erase(&world, job);
        world.seal(ANCHOR).await;
    }
    assert_eq!(world.audit_report(&["--all"], ANCHOR).1["checkpoints"], 3);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_that_was_changed_is_found_by_the_checkpoint_that_sealed_it() {
    for (change, place, told) in [
        (
            "UPDATE assay.erasure SET reason = 'ticket 4712' WHERE job_id = 'second'",
            "checkpoint 3",
            "of erasures 2 to 2 one is not what it sealed",
        ),
        (
            "UPDATE assay.erasure SET by = 'bob' WHERE job_id = 'first'",
            "checkpoint 2",
            "of erasures 1 to 1 one is not what it sealed",
        ),
        (
            "UPDATE assay.erasure SET at = at - interval '1 day' WHERE job_id = 'first'",
            "checkpoint 2",
            "of erasures 1 to 1 one is not what it sealed",
        ),
    ] {
        let world = erased().await;
        assert_eq!(
            found(&world, change).await,
            one("erasure-changed", place),
            "{change}"
        );
        let (_, report) = world.audit_report(&["--all"], ANCHOR);
        assert_eq!(report["findings"][0]["detail"], told, "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_that_was_removed_is_found_with_what_it_was_about() {
    let world = erased().await;
    let found = found(&world, "DELETE FROM assay.erasure WHERE job_id = 'second'").await;
    let wanted = [
        one("erased-unrecorded", "entry 0"),
        one("hand-in-changed", "hand_in.message"),
        one("erasure-changed", "checkpoint 3"),
    ]
    .concat();
    assert_eq!(found, wanted);
}

/// While a pool is upgraded, workers of both versions make checkpoints.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_of_a_version_that_seals_no_erasures_may_follow_one_that_does() {
    let world = erased().await;
    world.decide("later", Outcome::Verified).await;
    let key = world.key();
    let sign = |last: Option<&Checkpoint>, leaves: &[Leaf], _| {
        Checkpoint::next(last, leaves, None, (&key, "default"), Timestamp::now())
    };
    let sealed = world
        .journal
        .seal(Duration::ZERO, LookFrom::Place(Place::BEGINNING), sign)
        .await;
    assert!(
        matches!(sealed, Ok(Some(Looked { made: Some(_), .. }))),
        "{sealed:?}"
    );
    assert_eq!(world.audit(None), (0, Vec::new()));
    world.decide("last", Outcome::Verified).await;
    world.seal(ANCHOR).await;
    let change = "UPDATE assay.erasure SET by = 'bob' WHERE job_id = 'first'";
    assert_eq!(
        found(&world, change).await,
        one("erasure-changed", "checkpoint 2")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_with_a_line_that_is_no_checkpoint_is_a_finding_and_hides_nothing() {
    let world = World::new().await;
    world.decide("victim", Outcome::Verified).await;
    world.seal(ANCHOR).await;
    let anchor = world.folder.path().join("anchor.jsonl");
    let mut anchor = OpenOptions::new().append(true).open(anchor).unwrap();
    assert_eq!(world.audit(ANCHOR), (0, Vec::new()));
    anchor.write_all(b"nonsense, not even text: \xff\n").unwrap();
    world
        .tamper("UPDATE assay.log SET content = 'other' WHERE seq = 1")
        .await;
    let wanted = [
        one("entry-changed", "entry 1"),
        one("checkpoint-changed", "anchor, line 2"),
    ]
    .concat();
    assert_eq!(world.audit(ANCHOR), (1, wanted));
}
