//! What can go wrong, and whose trouble it is.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{LimitsError, RuntimeError};

/// What an error means for the submission that was being checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Fuel or memory of the check is used up: the plan says what that means.
    Exhausted,
    /// The module or its answer is broken and will be so next time: for a person to look at.
    Permanent,
    /// Our own trouble: worth another try, here or elsewhere.
    Transient,
}

/// What a guest asked too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resource {
    /// Linear memory, in bytes.
    Memory,
    /// Table elements.
    Table,
}

impl Resource {
    fn describe(self) -> &'static str {
        match self {
            Self::Memory => "bytes of memory",
            Self::Table => "table elements",
        }
    }
}

/// Why a file is no check that can be run.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Refusal {
    /// Over the size cap.
    #[error("the module takes {bytes} bytes, at most {limit} are accepted")]
    TooLarge {
        /// Size of the module.
        bytes: u64,
        /// Most that is accepted.
        limit: u64,
    },
    /// Neither a wasm binary nor wasm text.
    #[error("not a wasm component, and not readable as wasm text: {0}")]
    NotWasm(String),
    /// A core module where a component is needed.
    #[error("a core wasm module, not a component: wrap it with `wasm-tools component new`")]
    CoreModule,
    /// Malformed, truncated, or in need of a wasm feature that is off.
    #[error("not a valid component: {0}")]
    Invalid(String),
    /// Checks import nothing.
    #[error("a check may import nothing, this one imports {}: build it without WASI", .0.join(", "))]
    Imports(Vec<String>),
    /// No export of the right name.
    #[error("no exported function `grade`: see graders/wit/check.wit")]
    NoGrade,
    /// `grade`, or a runtime's `run`, has another type than the contract's.
    #[error("the exported function has another type than graders/wit asks for: {0}")]
    WrongType(String),
    /// A check where a script runtime is needed.
    #[error("no script runtime, it exports no function `run`: build it again with `make runtimes`")]
    NoRuntime,
    /// The compiler hit its own limits.
    #[error("the module takes too much to compile: {0}")]
    TooCostly(String),
}

/// Why a check gave no answer.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// All fuel is used up.
    #[error("the check used up its {limit} units of fuel")]
    FuelExhausted {
        /// Fuel that the call was given.
        limit: u64,
    },
    /// The guest asked for more memory than its limit.
    #[error("the check asked for {asked} {}, its limit is {limit}", resource.describe())]
    MemoryRefused {
        /// What it asked for.
        resource: Resource,
        /// How much it would have had in all.
        asked: u64,
        /// How much it may have.
        limit: u64,
    },
    /// The guest trapped.
    #[error("the check trapped: {0}")]
    Trap(String),
    /// The guest answered, but not as the contract says.
    #[error("the check gave a malformed answer: {0}")]
    MalformedAnswer(String),
    /// The file cannot be run as a check.
    #[error("the check is refused: {0}")]
    Refused(#[from] Refusal),
    /// The runtime of the script's language is not there, or is not what was built.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The limits of the call are outside of what may be asked for.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// The submission does not fit into one request.
    #[error("the submission takes {bytes} bytes, a check can be given {limit}: name fewer files in the plan")]
    CallTooLarge {
        /// Size of the request.
        bytes: u64,
        /// Largest request.
        limit: u64,
    },
    /// The cache directory is not ours alone.
    #[error("the module cache {} {problem}: native code in it could be anyone's", path.display())]
    UnsafeCache {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// The wall clock guard fired: the machine is overloaded, or the fuel is too much for the guard.
    #[error("the check was stopped by the wall clock guard after {wall:?}, before its fuel was used up")]
    WallGuard {
        /// The guard.
        wall: Duration,
    },
    /// A child ended, hung or spoke nonsense.
    #[error("the sandbox process was lost: {0}")]
    ChildLost(String),
    /// The cache could not be read or written.
    #[error("the module cache failed: {0}")]
    Cache(#[source] io::Error),
    /// The host could not give what the guest was allowed to have.
    #[error("the host could not run the check: {0}")]
    Host(String),
    /// A child could not be started.
    #[error("the sandbox process could not be started: {0}")]
    Spawn(#[source] io::Error),
}

impl SandboxError {
    /// What the error means for the submission.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::FuelExhausted { .. } | Self::MemoryRefused { .. } => ErrorKind::Exhausted,
            Self::Trap(_)
            | Self::MalformedAnswer(_)
            | Self::Refused(_)
            | Self::Runtime(_)
            | Self::Limits(_)
            | Self::CallTooLarge { .. } => ErrorKind::Permanent,
            Self::UnsafeCache { .. }
            | Self::WallGuard { .. }
            | Self::ChildLost(_)
            | Self::Cache(_)
            | Self::Host(_)
            | Self::Spawn(_) => ErrorKind::Transient,
        }
    }
}
