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
