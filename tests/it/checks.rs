//! Every check in `graders/checks` has a fixture that it accepts and one that it rejects, and gives them the right verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use assay::plan::PlanFolders;

use crate::workbench::Workbench;

#[test]
fn every_check_accepts_a_fixture_and_rejects_another() {
    let repo = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (report, _) = Workbench::new().run_repository();
    let folders = PlanFolders {
        plans: repo.join("graders/plans"),
        checks: repo.join("graders/checks"),
        prompts: repo.join("prompts"),
        kinds: assay::graders::rules(),
    };
    let mut verdicts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for fixture in report["fixtures"].as_array().unwrap() {
        let name = fixture["plan"].as_str().unwrap();
        // A fixture's own plan uses scripts of its own.
        let Ok(plan) = folders.load(name, None) else {
            continue;
        };
        for grader in fixture["graders"].as_array().unwrap() {
            let planned = plan
                .graders
                .iter()
                .find(|planned| planned.name == grader["name"].as_str().unwrap());
            if let Some(file) = planned.and_then(|planned| planned.files.get("script")) {
                let verdict = grader["verdict"].as_str().unwrap().to_owned();
                verdicts.entry(file.name.clone()).or_default().insert(verdict);
            }
        }
    }
    let checks = std::fs::read_dir(repo.join("graders/checks")).unwrap();
    let checks: BTreeSet<_> = checks
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(checks.len() >= 8, "{checks:?}");
    for check in checks {
        let seen = verdicts.remove(&check).unwrap_or_default();
        for needed in ["pass", "fail"] {
            assert!(
                seen.contains(needed),
                "no fixture in which {check} says {needed}: add one to tests/fixtures"
            );
        }
    }
}
