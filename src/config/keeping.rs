//! Where evidence and checkpoints are kept outside the database.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use super::ConfigError;
use super::values::Hidden;
use crate::evidence::store::{StoreSettings, Stores};

const EVIDENCE: &str = "ASSAY_EVIDENCE";
const ANCHOR: &str = "ASSAY_ANCHOR";

/// Options of a store that the environment may give: `ASSAY_STORE_NAME_OPTION`.
const CREDENTIALS: [&str; 3] = ["access_key_id", "secret_access_key", "token"];

/// What is kept outside the database, and where.
#[derive(Debug, Clone, Default)]
pub struct KeepingSettings {
    /// The evidence store: a folder, or `ALIAS:PREFIX`. None: files of hand-ins are not kept.
    pub evidence: Option<String>,
    /// How long evidence is kept; none: for ever.
    pub keep: Option<Duration>,
    /// The anchor of checkpoints: a file, or `ALIAS:PREFIX`. None: unanchored.
    pub anchor: Option<String>,
    /// Buckets by alias.
    pub stores: Stores,
}

/// The table `[evidence]` of the settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EvidenceTable {
    store: Option<String>,
    keep_days: Option<u32>,
}

/// The table `[audit]` of the settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AuditTable {
    anchor: Option<String>,
}

/// A table `[stores.NAME]` of the settings file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoreTable {
    url: String,
    #[serde(default)]
    options: BTreeMap<String, Hidden>,
}

/// Puts the settings together; `variable` reads the environment.
pub(super) fn settings(
    evidence: EvidenceTable,
    audit: AuditTable,
    stores: BTreeMap<String, StoreTable>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<KeepingSettings, ConfigError> {
    if evidence.keep_days == Some(0) {
        return Err(ConfigError::Setting {
            key: "evidence.keep_days",
            message: "must be above zero; to keep nothing, set no evidence.store".to_owned(),
        });
    }
    let stores = stores.into_iter().map(|(name, table)| {
        let mut options: BTreeMap<_, _> = table
            .options
            .into_iter()
            .map(|(option, Hidden(value))| (option, value))
            .collect();
        for option in CREDENTIALS {
            let named = format!("ASSAY_STORE_{name}_{option}")
                .to_uppercase()
                .replace('-', "_");
            if let Some(value) = variable(&named) {
                options.insert(option.to_owned(), SecretString::from(value));
            }
        }
        let settings = StoreSettings {
            url: table.url,
            options,
        };
        (name, settings)
    });
    Ok(KeepingSettings {
        stores: stores.collect(),
        evidence: variable(EVIDENCE).or(evidence.store),
        keep: evidence
            .keep_days
            .map(|days| Duration::from_secs(u64::from(days) * 86_400)),
        anchor: variable(ANCHOR).or(audit.anchor),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;

    #[test]
    fn stores_anchor_and_retention_are_read_and_no_credential_is_shown() {
        let config = load(
            "[evidence]\nstore = \"cold:evidence\"\nkeep_days = 400\n[audit]\nanchor = \"/mnt/anchor.jsonl\"\n\
             [stores.cold]\nurl = \"s3://bucket/assay\"\noptions = { region = \"eu-1\", secret_access_key = \"canary\" }\n",
        )
        .unwrap();
        let keeping = &config.keeping;
        assert_eq!(keeping.evidence.as_deref(), Some("cold:evidence"));
        assert_eq!(keeping.keep.unwrap().as_secs(), 400 * 86_400);
        assert_eq!(keeping.anchor.as_deref(), Some("/mnt/anchor.jsonl"));
        assert_eq!(keeping.stores["cold"].url, "s3://bucket/assay");
        assert!(!format!("{keeping:?}").contains("canary"));
    }

    #[test]
    fn nothing_set_keeps_nothing_and_a_slip_is_named() {
        let keeping = load("").unwrap().keeping;
        assert!(keeping.evidence.is_none() && keeping.anchor.is_none() && keeping.keep.is_none());
        let error = load("[evidence]\nkeep_days = 0\n").unwrap_err();
        insta::assert_snapshot!(error, @"evidence.keep_days: must be above zero; to keep nothing, set no evidence.store");
        assert!(
            load("[evidence]\nkeep = 3\n")
                .unwrap_err()
                .contains("unknown field `keep`")
        );
    }
}
