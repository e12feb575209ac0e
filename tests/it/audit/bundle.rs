//! A verification that was exported proves itself without the database; one that was altered proves nothing.

use assay::audit::{Bundle, prove};
use assay::message::OutcomeMessage;
use assay::outcome::Outcome;
use assay::receipt::TrustFile;

use super::World;

/// What a bundle says, the message by its meaning.
fn read(text: &[u8]) -> Option<(Bundle, OutcomeMessage)> {
    let mut bundle: Bundle = serde_json::from_slice(text).ok()?;
    let message = serde_json::from_str(&bundle.message.take()?).ok()?;
    Some((bundle, message))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_verification_is_proven_offline_and_no_changed_byte_of_it_is() {
    let world = World::new().await;
    let id = world.decide("exported", Outcome::Verified).await.to_string();
    world.decide("other", Outcome::Retry).await;
    world.seal(None).await;
    let path = world.folder.path().join("bundle.json");
    let file = path.to_str().unwrap();
    let exported = world.run(&["audit", "export", &id, "-o", file], &[]);
    assert!(exported.status.success(), "{exported:?}");
    let nowhere = [("ASSAY_DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")];
    let verified = world.run(&["audit", "verify", file], &nowhere);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");

    let trust = TrustFile::read(&world.trust).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let original = read(&whole).unwrap();
    for place in 0..whole.len() {
        for flip in [1, 2, 0x20, 0x80] {
            let mut altered = whole.clone();
            altered[place] ^= flip;
            // White space, and a digest in capitals: it says the same.
            let same = read(&altered).is_some_and(|altered| altered == original);
            let shown = String::from_utf8_lossy(&altered[place.saturating_sub(40)..]);
            let shown: String = shown.chars().take(60).collect();
            assert_eq!(
                prove(&altered, &trust).holds(),
                same,
                "byte {place} by {flip:#x}: {shown}"
            );
        }
    }
    assert!(
        !prove(&whole, &TrustFile::default()).holds(),
        "nobody's key proves nothing"
    );
}

/// Marks entries as erased, as somebody without our database can: the chain's hashes stay the same.
fn erase(bundle: &mut serde_json::Value, places: std::ops::Range<usize>) {
    for place in places {
        let entry = &mut bundle["entries"][place];
        let mut salt = [0; 16];
        hex::decode_to_slice(entry["salt"].as_str().unwrap(), &mut salt).unwrap();
        let digest = assay::entry::content_digest(&salt, entry["content"].as_str().unwrap());
        entry["erased"] = digest.to_string().into();
        entry["content"] = "".into();
        entry["salt"] = "00".repeat(16).into();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_in_which_entries_are_marked_as_erased_proves_no_graders_words() {
    let world = World::new().await;
    let id = world.decide("exported", Outcome::Verified).await.to_string();
    let path = world.folder.path().join("bundle.json");
    let file = path.to_str().unwrap();
    let exported = world.run(&["audit", "export", &id, "-o", file], &[]);
    assert!(exported.status.success(), "{exported:?}");
    let trust = TrustFile::read(&world.trust).unwrap();
    let whole: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let message = whole["message"].as_str().unwrap();
    let prove = |marked: std::ops::Range<usize>, from: &str, to: &str| {
        let mut bundle = whole.clone();
        erase(&mut bundle, marked);
        assert!(message.contains(from), "{message}");
        bundle["message"] = message.replace(from, to).into();
        prove(bundle.to_string().as_bytes(), &trust)
    };
    // One harmless entry: everything else is compared as before.
    assert!(prove(0..1, "canary", "canary").holds());
    for (from, to) in [
        ("\"reason\":\"canary\"", "\"reason\":\"fine\""),
        ("\"verdict\":\"pass\"", "\"verdict\":\"fail\""),
        ("\"threshold\":0.5", "\"threshold\":0.6"),
    ] {
        assert!(!prove(0..1, from, to).holds(), "{to}");
    }
    // All of them: no word may be left, and what is no longer proven is said.
    assert!(!prove(0..5, "canary", "canary").holds());
    assert!(!prove(0..5, "canary", "fine").holds());
    let erased = prove(0..5, "canary", "[erased]");
    assert!(erased.holds(), "{erased:?}");
    assert!(
        erased
            .not_proven
            .iter()
            .any(|line| line.starts_with("verdict and score of each grader")),
        "{erased:?}"
    );
}
