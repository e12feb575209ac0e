//! What a check may use up, and what becomes of one that wants more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assay::sandbox::{ErrorKind, Limits, Resource, SandboxError};

use super::{Bench, call, children_of, component};

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
