//! One check through the sandbox, beside the same check called by wasmtime within one process.
//!
//! `cargo bench --profile dev --bench check` shares everything with `cargo test`. Prints medians in
//! microseconds and their ratio. Absolute figures belong to one machine, the ratio travels better.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use assay::sandbox::{Call, Limits, ModuleSource, Sandbox, SandboxConfig};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

const RUNS: usize = 2_000;
const WARM_UP: usize = 200;
const MODULE: &str = include_str!("../tests/it/modules/mentions_done.wat");

mod wit {
    wasmtime::component::bindgen!({ path: "graders/wit/check.wit", world: "check" });
}

fn main() -> Result<(), Box<dyn Error>> {
    // 2 KB of output, as in the other measurements of the project.
    let output = format!("{}done", "some words of output ".repeat(100));
    let (sandboxed, large) = through_the_sandbox(&output)?;
    let bare = within_the_process(&output, RUNS)?;
    let bare_large = within_the_process(&large_text(), RUNS / 20)?;
    for (size, bare, sandboxed) in [("2 KB", bare, sandboxed), ("4 MB", bare_large, large)] {
        let (bare, sandboxed) = (micros(bare), micros(sandboxed));
        println!(
            "{size}: bare wasmtime call {bare:.1} us, through the sandbox {sandboxed:.1} us, ratio {:.2}",
            sandboxed / bare
        );
    }
    Ok(())
}

fn through_the_sandbox(output: &str) -> Result<(Duration, Duration), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let sandbox = Sandbox::new(SandboxConfig {
        program: env!("CARGO_BIN_EXE_assay").into(),
        ..SandboxConfig::new(folder.path().join("cache"))
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async move {
        let module = sandbox.prepare(&ModuleSource::new(MODULE.as_bytes())).await?;
        let limits = Limits::default();
        let mut medians = [Duration::ZERO; 2];
        let texts = [(output.to_owned(), RUNS), (large_text(), RUNS / 20)];
        for (median_of, (text, runs)) in medians.iter_mut().zip(texts) {
            let call = call(&text);
            let mut times = Vec::with_capacity(runs);
            for run in 0..WARM_UP.min(runs) + runs {
                let began = Instant::now();
                let ran = sandbox.run(&module, &call, &limits).await?;
                if run >= WARM_UP.min(runs) {
                    times.push(began.elapsed());
                }
                drop(black_box(ran));
            }
            *median_of = median(times);
        }
        Ok((medians[0], medians[1]))
    })
}

fn within_the_process(output: &str, runs: usize) -> Result<Duration, Box<dyn Error>> {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true);
    config.concurrency_support(false);
    let engine = Engine::new(&config)?;
    let component = Component::from_binary(&engine, &wat::parse_str(MODULE)?)?;
    let check = wit::CheckPre::new(Linker::new(&engine).instantiate_pre(&component)?)?;
    let submission = wit::Submission {
        job_id: "job-1".into(),
        attempt: 1,
        title: "A job".into(),
        prompt: "Do it".into(),
        description: None,
        requirements: None,
        output_text: output.into(),
        files: Vec::new(),
        params: "{}".into(),
    };
    let mut times = Vec::with_capacity(runs);
    for run in 0..WARM_UP.min(runs) + runs {
        let began = Instant::now();
        let mut store = Store::new(&engine, ());
        store.set_fuel(Limits::default().fuel)?;
        store.set_epoch_deadline(u64::MAX / 2);
        let verdict = check
            .instantiate(&mut store)?
            .call_grade(&mut store, &submission)??;
        drop(store);
        if run >= WARM_UP.min(runs) {
            times.push(began.elapsed());
        }
        drop(black_box(verdict));
    }
    Ok(median(times))
}

fn large_text() -> String {
    "x".repeat(4 << 20)
}

fn call(output: &str) -> Call {
    Call {
        job_id: "job-1".into(),
        attempt: 1,
        title: "A job".into(),
        prompt: "Do it".into(),
        description: None,
        requirements: None,
        output_text: output.into(),
        files: Vec::new(),
        params: "{}".into(),
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
