//! Whether a receipt is believed.

use jiff::Timestamp;

use super::TrustFile;
use crate::receipt::{KeyId, Purpose, Receipt};

/// Why a receipt is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptFault {
    /// Nothing may move on it.
    #[error("the receipt is a preview: nothing moves on it")]
    Preview,
    /// The trust file does not know the key.
    #[error("the key `{0}` is not in the trust file")]
    UnknownKey(String),
    /// The key was revoked.
    #[error("the key {kid} was revoked at {at}: {reason}")]
    Revoked {
        /// The key.
        kid: KeyId,
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// The key may not sign for this purpose.
    #[error("the key {0} is not trusted for settlement")]
    Purpose(KeyId),
    /// The key belongs to another deployment.
    #[error("the key {kid} signs for deployment `{trusted}`, the receipt names `{named}`")]
    Deployment {
        /// The key.
        kid: KeyId,
        /// Whose key it is.
        trusted: String,
        /// What the receipt says.
        named: String,
    },
    /// The decision was made before the key became valid.
    #[error("decided at {decided_at}, before the key {kid} became valid")]
    NotYetValid {
        /// The key.
        kid: KeyId,
        /// When it was decided.
        decided_at: Timestamp,
    },
    /// The decision was made after the key had expired.
    #[error("decided at {decided_at}, after the key {kid} had expired")]
    Expired {
        /// The key.
        kid: KeyId,
        /// When it was decided.
        decided_at: Timestamp,
    },
    /// The signature does not fit.
    #[error("the signature does not fit what the receipt says")]
    Signature,
}

impl ReceiptFault {
    /// A word for tables, in kebab-case.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Preview => "receipt-preview",
            Self::UnknownKey(_) => "receipt-key-unknown",
            Self::Revoked { .. } => "receipt-key-revoked",
            Self::Purpose(_) => "receipt-key-purpose",
            Self::Deployment { .. } => "receipt-deployment",
            Self::NotYetValid { .. } => "receipt-key-not-yet-valid",
            Self::Expired { .. } => "receipt-key-expired",
            Self::Signature => "receipt-signature",
        }
    }
}

impl TrustFile {
    /// Whether money may move on the receipt at `now`.
    ///
    /// A revoked key is refused whatever `decided_at` says: whoever stole it writes any date. An expired one is not: keys are
    /// changed in the ordinary course of things, and what was decided before may wait for days until it is settled.
    ///
    /// # Errors
    /// Says why the receipt is not believed.
    pub fn check(&self, receipt: &Receipt, now: Timestamp) -> Result<(), ReceiptFault> {
        match receipt.purpose {
            Purpose::Settle => {}
            Purpose::Preview => return Err(ReceiptFault::Preview),
        }
        let key = self.key(&receipt.kid);
        let key = key.ok_or_else(|| ReceiptFault::UnknownKey(receipt.kid.chars().take(64).collect()))?;
        let kid = || key.kid.clone();
        if !receipt.is_signed_by(key) {
            return Err(ReceiptFault::Signature);
        }
        if let Some(at) = key
            .revoked_at
            .filter(|at| now >= *at || receipt.decided_at >= *at)
        {
            let reason = key.reason.clone().unwrap_or_default();
            return Err(ReceiptFault::Revoked {
                kid: kid(),
                at,
                reason,
            });
        }
        if !key.purposes.contains(&Purpose::Settle) {
            return Err(ReceiptFault::Purpose(kid()));
        }
        if key.deployment != receipt.deployment {
            return Err(ReceiptFault::Deployment {
                kid: kid(),
                trusted: key.deployment.clone(),
                named: receipt.deployment.clone(),
            });
        }
        let decided_at = receipt.decided_at;
        if key.not_before.is_some_and(|from| decided_at < from) {
            return Err(ReceiptFault::NotYetValid {
                kid: kid(),
                decided_at,
            });
        }
        if key.not_after.is_some_and(|until| decided_at > until) {
            return Err(ReceiptFault::Expired {
                kid: kid(),
                decided_at,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;

    use super::*;
    use crate::receipt::tests::receipt;
    use crate::receipt::{SigningKey, TrustedKey};

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    pub(in super::super) fn now() -> Timestamp {
        time("2026-11-25T00:00:00Z")
    }

    /// A trust file with one key, changed, and a receipt of that key.
    pub(in super::super) fn signed(change: impl FnOnce(&mut TrustedKey)) -> (TrustFile, Receipt, SigningKey) {
        let key = SigningKey::generate();
        let mut trusted = TrustedKey::new(&key, "main", time("2026-11-01T00:00:00Z"));
        change(&mut trusted);
        let mut file = TrustFile::default();
        file.add(trusted);
        (file, receipt().sign(&key), key)
    }

    fn fault(change: impl FnOnce(&mut TrustedKey)) -> &'static str {
        let (file, receipt, _) = signed(change);
        match file.check(&receipt, now()) {
            Ok(()) => "believed",
            Err(fault) => fault.as_str(),
        }
    }

    #[test]
    fn a_receipt_of_a_valid_key_is_believed() {
        assert_eq!(fault(|_| ()), "believed");
    }

    #[test]
    fn a_key_says_from_when_to_when_and_for_what_it_counts() {
        assert_eq!(
            fault(|key| key.not_before = Some(now())),
            "receipt-key-not-yet-valid"
        );
        let before = Some(time("2026-11-24T08:59:59Z"));
        assert_eq!(fault(|key| key.not_after = before), "receipt-key-expired");
        assert_eq!(
            fault(|key| key.purposes = vec![Purpose::Preview]),
            "receipt-key-purpose"
        );
        assert_eq!(
            fault(|key| key.deployment = "staging".to_owned()),
            "receipt-deployment"
        );
    }

    #[test]
    fn an_expired_key_still_counts_for_what_it_signed_before_and_a_revoked_one_does_not() {
        let after = Some(time("2026-11-24T10:00:00Z"));
        assert_eq!(fault(|key| key.not_after = after), "believed");
        assert_eq!(fault(|key| key.revoked_at = after), "receipt-key-revoked");
        let tomorrow = Some(time("2026-11-26T00:00:00Z"));
        assert_eq!(fault(|key| key.revoked_at = tomorrow), "believed");
    }

    #[test]
    fn an_altered_receipt_a_preview_and_an_unknown_key_are_not_believed() {
        let (file, receipt, key) = signed(|_| ());
        let altered = Receipt {
            price_cents: Some(99_999),
            ..receipt.clone()
        };
        assert_eq!(file.check(&altered, now()), Err(ReceiptFault::Signature));
        for signature in ["", "x", "c2ln"] {
            let signature = signature.to_owned();
            let unsigned = Receipt {
                signature,
                ..receipt.clone()
            };
            assert_eq!(file.check(&unsigned, now()), Err(ReceiptFault::Signature));
        }
        let preview = Receipt {
            purpose: Purpose::Preview,
            ..receipt.clone()
        };
        assert_eq!(file.check(&preview.sign(&key), now()), Err(ReceiptFault::Preview));
        let stranger = receipt.sign(&SigningKey::generate());
        assert!(matches!(
            file.check(&stranger, now()),
            Err(ReceiptFault::UnknownKey(_))
        ));
    }

    proptest::proptest! {
        #[test]
        fn no_signature_makes_checking_panic(signature: Vec<u8>) {
            let (file, mut receipt, _) = signed(|_| ());
            receipt.signature = BASE64.encode(signature);
            proptest::prop_assert!(file.check(&receipt, now()).is_err());
        }
    }
}
