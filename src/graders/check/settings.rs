//! What a plan says of a check.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::plan::{FileHome, FileNeed, Issue};
use crate::sandbox::Language;

/// Most bytes of attachments that a plan may ask for.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Most fuel that a plan may ask for: above it, the wall-clock guard would strike before the fuel is used up, and a
/// busy machine would see errors where an idle one sees verdicts.
const MOST_FUEL: u64 = 4_000_000_000;

/// The same of scripts: interpreters burn more fuel in the same time.
const MOST_SCRIPT_FUEL: u64 = 10_000_000_000;

/// Most memory that a plan may ask for, in MiB.
const MOST_MEMORY_MIB: u64 = 512;

/// What becomes of a submission on which the check used up its fuel or memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OnExhausted {
    /// A person looks at it: the check may be at fault.
    #[default]
    Park,
    /// The limits are part of the task.
    Fail,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// The script, looked for beside the plan and in `graders/checks`: `.py`, `.js`, `.wat` or `.wasm`.
    pub(super) script: String,
    /// What the script is told by the plan.
    #[serde(default)]
    pub(super) params: serde_json::Map<String, Value>,
    /// Names of attachments whose bytes the check is given; `*` stands for any text.
    #[serde(default)]
    pub(super) attachments: Vec<String>,
    /// Bytes of attachments that the script is given, at most; 8 MiB where it is left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = MOST_BYTES))]
    pub(super) max_bytes: Option<u64>,
    /// Work that the script may do, in units of fuel.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub(super) fuel: Option<u64>,
    /// Memory that the script may have, in MiB.
    #[serde(default)]
    #[schemars(range(min = 1, max = MOST_MEMORY_MIB))]
    pub(super) memory_mib: Option<u64>,
    /// What becomes of a submission on which fuel or memory is used up.
    #[serde(default)]
    pub(super) on_exhausted: OnExhausted,
}

/// Reads the settings of one grader.
pub(super) fn read(value: &Value) -> Result<Settings, Issue> {
    let settings: Settings =
        serde_path_to_error::deserialize(value.clone()).map_err(|error| Issue::from_serde(&error))?;
    let component = settings.script.ends_with(".wat") || settings.script.ends_with(".wasm");
    if !component && Language::of(&settings.script).is_none() {
        return Err(Issue::new(
            "script",
            format!("`{}` is no .py, .js, .wat or .wasm file", settings.script),
        ));
    }
    let most_fuel = if component { MOST_FUEL } else { MOST_SCRIPT_FUEL };
    let bounded = [
        ("max_bytes", settings.max_bytes, MOST_BYTES),
        ("fuel", settings.fuel, most_fuel),
        ("memory_mib", settings.memory_mib, MOST_MEMORY_MIB),
    ];
    for (key, asked, most) in bounded {
        if asked.is_some_and(|asked| asked == 0 || asked > most) {
            return Err(Issue::new(key, format!("must be from 1 to {most}")));
        }
    }
    Ok(settings)
}

/// Checks them, and says which files they need.
pub(super) fn check(value: &Value) -> Result<Vec<FileNeed>, Issue> {
    let script = read(value)?.script;
    Ok(vec![FileNeed {
        key: "script",
        name: script,
        home: FileHome::Checks,
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(settings: Value) -> String {
        let issue = check(&settings).unwrap_err();
        format!("{}: {}", issue.key, issue.message)
    }

    #[test]
    fn wrong_settings_are_named_by_their_key() {
        use serde_json::json;
        assert_eq!(issue(json!({})), ": missing field `script`");
        assert_eq!(
            issue(json!({"script": "x.exe"})),
            "script: `x.exe` is no .py, .js, .wat or .wasm file"
        );
        assert_eq!(
            issue(json!({"script": "a.wat", "fuel": 5_000_000_000_u64})),
            "fuel: must be from 1 to 4000000000"
        );
        assert_eq!(
            issue(json!({"script": "a.wat", "memory_mib": 0})),
            "memory_mib: must be from 1 to 512"
        );
        assert!(issue(json!({"script": "a.wat", "fule": 1})).contains("unknown field `fule`"));
    }
}
