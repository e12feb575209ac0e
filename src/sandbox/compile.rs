//! Compiles one module in a child process of its own: compilers can be made to take long or to fall over,
//! and that must not happen to the worker.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::{Component as ComponentTypes, ComponentItem};

use super::confine::{Allowance, confine};
use super::contract::{GradeParams, GradeResults, RunParams, RunResults, cut};
use super::engine::engine;
use super::modules::{MODULE_BYTES, ModuleSource};
use super::protocol::{HEADER, MESSAGE_BYTES, body_length, decode, encode};
use super::{Refusal, SandboxError};

/// Function that a check exports.
pub(super) const GRADE: &str = "grade";
/// Function that a script runtime exports.
pub(super) const RUN: &str = "run";

/// First argument of a process that is such a child.
pub(super) const SUBCOMMAND: &str = "sandbox-compile";

/// Private writable memory of the compiler in bytes. An interpreter of 20 MB needs well below half.
const MEMORY: u64 = 2 << 30;
/// Processor time for a module that holds an interpreter: one of 12 MB needs 10 s, and 25 s on a busy machine.
const CPU_OF_LARGE: Duration = Duration::from_secs(120);
/// Processor time for any other module.
const CPU: Duration = Duration::from_secs(30);
/// From this size on a module counts as one that holds an interpreter.
const LARGE_BYTES: usize = 4 << 20;
/// Wall clock guard of the compiler, far above its processor time.
const WALL: Duration = Duration::from_secs(300);
/// Most native code that is accepted, in bytes.
const NATIVE_BYTES: usize = 256 << 20;
/// Bytes of the length that comes before the module.
const LENGTH: usize = size_of::<u64>();
/// Stack of the compiler: it recurses over what a stranger has nested.
const STACK: usize = 32 << 20;

/// What the compiler says of a module.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Compilation {
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
    pub(super) time: Duration,
    pub(super) refusal: Option<Refusal>,
    /// Native code, also of a module that is refused for its types.
    pub(super) native: ByteBuf,
}

/// Runs the compiling child.
pub(super) fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The parent reads this; if it is gone, nobody has to.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Processor time for a module of that size.
fn cpu(bytes: usize) -> Duration {
    if bytes < LARGE_BYTES { CPU } else { CPU_OF_LARGE }
}

fn serve() -> io::Result<()> {
    let mut length = [0; LENGTH];
    io::stdin().lock().read_exact(&mut length)?;
    let length = u64::from_be_bytes(length).min(MODULE_BYTES as u64);
    confine(Allowance {
        memory: MEMORY,
        cpu: Some(cpu(usize::try_from(length).unwrap_or(usize::MAX))),
        read: None,
    })?;
    let mut source = Vec::new();
    io::stdin().lock().take(length).read_to_end(&mut source)?;
    // The parent keeps the pipe open while it waits. Its end is the parent's: nobody wants the answer any more.
    std::thread::Builder::new().spawn(|| {
        let _ = io::stdin().lock().read(&mut [0]);
        std::process::exit(1);
    })?;
    let compilation = std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || compile_here(&source))?
        .join()
        .map_err(|_panic| io::Error::other("the compiler panicked"))??;
    let frame = encode(&compilation, NATIVE_BYTES).map_err(io::Error::other)?;
    io::stdout().lock().write_all(&frame)
}

fn compile_here(source: &[u8]) -> io::Result<Compilation> {
    let engine = engine().map_err(|error| io::Error::other(format!("{error:#}")))?;
    let began = Instant::now();
    let mut compilation = match compile_with(&engine, source) {
        Ok(compilation) => compilation,
        Err(refusal) => Compilation {
            refusal: Some(refusal),
            ..Compilation::default()
        },
    };
    compilation.time = began.elapsed();
    Ok(compilation)
}

fn compile_with(engine: &Engine, source: &[u8]) -> Result<Compilation, Refusal> {
    let text_error = |error: wat::Error| Refusal::NotWasm(cut(error.to_string(), MESSAGE_BYTES));
    let binary = wat::parse_bytes(source).map_err(text_error)?;
    // Bytes 4 to 8 are version and layer: core modules are layer 0, components layer 1.
    if binary.get(6..8) == Some(&[0, 0]) {
        return Err(Refusal::CoreModule);
    }
    let invalid = |error: wasmtime::Error| Refusal::Invalid(cut(format!("{error:#}"), MESSAGE_BYTES));
    let component = Component::from_binary(engine, &binary).map_err(invalid)?;
    let types = component.component_type();
    Ok(Compilation {
        imports: imports(engine, &types),
        exports: types.exports(engine).map(|(name, _)| name.to_owned()).collect(),
        time: Duration::ZERO,
        refusal: refusal_of(engine, &types),
        native: ByteBuf::from(component.serialize().map_err(invalid)?),
    })
}

/// Names of what a component imports. Compilers write the types that a world uses as imports as well;
/// nothing comes in through a type, so those do not count.
fn imports(engine: &Engine, types: &ComponentTypes) -> Vec<String> {
    let only_types = |item: &ComponentItem| match item {
        ComponentItem::Type(_) => true,
        ComponentItem::ComponentInstance(instance) => instance
            .exports(engine)
            .all(|(_, export)| matches!(export.ty, ComponentItem::Type(_))),
        ComponentItem::ComponentFunc(_)
        | ComponentItem::CoreFunc(_)
        | ComponentItem::Module(_)
        | ComponentItem::Component(_)
        | ComponentItem::Resource(_) => false,
    };
    let imports = types
        .imports(engine)
        .filter(|(_, import)| !only_types(&import.ty));
    imports.map(|(name, _)| name.to_owned()).collect()
}

/// Why a component with these types is neither a check nor a script runtime, if so.
fn refusal_of(engine: &Engine, types: &ComponentTypes) -> Option<Refusal> {
    let imports = imports(engine, types);
    if !imports.is_empty() {
        return Some(Refusal::Imports(imports));
    }
    let export = |name| match types.get_export(engine, name).map(|export| export.ty) {
        Some(ComponentItem::ComponentFunc(function)) => Some(function),
        _ => None,
    };
    let instance = types.instance_type();
    let checked = if let Some(grade) = export(GRADE) {
        grade.typecheck::<GradeParams<'_>, GradeResults>(&instance)
    } else if let Some(run) = export(RUN) {
        run.typecheck::<RunParams<'_>, RunResults>(&instance)
    } else {
        return Some(Refusal::NoGrade);
    };
    let wrong = |error: wasmtime::Error| Refusal::WrongType(cut(format!("{error:#}"), MESSAGE_BYTES));
    checked.err().map(wrong)
}

/// Compiles a module in a child.
pub(super) async fn compile(program: &Path, source: &ModuleSource) -> Result<Compilation, SandboxError> {
    if let Err(refusal) = source.check_size() {
        return Ok(Compilation {
            refusal: Some(refusal),
            ..Compilation::default()
        });
    }
    let mut child = Command::new(program)
        .arg(SUBCOMMAND)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(SandboxError::Spawn)?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
        return Err(SandboxError::ChildLost("the compiler has no pipes".into()));
    };
    let exchange = async {
        // A compiler that dies early closes the pipe; how it died says more than the failed write.
        let length = (source.bytes().len() as u64).to_be_bytes();
        if stdin.write_all(&length).await.is_ok() {
            let _ = stdin.write_all(source.bytes()).await;
        }
        let mut frame = Vec::new();
        stdout
            .take((HEADER + NATIVE_BYTES) as u64)
            .read_to_end(&mut frame)
            .await?;
        let status = child.wait().await?;
        drop(stdin);
        Ok::<_, io::Error>((frame, status))
    };
    let (frame, status) = tokio::time::timeout(WALL, exchange)
        .await
        .map_err(|_elapsed| SandboxError::ChildLost(format!("the compiler took over {WALL:?}")))?
        .map_err(|error| SandboxError::ChildLost(format!("the compiler: {error}")))?;
    if status.success() {
        return read(&frame);
    }
    match status.signal() {
        Some(libc::SIGXCPU) => Ok(too_costly(format!(
            "over {:?} of processor time",
            cpu(source.bytes().len())
        ))),
        Some(signal @ (libc::SIGABRT | libc::SIGSEGV)) => Ok(too_costly(format!(
            "the compiler ended with signal {signal}, out of its {} MiB of memory or its stack",
            MEMORY >> 20
        ))),
        _ => Err(SandboxError::ChildLost(format!(
            "the compiler ended with {status}"
        ))),
    }
}

fn too_costly(reason: String) -> Compilation {
    Compilation {
        refusal: Some(Refusal::TooCostly(reason)),
        ..Compilation::default()
    }
}

fn read(frame: &[u8]) -> Result<Compilation, SandboxError> {
    let nonsense = || SandboxError::ChildLost("the compiler wrote no frame".into());
    let (header, body) = frame.split_first_chunk().ok_or_else(nonsense)?;
    let length = body_length(*header, NATIVE_BYTES).map_err(|_too_large| nonsense())?;
    let body = body.get(..length).ok_or_else(nonsense)?;
    decode(body).map_err(|_malformed| nonsense())
}
