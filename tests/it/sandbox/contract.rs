//! What a check sees, and what it may be made of.

use assay::sandbox::{ErrorKind, File, Limits, ModuleSource, Refusal, Role, SandboxError};

use super::{Bench, call, component};

const MENTIONS_DONE: &str = include_str!("../modules/mentions_done.wat");

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
async fn the_error_of_a_check_is_no_verdict() {
    let ran = Bench::new(1).run("own_error").await.unwrap();
    assert_eq!(ran.answer, Err("params: `keyword` is missing".into()));
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
