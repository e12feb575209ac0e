//! What settlement goes by: the table `[settle]` of the settings file.

use serde::Deserialize;

/// Basis points of a whole.
pub(super) const WHOLE: u32 = 10_000;

/// Settings of settlement.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SettleSettings {
    /// Payments of jobs with a price above, in cents, wait for `assay settle approve`; none where it is not set.
    pub hold_above_cents: Option<i64>,
    /// Most cents that are paid within a sliding hour, by all settlers together; what is above waits for room.
    pub max_paid_per_hour_cents: Option<i64>,
    /// The platform's share of the price in basis points, rounded down to a cent.
    pub fee_basis_points: u32,
    /// The user who takes the fee.
    pub platform_user: Option<String>,
    /// Attempts that a job has; after the last it fails and the sender is refunded.
    pub max_attempts: u32,
    /// The deployment whose decisions are applied; the pool's own.
    #[serde(skip)]
    pub deployment: String,
}

impl Default for SettleSettings {
    fn default() -> Self {
        Self {
            hold_above_cents: None,
            max_paid_per_hour_cents: None,
            fee_basis_points: 0,
            platform_user: None,
            max_attempts: 3,
            deployment: "default".to_owned(),
        }
    }
}

/// The settings contradict themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct SettingsError {
    /// The key with its table.
    pub key: &'static str,
    /// What is wrong.
    pub message: &'static str,
}

impl SettleSettings {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Names the first key that cannot be used.
    pub fn check(&self) -> Result<(), SettingsError> {
        let wrong = |key, message| Err(SettingsError { key, message });
        if self.fee_basis_points > WHOLE {
            return wrong(
                "settle.fee_basis_points",
                "more than 10000 is more than the whole price",
            );
        }
        if self.fee_basis_points > 0 && self.platform_user.is_none() {
            return wrong("settle.platform_user", "a fee needs a user who takes it");
        }
        if self.max_attempts == 0 {
            return wrong("settle.max_attempts", "a job has at least one attempt");
        }
        if self.hold_above_cents.is_some_and(|cents| cents < 0) {
            return wrong("settle.hold_above_cents", "expected zero or more cents");
        }
        if self.max_paid_per_hour_cents.is_some_and(|cents| cents < 0) {
            return wrong("settle.max_paid_per_hour_cents", "expected zero or more cents");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fee_needs_somebody_who_takes_it() {
        let settings: SettleSettings = toml::from_str("fee_basis_points = 250").unwrap();
        insta::assert_snapshot!(settings.check().unwrap_err(), @"settle.platform_user: a fee needs a user who takes it");
        let settings: SettleSettings = toml::from_str("fee_basis_points = 250\nplatform_user = 'p'").unwrap();
        assert_eq!(settings.check(), Ok(()));
    }

    #[test]
    fn what_is_not_set_holds_nothing_back_and_takes_no_fee() {
        let settings: SettleSettings = toml::from_str("").unwrap();
        assert_eq!(settings, SettleSettings::default());
        assert_eq!((settings.check(), settings.max_attempts), (Ok(()), 3));
    }
}
