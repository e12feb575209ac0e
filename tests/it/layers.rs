//! Arrows point down only, and each driver crate is known to one place (DESIGN.md sections 6 and 8).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = walkdir::WalkDir::new(&root).into_iter().map(Result::unwrap);
    let files = files.filter(|entry| {
        entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "rs")
    });
    files
        .map(|entry| {
            let name = entry.path().strip_prefix(&root).unwrap().display().to_string();
            (name, std::fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn a_driver_crate_is_used_in_one_place_only() {
    let homes = [
        ("sqlx", "journal/"),
        ("lapin", "queue/"),
        ("wasmtime", "sandbox/"),
        ("async_openai", "graders/rubric/live/"),
        ("clap", "cli/"),
        ("object_store", "evidence/"),
    ];
    for (name, text) in sources() {
        for (driver, home) in homes {
            let uses = text.lines().any(|line| {
                let code = line.split("//").next().unwrap_or_default();
                code.contains(&format!("{driver}::"))
            });
            // The flags that every command takes are settings as well.
            let allowed = name.starts_with(home) || (driver == "clap" && name == "config/mod.rs");
            assert!(!uses || allowed, "{name} uses {driver}");
        }
    }
}

#[test]
fn only_attacks_weaken_a_rubric() {
    for (name, text) in sources() {
        let weakens =
            text.contains("weakened(") || text.contains("Defences::NONE") || text.contains("texts_last(");
        let may = name.starts_with("attack/") || name.starts_with("graders/rubric/");
        assert!(
            !weakens || may,
            "{name} weakens a rubric: its verdicts would count"
        );
        let sets = text.contains(".defences = ");
        assert!(
            !sets || name == "graders/rubric/defences.rs",
            "{name} sets the defences of a rubric"
        );
    }
}

#[test]
fn nothing_imports_what_lies_above_it() {
    // From the bottom up; what is on one line may know each other.
    let layers: &[&[&str]] = &[
        &["causes", "digest", "job", "tls", "trace_context"],
        &["secrets", "entry", "submission", "verdict", "clock"],
        &[
            "plan",
            "log",
            "sandbox",
            "evidence",
            "outcome",
            "receipt",
            "checkpoint",
            "message",
            "metrics",
            "model_call",
            "pacing",
        ],
        &["graders", "journal", "queue", "health"],
        &["verify", "settle", "audit", "keeping"],
        &["report", "config", "shutdown", "telemetry"],
        &["desk", "reverify", "schema", "worker"],
        &["attack", "calibrate"],
        &["cli"],
    ];
    let level = |module: &str| layers.iter().position(|layer| layer.contains(&module));
    for (name, text) in sources() {
        let module = name.split('/').next().unwrap().trim_end_matches(".rs");
        let Some(own) = level(module) else {
            assert!(
                ["main", "lib"].contains(&module),
                "{module} has no place in the layers"
            );
            continue;
        };
        for line in text.lines() {
            let code = line.split("//").next().unwrap();
            for used in code.split("crate::").skip(1) {
                let used: String = used
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                let used_level =
                    level(&used).unwrap_or_else(|| panic!("{name}: `{used}` has no place in the layers"));
                assert!(used_level <= own, "{name} uses {used}, which lies above it");
            }
        }
    }
}
