//! Checkpoints and their anchor: nothing can be taken back.

use assay::outcome::Outcome;

use super::World;

const ANCHOR: Option<&str> = Some("anchor.jsonl");

/// Three checkpoints of two verifications each; the ids of the second.
async fn sealed() -> (World, Vec<String>) {
    let world = World::new().await;
    let mut middle = Vec::new();
    for round in 0..3 {
        for number in 0..2 {
            let id = world
                .decide(&format!("j-{round}-{number}"), Outcome::Verified)
                .await;
            if round == 1 {
                middle.push(id.to_string());
            }
        }
        world.seal(ANCHOR).await;
    }
    assert_eq!(world.audit(ANCHOR), (0, Vec::new()));
    (world, middle)
}

fn one(what: &str, place: &str) -> Vec<(String, String)> {
    vec![(what.to_owned(), place.to_owned())]
}

/// Every trace of these verifications but for the checkpoints.
fn wipe(ids: &[String]) -> String {
    let ids = ids.join("', '");
    [
        "decision WHERE verification_id",
        "log WHERE verification_id",
        "claim WHERE verification_id",
        "verification WHERE id",
    ]
    .map(|of| format!("DELETE FROM assay.{of} IN ('{ids}');"))
    .concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_that_was_removed_with_every_trace_is_named() {
    let (world, ids) = sealed().await;
    world.tamper(&wipe(&ids[..1])).await;
    assert_eq!(
        world.audit(None),
        (1, one("verification-removed", "checkpoint 2"))
    );
    let (_, report) = world.audit_report(&["--all"], None);
    assert_eq!(report["findings"][0]["verification_id"], ids[0]);
    // Its leaf, too: then the root does not come out.
    world
        .tamper(&format!(
            "DELETE FROM assay.checkpoint_leaf WHERE verification_id = '{}'",
            ids[0]
        ))
        .await;
    assert_eq!(world.audit(None), (1, one("checkpoint-changed", "checkpoint 2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_was_removed_or_changed_is_named() {
    let (world, _) = sealed().await;
    world
        .tamper("DELETE FROM assay.checkpoint WHERE number = 2")
        .await;
    assert_eq!(world.audit(None), (1, one("checkpoint-removed", "checkpoint 2")));
    assert_eq!(
        world.audit(ANCHOR),
        (1, one("checkpoint-removed", "checkpoint 2"))
    );
    let (world, _) = sealed().await;
    world
        .tamper("UPDATE assay.checkpoint SET total = total + 1 WHERE number = 3")
        .await;
    let (code, findings) = world.audit(None);
    assert_eq!(code, 1);
    assert!(
        findings
            .iter()
            .all(|finding| *finding == one("checkpoint-changed", "checkpoint 3")[0]),
        "{findings:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_checkpoint_removed_with_all_it_covered_is_found_by_the_anchor_alone() {
    let (world, _) = sealed().await;
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT verification_id::text FROM assay.checkpoint_leaf WHERE checkpoint = 3")
            .fetch_all(&world.journal.pool())
            .await
            .unwrap();
    world.tamper(&wipe(&ids)).await;
    world
        .tamper("DELETE FROM assay.checkpoint WHERE number = 3; DELETE FROM assay.checkpoint_leaf WHERE checkpoint = 3")
        .await;
    let (code, report) = world.audit_report(&["--all"], None);
    assert_eq!(
        (code, &report["anchored"]),
        (0, &"unanchored".into()),
        "and so it is said"
    );
    assert_eq!(
        world.audit(ANCHOR),
        (1, one("checkpoint-removed", "checkpoint 3"))
    );
    // Whoever goes on from there with a stolen key does not get past it either.
    world.decide("later", Outcome::Verified).await;
    world.seal(None).await;
    assert_eq!(
        world.audit(ANCHOR),
        (1, one("checkpoint-changed", "checkpoint 3"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_cannot_be_read_is_a_finding_and_hides_no_other() {
    for change in [
        "checkpoint SET count = -1",
        "checkpoint SET made_at = 'infinity'",
        "checkpoint SET root = ''",
        "checkpoint_leaf SET head = ''",
    ] {
        let (world, ids) = sealed().await;
        let of = if change.starts_with("checkpoint_leaf") {
            "checkpoint"
        } else {
            "number"
        };
        world
            .tamper(&format!(
                "UPDATE assay.{change} WHERE {of} = 2;
                 UPDATE assay.log SET content = 'other' WHERE verification_id = '{}' AND seq = 1",
                ids[0]
            ))
            .await;
        for scope in [["--all"].as_slice(), &["j-1-0"]] {
            let (code, report) = world.audit_report(scope, ANCHOR);
            assert_eq!(code, 1, "{change}: {report}");
            let whats: Vec<_> = report["findings"]
                .as_array()
                .unwrap()
                .iter()
                .map(|finding| finding["what"].as_str().unwrap())
                .collect();
            let unreadable_leaf = change.starts_with("checkpoint_leaf");
            assert!(
                whats.contains(&"checkpoint-changed") || (unreadable_leaf && scope != ["--all"]),
                "{change}: {report}"
            );
            assert!(
                whats.contains(&"entry-changed") || (unreadable_leaf && whats.contains(&"unreadable")),
                "{change}: {report}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_that_holds_nothing_yet_is_no_trouble_and_is_said() {
    let world = World::new().await;
    world.decide("first", Outcome::Verified).await;
    world.seal(None).await;
    assert_eq!(world.audit(ANCHOR), (0, Vec::new()));
    let anchor = world.folder.path().join("anchor.jsonl").display().to_string();
    let said = world.run(&["audit", "--all"], &[("ASSAY_ANCHOR", &anchor)]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("holds nothing yet: 1 checkpoints wait"), "{said}");
}
