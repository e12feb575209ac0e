//! A Python and a JavaScript check through the sandbox, beside starting `python3` and `node` with the same text.
//!
//! `cargo bench --profile dev --bench scripts`, after `make runtimes`. Prints medians in milliseconds and their ratio:
//! of the whole way of a call, child process and pipes included. Both sides read the submission as JSON or as typed values
//! and print or return a verdict. Absolute figures belong to one machine, ratios travel better.

use std::error::Error;
use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use assay::sandbox::{Call, Language, Sandbox, SandboxConfig, Script};

const RUNS: usize = 200;
const STARTS: usize = 40;
const WARM_UP: usize = 20;

/// The floor: what every Python check costs.
const LEAST_PYTHON: &str = r#"
import json

def check(submission):
    return submission.text.startswith("12345")
"#;

const PYTHON: &str = r#"
import csv, io, json, re

def check(submission):
    rows = list(csv.reader(io.StringIO(submission.text)))
    wanted = json.loads('{"columns": 4}')
    mails = sum(bool(re.fullmatch(r"[\w.]+@[\w.]+", row[2])) for row in rows)
    return {"pass": all(len(row) == wanted["columns"] for row in rows), "score": mails / len(rows)}
"#;

/// What makes a program of its own of the same text.
const PYTHON_ALONE: &str = r#"
import sys, types
print(json.dumps(check(types.SimpleNamespace(text=sys.stdin.read()))))
"#;

const JAVASCRIPT: &str = r#"
function check(submission) {
  const rows = submission.text.trimEnd().split("\n").map((line) => line.split(","));
  const wanted = JSON.parse('{"columns": 4}');
  const mails = rows.filter((row) => /^[\w.]+@[\w.]+$/.test(row[2])).length;
  return { pass: rows.every((row) => row.length === wanted.columns), score: mails / rows.length };
}
"#;

const JAVASCRIPT_ALONE: &str = r#"
console.log(JSON.stringify(check({ text: require("node:fs").readFileSync(0, "utf8") })));
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    // 2 KB, as in the other measurements of the project.
    let text = "12345,some words,someone@example.com,0.125\n".repeat(48);
    let input = folder.path().join("text");
    std::fs::write(&input, &text)?;
    let sandbox = Sandbox::new(SandboxConfig {
        program: env!("CARGO_BIN_EXE_assay").into(),
        runtimes: concat!(env!("CARGO_MANIFEST_DIR"), "/.assay/runtimes").into(),
        ..SandboxConfig::new(folder.path().join("cache"))
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // The interpreters themselves: what is called python3 may be a script that looks for one.
    let python = first_line("python3", &["-c", "import sys; print(sys.executable)"])?;
    let node = first_line("node", &["-p", "process.execPath"])?;
    let cases = [
        (Language::Python, LEAST_PYTHON, PYTHON_ALONE, &python, "least.py"),
        (Language::Python, PYTHON, PYTHON_ALONE, &python, "check.py"),
        (
            Language::JavaScript,
            JAVASCRIPT,
            JAVASCRIPT_ALONE,
            &node,
            "check.js",
        ),
    ];
    for (language, source, alone, program, name) in cases {
        let file = folder.path().join(name);
        std::fs::write(&file, format!("{source}{alone}"))?;
        let script = Script {
            name: name.into(),
            source: source.into(),
        };
        let sandboxed = runtime.block_on(through_the_sandbox(&sandbox, language, &script, &text))?;
        let mut times = Vec::with_capacity(STARTS);
        for _ in 0..STARTS {
            let began = Instant::now();
            let output = Command::new(program)
                .arg(&file)
                .stdin(Stdio::from(std::fs::File::open(&input)?))
                .output()?;
            times.push(began.elapsed());
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into());
            }
        }
        let (started, sandboxed) = (millis(median(times)), millis(sandboxed));
        println!(
            "{language}, {name}: starting its interpreter {started:.1} ms, through the sandbox {sandboxed:.2} ms, {:.0} times faster",
            started / sandboxed
        );
    }
    Ok(())
}

fn first_line(program: &str, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
    let output = Command::new(program).args(arguments).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

async fn through_the_sandbox(
    sandbox: &Sandbox,
    language: Language,
    script: &Script,
    text: &str,
) -> Result<Duration, Box<dyn Error>> {
    let call = Call {
        job_id: "job-1".into(),
        attempt: 1,
        title: "A job".into(),
        prompt: "Do it".into(),
        description: None,
        requirements: None,
        output_text: text.into(),
        files: Vec::new(),
        params: "{}".into(),
    };
    let limits = language.limits();
    let mut times = Vec::with_capacity(RUNS);
    for run in 0..WARM_UP + RUNS {
        let began = Instant::now();
        let ran = sandbox.run_script(language, script, &call, &limits).await?;
        if run >= WARM_UP {
            times.push(began.elapsed());
        }
        drop(black_box(ran.answer?));
    }
    Ok(median(times))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
