//! Runs checks: WebAssembly components of strangers, in child processes that hold no secret.
//!
//! The sandbox knows wasm and processes, and nothing of jobs, plans or verdicts. Its parts:
//!
//! - `contract`: the types of `graders/wit/` and what an answer must be like.
//! - `pool`: [`Sandbox`], the only way in; children, one call per child at a time. `ran`: what a call comes to.
//!   `prepare`: from a file to a module that can be run, remembered.
//! - `process`: the parent's side of one child. `protocol`: the frames between the two.
//! - `child`, `guest`: what runs inside a child. `confine`: what a child gives up before it does.
//! - `runtimes`: the interpreters that scripts are run by.
//! - `compile`, `cache`, `modules`: from a file to native code, compiled once in a child of its own.
//! - `engine`, `limits`: the one engine configuration, and what a guest may use up.
//!
//! A child speaks its protocol on stdout, so nothing in this folder may print.
#![deny(clippy::print_stdout)]

mod cache;
mod child;
mod compile;
mod confine;
mod contract;
mod engine;
mod error;
mod guest;
mod limits;
mod modules;
mod pool;
mod prepare;
mod process;
mod protocol;
mod ran;
mod runtimes;

use std::process::ExitCode;

pub use self::contract::{Answer, Call, File, Role, Script};
pub use self::engine::ENGINE_VERSION;
pub use self::error::{ErrorKind, Refusal, Resource, SandboxError};
pub use self::limits::{Limits, LimitsError};
pub use self::modules::{Inspection, Module, ModuleDigest, ModuleSource};
pub use self::pool::{Sandbox, SandboxConfig};
pub use self::ran::Ran;
pub use self::runtimes::{Language, RuntimeError};

/// Runs a hidden subcommand of the sandbox if this process was started for one.
///
/// To be called first thing in `main`, before a runtime, a configuration or a log exists: a child must
/// inherit nothing and start fast. `None` means that this is an ordinary start of the program.
#[must_use]
pub fn child_entry() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let command = arguments.next()?;
    if command == child::SUBCOMMAND {
        Some(child::main(arguments.next()))
    } else if command == compile::SUBCOMMAND {
        Some(compile::main())
    } else {
        None
    }
}
