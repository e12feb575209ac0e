//! A key that settlement knows, and from when to when it counts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, VerifyingKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::receipt::{KeyId, Purpose, SigningKey};

/// A key that settlement knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// Its name, which follows from the public half.
    pub kid: KeyId,
    /// The public half: 32 bytes in base64.
    pub public_key: String,
    /// What its receipts may be used for.
    pub purposes: Vec<Purpose>,
    /// The deployment whose decisions it signs.
    pub deployment: String,
    /// Receipts of decisions before are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Receipts of decisions after are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// From then on all its receipts are refused, whenever they say that they were signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// Receipts of today are believed.
    Valid,
    /// Its time has yet to come.
    NotYetValid,
    /// Its time is over; receipts from before still count.
    Expired,
    /// Nothing that it signed counts.
    Revoked,
}

impl KeyState {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::NotYetValid => "not-yet-valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl TrustedKey {
    /// The entry of a new key, valid from `not_before` on.
    pub fn new(key: &SigningKey, deployment: &str, not_before: Timestamp) -> Self {
        Self {
            kid: key.id().clone(),
            public_key: BASE64.encode(key.public_key().as_bytes()),
            purposes: vec![Purpose::Settle],
            deployment: deployment.to_owned(),
            not_before: Some(not_before),
            not_after: None,
            revoked_at: None,
            reason: None,
        }
    }

    /// How it stands at `now`.
    pub fn state(&self, now: Timestamp) -> KeyState {
        if self.revoked_at.is_some_and(|at| now >= at) {
            KeyState::Revoked
        } else if self.not_before.is_some_and(|from| now < from) {
            KeyState::NotYetValid
        } else if self.not_after.is_some_and(|until| now > until) {
            KeyState::Expired
        } else {
            KeyState::Valid
        }
    }

    /// Whether this key has signed `message`; `signature` in base64. Says nothing of times and purposes.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &str) -> bool {
        let signature = BASE64.decode(signature).ok();
        let signature = signature.and_then(|bytes| Signature::from_slice(&bytes).ok());
        match (self.verifying_key(), signature) {
            (Some(key), Some(signature)) => key.verify_strict(message, &signature).is_ok(),
            (None, _) | (_, None) => false,
        }
    }

    /// The public half; `None` if the text is no key, a weak one, or another key's.
    pub(super) fn verifying_key(&self) -> Option<VerifyingKey> {
        let bytes = <[u8; 32]>::try_from(BASE64.decode(&self.public_key).ok()?).ok()?;
        let key = VerifyingKey::from_bytes(&bytes).ok()?;
        (!key.is_weak() && KeyId::of(&bytes) == self.kid).then_some(key)
    }
}
