//! The child processes: killed, hung, given up, confined.

use std::fs;
use std::time::Duration;

use assay::sandbox::{ErrorKind, Limits, Module, Ran, Sandbox, SandboxConfig, SandboxError};

use super::{Bench, call, children_of, component};

fn kill(id: u32, signal: rustix::process::Signal) {
    let id = rustix::process::Pid::from_raw(id.cast_signed()).unwrap();
    rustix::process::kill_process(id, signal).unwrap();
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
