//! Python and JavaScript checks, through the real runtimes and the real child processes.
//!
//! The runtimes are built by `make runtimes`; where they are missing these tests fail and say so.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod commands;
mod javascript;
mod python;
mod scripts;

use std::path::Path;
use std::time::{Duration, Instant};

use assay::sandbox::{
    Answer, Call, File, Language, Limits, Ran, Role, Sandbox, SandboxConfig, SandboxError, Script,
};
use tokio::sync::OnceCell;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Shared by all test runs: compiling a runtime takes many seconds.
const CACHE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/runtimes-cache");

/// A sandbox with both runtimes compiled.
pub(crate) async fn sandbox() -> Sandbox {
    static COMPILED: OnceCell<()> = OnceCell::const_new();
    let sandbox = Sandbox::new(SandboxConfig {
        program: env!("CARGO_BIN_EXE_assay").into(),
        children: 1,
        runtimes: Path::new(ROOT).join(".assay/runtimes"),
        ..SandboxConfig::new(CACHE.into())
    })
    .unwrap();
    let compile = || async {
        for language in Language::ALL {
            let prepared = sandbox.prepare_runtime(language).await;
            prepared.unwrap_or_else(|error| panic!("{error}"));
        }
    };
    COMPILED.get_or_init(compile).await;
    sandbox
}

/// The default limits, but no guard: a debugger or a busy machine must not decide here.
pub(crate) fn limits(language: Language) -> Limits {
    Limits {
        wall: Duration::from_secs(120),
        ..language.limits()
    }
}

fn call() -> Call {
    Call {
        job_id: "job-1".into(),
        attempt: 2,
        title: "A job".into(),
        prompt: "Do it".into(),
        description: None,
        requirements: Some("well".into()),
        output_text: "nul \0, grüße, \u{1F600}, \u{FFFF}".into(),
        files: vec![
            file("data.csv", Role::Output, Some(b"a,b\n1,2\n".to_vec())),
            file("noise.bin", Role::Output, Some(vec![0xff, 0xfe, 0, 0x80])),
            file("large.bin", Role::Output, None),
            file("brief.txt", Role::Input, Some("für dich".into())),
        ],
        params: r#"{"words": 3, "nested": {"list": [1.5, null, "x"]}}"#.into(),
    }
}

fn file(name: &str, role: Role, content: Option<Vec<u8>>) -> File {
    File {
        name: name.into(),
        content_type: (role == Role::Input).then(|| "text/plain".into()),
        size: content
            .as_ref()
            .map_or(9_000_000_000, |content| content.len() as u64),
        sha256: "ab".repeat(32),
        role,
        content,
    }
}

fn file_name(language: Language) -> &'static str {
    match language {
        Language::Python => "check.py",
        Language::JavaScript => "check.js",
    }
}

async fn run(sandbox: &Sandbox, language: Language, source: &str) -> Result<Ran, SandboxError> {
    run_on(sandbox, language, source, &call()).await
}

async fn run_on(
    sandbox: &Sandbox,
    language: Language,
    source: &str,
    call: &Call,
) -> Result<Ran, SandboxError> {
    let script = Script {
        name: file_name(language).into(),
        source: source.into(),
    };
    sandbox
        .run_script(language, &script, call, &limits(language))
        .await
}

async fn answer(sandbox: &Sandbox, language: Language, source: &str) -> Answer {
    let ran = run(sandbox, language, source).await.unwrap();
    ran.answer.unwrap_or_else(|text| panic!("{text}"))
}

/// How a script ends that gives no verdict.
#[derive(Debug, PartialEq)]
enum End {
    /// The script's own error.
    Failed,
    Malformed,
    Trap,
    Fuel,
    Memory,
}

/// Runs each script, and a good one after it in the same child.
async fn each_ends_as_it_should(language: Language, good: &str, cases: &[(&str, End, &str)]) {
    let sandbox = sandbox().await;
    for (source, end, text) in cases {
        let began = Instant::now();
        let (seen, message) = match run(&sandbox, language, source).await {
            Ok(ran) => match ran.answer {
                Ok(answer) => panic!("{source}\nanswers {answer:?}"),
                Err(text) => (End::Failed, text),
            },
            Err(error @ SandboxError::MalformedAnswer(_)) => (End::Malformed, error.to_string()),
            Err(error @ SandboxError::Trap(_)) => (End::Trap, error.to_string()),
            Err(error @ SandboxError::FuelExhausted { .. }) => (End::Fuel, error.to_string()),
            Err(error @ SandboxError::MemoryRefused { .. }) => (End::Memory, error.to_string()),
            Err(error) => panic!("{source}\n{error}"),
        };
        assert_eq!(&seen, end, "{source}\n{message}");
        assert!(message.contains(text), "{source}\n{message}");
        assert!(began.elapsed() < Duration::from_secs(60), "{source}");
        assert!(answer(&sandbox, language, good).await.pass, "after {source}");
    }
}
