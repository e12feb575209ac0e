//! The sandbox, through its real child processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assay::sandbox::{
    Call, ErrorKind, File, Limits, Module, ModuleSource, Ran, Refusal, Resource, Role, Sandbox,
    SandboxConfig, SandboxError,
};

const CONTRACT: &str = include_str!("modules/contract.wat");
const MENTIONS_DONE: &str = include_str!("modules/mentions_done.wat");

struct Bench {
    sandbox: Sandbox,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(children: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            sandbox: sandbox(folder.path(), children),
            folder,
        }
    }

    async fn run(&self, module: &str) -> Result<Ran, SandboxError> {
        self.run_with(module, &Limits::default()).await
    }

    async fn run_with(&self, module: &str, limits: &Limits) -> Result<Ran, SandboxError> {
        let module = self.sandbox.prepare(&component(module)).await?;
        self.sandbox.run(&module, &call("some text"), limits).await
    }

    fn native_files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder.path().join("cache")).unwrap();
        let files = files.map(|file| file.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|extension| extension == "cwasm"))
            .collect()
    }
}

fn sandbox(folder: &Path, children: usize) -> Sandbox {
    Sandbox::new(SandboxConfig {
        program: env!("CARGO_BIN_EXE_assay").into(),
        children,
        grace: Duration::from_secs(20),
        ..SandboxConfig::new(folder.join("cache"))
    })
    .unwrap()
}

/// The core module `tests/it/modules/NAME.wat` as a component.
fn component(name: &str) -> ModuleSource {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/modules/{name}.wat"));
    let core = fs::read_to_string(path).unwrap();
    let body = &core[core.find("(module").unwrap() + "(module".len()..core.rfind(')').unwrap()];
    ModuleSource::new(CONTRACT.replace("CORE", body).into_bytes())
}

fn call(output_text: &str) -> Call {
    Call {
        job_id: "job-1".into(),
        attempt: 1,
        title: "A job".into(),
        prompt: "Do it".into(),
        description: None,
        requirements: Some("well".into()),
        output_text: output_text.into(),
        files: Vec::new(),
        params: "{}".into(),
    }
}

/// Processes that this test process has started and that still run.
fn children() -> Vec<u32> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .map(|id| id.parse().unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The children whose command line names this cache.
fn children_of(bench: &Bench) -> Vec<u32> {
    let cache = bench.folder.path().join("cache").display().to_string();
    let names_it = |id: &u32| {
        fs::read(format!("/proc/{id}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&cache))
    };
    children().into_iter().filter(names_it).collect()
}

fn kill(id: u32, signal: rustix::process::Signal) {
    let id = rustix::process::Pid::from_raw(id.cast_signed()).unwrap();
    rustix::process::kill_process(id, signal).unwrap();
}

#[tokio::test]
async fn a_check_in_text_form_sees_the_output_text() {
    let bench = Bench::new(1);
    let module = bench
        .sandbox
        .prepare(&ModuleSource::new(MENTIONS_DONE.as_bytes()))
        .await
        .unwrap();
    let ran = bench
        .sandbox
        .run(&module, &call("it is done"), &Limits::default())
        .await
        .unwrap();
    let answer = ran.answer.clone().unwrap();
    assert_eq!((answer.pass, answer.score), (true, 1.0));
    assert_eq!(answer.reason, "the output says that it is done");
    assert!(ran.fuel_used > 0 && ran.peak_memory_bytes == 65536, "{ran:?}");
    assert_eq!(ran.module, module.digest());
    let ran = bench
        .sandbox
        .run(&module, &call("not yet"), &Limits::default())
        .await
        .unwrap();
    assert!(!ran.answer.unwrap().pass);
}

/// What `wasmtime` makes of `graders/wit/check.wit` itself.
mod wit {
    wasmtime::component::bindgen!({ path: "graders/wit/check.wit", world: "check" });
}

#[test]
fn the_test_modules_have_the_types_of_the_contract() {
    let engine = wasmtime::Engine::default();
    let passes = component("passes");
    for text in [MENTIONS_DONE.as_bytes(), passes.bytes()] {
        let binary = wat::parse_bytes(text).unwrap();
        let component = wasmtime::component::Component::from_binary(&engine, &binary).unwrap();
        let linker = wasmtime::component::Linker::new(&engine);
        let mut store = wasmtime::Store::new(&engine, ());
        let check = wit::Check::instantiate(&mut store, &component, &linker).unwrap();
        let submission = wit::Submission {
            job_id: String::new(),
            attempt: 1,
            title: String::new(),
            prompt: String::new(),
            description: None,
            requirements: None,
            output_text: "done".into(),
            files: Vec::new(),
            params: "{}".into(),
        };
        assert!(check.call_grade(&mut store, &submission).unwrap().unwrap().pass);
    }
}

#[tokio::test]
async fn an_attachment_of_8_mib_arrives() {
    let bench = Bench::new(1);
    let module = bench.sandbox.prepare(&component("echoes_output")).await.unwrap();
    let mut call = call("grüße");
    call.files = vec![File {
        name: "big.bin".into(),
        content_type: Some("application/octet-stream".into()),
        size: 8 << 20,
        sha256: "00".repeat(32),
        role: Role::Output,
        content: Some(vec![7; 8 << 20]),
    }];
    let ran = bench
        .sandbox
        .run(&module, &call, &Limits::default())
        .await
        .unwrap();
    assert_eq!(ran.answer.unwrap().reason, "grüße");
    assert!(ran.peak_memory_bytes > 8 << 20);
}

#[tokio::test]
async fn each_hostile_module_gets_its_own_error_and_harms_nobody() {
    use ErrorKind::{Exhausted, Permanent};
    let cases = [
        (
            "spins",
            Exhausted,
            "the check used up its 1000000000 units of fuel",
        ),
        (
            "memory_bomb",
            Exhausted,
            "the check asked for 67174400 bytes of memory, its limit is 67108864",
        ),
        (
            "memory_leap",
            Exhausted,
            "the check asked for 4294967296 bytes of memory, its limit is 67108864",
        ),
        (
            "large_from_the_start",
            Exhausted,
            "the check asked for 131072000 bytes of memory",
        ),
        ("table_bomb", Exhausted, "table elements, its limit is 100000"),
        (
            "recurses",
            Permanent,
            "the check trapped: wasm trap: call stack exhausted",
        ),
        (
            "unreachable",
            Permanent,
            "the check trapped: wasm trap: wasm `unreachable` instruction executed",
        ),
        (
            "out_of_bounds",
            Permanent,
            "the check trapped: wasm trap: out of bounds memory access",
        ),
        ("long_reason", Permanent, "malformed answer: too much data"),
        ("many_notes", Permanent, "malformed answer: too much data"),
        ("wild_reason", Permanent, "malformed answer"),
        ("bad_utf8", Permanent, "malformed answer: invalid utf-8"),
        (
            "nan_score",
            Permanent,
            "malformed answer: the score must be from 0 to 1, the check said NaN",
        ),
        (
            "high_score",
            Permanent,
            "malformed answer: the score must be from 0 to 1, the check said 1.5",
        ),
    ];
    let bench = Bench::new(1);
    bench.run("passes").await.unwrap();
    let child = children_of(&bench);
    // The default limits, but no guard: a debugger or a busy machine must not decide here.
    let limits = Limits {
        wall: Duration::from_secs(120),
        ..Limits::default()
    };
    for (module, kind, text) in cases {
        let error = bench.run_with(module, &limits).await.expect_err(module);
        assert_eq!(error.kind(), kind, "{module}: {error}");
        assert!(error.to_string().contains(text), "{module}: {error}");
        let ran = bench
            .run("passes")
            .await
            .unwrap_or_else(|error| panic!("after {module}: {error}"));
        assert!(ran.answer.unwrap().pass);
    }
    assert_eq!(children_of(&bench), child, "one child has survived them all");
}

#[tokio::test]
async fn growth_above_a_modules_own_maximum_is_the_modules_business() {
    let ran = Bench::new(1).run("own_maximum").await.unwrap();
    assert!(ran.answer.unwrap().pass);
}

#[tokio::test]
async fn the_error_of_a_check_is_no_verdict() {
    let ran = Bench::new(1).run("own_error").await.unwrap();
    assert_eq!(ran.answer, Err("params: `keyword` is missing".into()));
}

#[tokio::test]
async fn more_fuel_than_the_wall_guard_has_time_for_is_our_own_trouble() {
    let bench = Bench::new(1);
    let limits = Limits {
        fuel: Limits::MOST.fuel,
        wall: Duration::from_millis(200),
        ..Limits::default()
    };
    let error = bench.run_with("spins", &limits).await.unwrap_err();
    assert!(matches!(error, SandboxError::WallGuard { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Transient);
    bench.run("passes").await.unwrap();
}

#[tokio::test]
async fn modules_that_are_no_checks_are_refused_with_the_reason() {
    let passes = wat::parse_bytes(component("passes").bytes())
        .unwrap()
        .into_owned();
    let inside = |core: &str| format!("(component (core module {core}))").into_bytes();
    let passes_text = String::from_utf8(component("passes").bytes().to_vec()).unwrap();
    let wrong_type = passes_text
        .replace("\"attempt\" u32", "\"attempt\" s32")
        .into_bytes();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "truncated",
            passes[..passes.len() / 2].to_vec(),
            "not a valid component",
        ),
        ("empty", Vec::new(), "not a"),
        ("noise", vec![0xff; 100], "not readable as wasm text"),
        (
            "prose",
            b"def grade(): pass".to_vec(),
            "not readable as wasm text",
        ),
        (
            "core module",
            wat::parse_str("(module)").unwrap(),
            "a core wasm module, not a component",
        ),
        (
            "function import",
            b"(component (import \"now\" (func (result u64))))".to_vec(),
            "imports now",
        ),
        (
            "interface import",
            b"(component (import \"wasi:cli/exit@0.2.0\" (instance (export \"exit\" (func)))))".to_vec(),
            "a check may import nothing, this one imports wasi:cli/exit@0.2.0",
        ),
        (
            "resource import",
            b"(component (import \"secret\" (type (sub resource))))".to_vec(),
            "imports secret",
        ),
        (
            "no grade",
            b"(component)".to_vec(),
            "no exported function `grade`",
        ),
        ("wrong type", wrong_type, "another type"),
        ("memory64", inside("(memory i64 1)"), "memory64"),
        ("threads", inside("(memory 1 1 shared)"), "threads"),
        ("gc", inside("(type (struct))"), "gc"),
        ("exceptions", inside("(tag)"), "exceptions"),
        ("multi-memory", inside("(memory 1) (memory 1)"), "multi"),
        ("tail calls", inside("(func return_call 0)"), "tail calls"),
        (
            "too large",
            vec![0; (32 << 20) + 1],
            "at most 33554432 are accepted",
        ),
    ];
    let bench = Bench::new(1);
    for (name, bytes, text) in cases {
        let source = ModuleSource::new(bytes);
        let error = bench.sandbox.prepare(&source).await.expect_err(name);
        assert!(matches!(error, SandboxError::Refused(_)), "{name}: {error}");
        assert_eq!(error.kind(), ErrorKind::Permanent);
        assert!(error.to_string().contains(text), "{name}: {error}");
        let again = bench.sandbox.prepare(&source).await.expect_err(name);
        assert_eq!(again.to_string(), error.to_string());
    }
    bench.run("passes").await.unwrap();
}

#[tokio::test]
async fn inspection_tells_of_a_refused_module_what_it_imports() {
    let bench = Bench::new(1);
    let source =
        ModuleSource::new(&b"(component (import \"a:b/c@1.0.0\" (instance (export \"f\" (func)))))"[..]);
    let inspection = bench.sandbox.inspect(&source).await.unwrap();
    assert_eq!(inspection.imports, ["a:b/c@1.0.0"]);
    assert_eq!(
        inspection.refused,
        Some(Refusal::Imports(inspection.imports.clone()))
    );

    let source = component("passes");
    let first = bench.sandbox.inspect(&source).await.unwrap();
    let second = bench.sandbox.inspect(&source).await.unwrap();
    assert!((first.cached, second.cached) == (false, true) && first.refused.is_none());
    assert!(first.exports.contains(&"grade".to_owned()) && second.exports == first.exports);
    assert!(first.native_bytes > 0 && second.native_bytes == first.native_bytes);
}

#[tokio::test]
async fn damaged_native_code_is_compiled_again_and_never_loaded() {
    let bench = Bench::new(1);
    bench.run("passes").await.unwrap();
    let [native] = &bench.native_files()[..] else {
        panic!("one file")
    };
    let good = fs::read(native).unwrap();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for damaged in [&flipped[..], &good[..100], b""] {
        // Before a process has seen it, and behind the back of one that has.
        fs::write(native, damaged).unwrap();
        let other = sandbox(bench.folder.path(), 1);
        let module = other.prepare(&component("passes")).await.unwrap();
        assert_eq!(fs::read(native).unwrap(), good);
        fs::write(native, damaged).unwrap();
        other.run(&module, &call(""), &Limits::default()).await.unwrap();
        assert_eq!(fs::read(native).unwrap(), good);
    }
    fs::remove_file(native).unwrap();
    let other = sandbox(bench.folder.path(), 1);
    let module = other.prepare(&component("passes")).await.unwrap();
    other.run(&module, &call(""), &Limits::default()).await.unwrap();
}

#[tokio::test]
async fn two_sandboxes_may_fill_one_cache_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (sandbox(folder.path(), 1), sandbox(folder.path(), 1));
    let source = component("passes");
    let (first, second) = tokio::join!(one.prepare(&source), other.prepare(&source));
    for (sandbox, module) in [(one, first.unwrap()), (other, second.unwrap())] {
        assert!(
            sandbox
                .run(&module, &call(""), &Limits::default())
                .await
                .unwrap()
                .answer
                .unwrap()
                .pass
        );
    }
}

/// A call that is still running: its child, and the task that waits for it.
async fn running(
    bench: &Bench,
    module: &Module,
) -> (u32, tokio::task::JoinHandle<Result<Ran, SandboxError>>) {
    bench.sandbox.confinement().await.unwrap();
    let [child] = children_of(bench)[..] else {
        panic!("one child")
    };
    let (sandbox, module) = (bench.sandbox.clone(), module.clone());
    let limits = Limits {
        fuel: Limits::MOST.fuel,
        wall: Duration::from_secs(60),
        ..Limits::default()
    };
    let task = tokio::spawn(async move { sandbox.run(&module, &call("first"), &limits).await });
    // Running once it uses the processor: field 14 of `stat`, in hundredths of a second.
    let busy = || {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap();
        stat.rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .nth(11)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let before = busy();
    while busy() < before + 5 {
        tokio::task::yield_now().await;
    }
    (child, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_is_killed_costs_one_transient_error() {
    let bench = Bench::new(1);
    let spins = bench.sandbox.prepare(&component("spins")).await.unwrap();
    let (child, task) = running(&bench, &spins).await;
    kill(child, rustix::process::Signal::KILL);
    let error = task.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(error.to_string().contains("signal: 9"), "{error}");
    bench.run("passes").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_hangs_is_killed_and_replaced() {
    let bench = Bench::new(1);
    let sandbox = Sandbox::new(SandboxConfig {
        program: env!("CARGO_BIN_EXE_assay").into(),
        children: 1,
        grace: Duration::from_millis(100),
        cache_dir: bench.folder.path().join("cache"),
        runtimes: "no-runtimes".into(),
    })
    .unwrap();
    let module = sandbox.prepare(&component("passes")).await.unwrap();
    sandbox.confinement().await.unwrap();
    let [child] = children_of(&bench)[..] else {
        panic!("one child")
    };
    kill(child, rustix::process::Signal::STOP);
    let stopped = |task: fs::DirEntry| {
        fs::read_to_string(task.path().join("status"))
            .unwrap()
            .contains("State:\tT")
    };
    while !fs::read_dir(format!("/proc/{child}/task"))
        .unwrap()
        .all(|task| stopped(task.unwrap()))
    {
        tokio::task::yield_now().await;
    }
    let limits = Limits {
        wall: Duration::from_millis(100),
        ..Limits::default()
    };
    let error = sandbox.run(&module, &call(""), &limits).await.unwrap_err();
    assert!(
        error.to_string().contains("did not answer within 200ms"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Transient);
    bench.run("passes").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_child_that_died_costs_nothing() {
    let bench = Bench::new(1);
    bench.run("passes").await.unwrap();
    let [child] = children_of(&bench)[..] else {
        panic!("one child")
    };
    kill(child, rustix::process::Signal::KILL);
    // Gone when its last thread is: until then the kernel does not tell the parent.
    let status = || fs::read_to_string(format!("/proc/{child}/status"));
    while status().is_ok_and(|status| !(status.contains("State:\tZ") && status.contains("Threads:\t1"))) {
        tokio::task::yield_now().await;
    }
    bench.run("passes").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_given_up_never_answers_the_next_one() {
    let bench = Bench::new(1);
    let spins = bench.sandbox.prepare(&component("spins")).await.unwrap();
    let echoes = bench.sandbox.prepare(&component("echoes_output")).await.unwrap();
    let (child, task) = running(&bench, &spins).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    for text in ["second", "third"] {
        let ran = bench
            .sandbox
            .run(&echoes, &call(text), &Limits::default())
            .await
            .unwrap();
        assert_eq!(ran.answer.unwrap().reason, text);
    }
    // Killed at once, gone when the kernel is done with it.
    while children_of(&bench).contains(&child) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_child_has_no_environment_and_is_confined() {
    let bench = Bench::new(1);
    let own = fs::read("/proc/self/environ").unwrap();
    assert!(!own.is_empty(), "the test has one to hand down");
    let confinement = bench.sandbox.confinement().await.unwrap();
    let [child] = children_of(&bench)[..] else {
        panic!("one child")
    };
    assert_eq!(fs::read(format!("/proc/{child}/environ")).unwrap(), b"");
    let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(
        confinement.contains("seccomp on") == status.contains("Seccomp:\t2"),
        "{confinement}\n{status}"
    );
    let limits = fs::read_to_string(format!("/proc/{child}/limits")).unwrap();
    for (name, value) in [
        ("Max core file size", "0"),
        ("Max file size", "0"),
        ("Max data size", "1073741824"),
    ] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let words: Vec<_> = line[name.len()..].split_whitespace().collect();
        assert_eq!(&words[..2], [value, value], "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_runs_on_a_busy_machine_use_one_amount_of_fuel() {
    let stop = Arc::new(AtomicBool::new(false));
    let spinners: Vec<_> = (0..2)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {})
        })
        .collect();
    let bench = Bench::new(4);
    let module = bench.sandbox.prepare(&component("works")).await.unwrap();
    let lanes = (0..4).map(|_| {
        let (sandbox, module) = (bench.sandbox.clone(), module.clone());
        tokio::spawn(async move {
            let mut seen = Vec::new();
            for _ in 0..250 {
                let ran = sandbox
                    .run(&module, &call("text"), &Limits::default())
                    .await
                    .unwrap();
                seen.push((ran.fuel_used, ran.peak_memory_bytes, ran.answer.unwrap().pass));
            }
            seen
        })
    });
    let mut seen = Vec::new();
    for lane in lanes.collect::<Vec<_>>() {
        seen.extend(lane.await.unwrap());
    }
    stop.store(true, Ordering::Relaxed);
    for spinner in spinners {
        spinner.join().unwrap();
    }
    assert_eq!(seen.len(), 1000);
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].0 > 60_000, "{seen:?}");
}

#[tokio::test]
async fn the_largest_memory_that_may_be_asked_for_can_be_had() {
    let limits = Limits {
        memory_bytes: Limits::MOST.memory_bytes,
        ..Limits::default()
    };
    let error = Bench::new(1).run_with("memory_bomb", &limits).await.unwrap_err();
    assert!(
        matches!(
            error,
            SandboxError::MemoryRefused {
                asked: 536_870_913..,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_program_that_speaks_nonsense_is_lost_and_costs_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        // "sand", which `echo` says first, read as a length.
        (
            "/bin/echo",
            "a frame of 1684955507 bytes, at most 65536 are allowed",
        ),
        (
            "/bin/cat",
            "it closed its pipe (exit status: 1) /bin/cat: sandbox-child: No such file",
        ),
        ("/bin/true", "it closed its pipe (exit status: 0)"),
    ];
    for (program, text) in cases {
        let cache_dir = folder.path().join("cache");
        let config = SandboxConfig {
            program: program.into(),
            ..SandboxConfig::new(cache_dir)
        };
        let error = Sandbox::new(config).unwrap().confinement().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient);
        assert!(error.to_string().contains(text), "{program}: {error}");
    }
}

#[tokio::test]
async fn wrong_limits_and_oversized_calls_are_refused_before_anything_runs() {
    let bench = Bench::new(1);
    let module = bench.sandbox.prepare(&component("passes")).await.unwrap();
    let limits = Limits {
        memory_bytes: u64::MAX,
        ..Limits::default()
    };
    let error = bench.sandbox.run(&module, &call(""), &limits).await.unwrap_err();
    assert!(matches!(error, SandboxError::Limits(_)), "{error}");
    let huge = "x".repeat(65 << 20);
    let error = bench
        .sandbox
        .run(&module, &call(&huge), &Limits::default())
        .await
        .unwrap_err();
    assert!(matches!(error, SandboxError::CallTooLarge { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Permanent);
    bench.run("passes").await.unwrap();
}

#[tokio::test]
async fn a_call_that_does_not_fit_into_the_guests_memory_is_a_memory_refusal() {
    let limits = Limits {
        memory_bytes: 1 << 20,
        ..Limits::default()
    };
    let bench = Bench::new(1);
    let module = bench.sandbox.prepare(&component("passes")).await.unwrap();
    let error = bench
        .sandbox
        .run(&module, &call(&"x".repeat(2 << 20)), &limits)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            SandboxError::MemoryRefused {
                resource: Resource::Memory,
                ..
            }
        ),
        "{error}"
    );
}
