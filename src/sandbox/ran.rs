//! What a call comes to.

use std::io;
use std::time::Duration;

use super::engine::ENGINE_VERSION;
use super::protocol::{Outcome, Response};
use super::{Answer, Limits, Module, ModuleDigest, Resource, SandboxError};

/// A check that ran to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    /// What the check says, or its own error text (at most 4 KiB, control characters and all).
    pub answer: Result<Answer, String>,
    /// Units of fuel: the same for the same module, call and engine version.
    pub fuel_used: u64,
    /// Most linear memory in use, in bytes.
    pub peak_memory_bytes: u64,
    /// Wall clock time within the child. Never to be part of a verdict.
    pub time: Duration,
    /// Digest of the check's file, or of the runtime that ran the script.
    pub module: ModuleDigest,
    /// Name and version of the engine.
    pub engine: &'static str,
}

impl Ran {
    /// What a response means.
    pub(super) fn of(response: Response, module: &Module, limits: &Limits) -> Result<Self, SandboxError> {
        let answer = match response.outcome {
            Outcome::Returned(Ok(raw)) => Ok(Answer::check(raw)?),
            Outcome::Returned(Err(text)) => Err(text),
            Outcome::OutOfFuel => return Err(SandboxError::FuelExhausted { limit: limits.fuel }),
            Outcome::Refused { resource, asked } => {
                let limit = match resource {
                    Resource::Memory => limits.memory_bytes,
                    Resource::Table => limits.table_elements,
                };
                return Err(SandboxError::MemoryRefused {
                    resource,
                    asked,
                    limit,
                });
            }
            Outcome::Trapped(text) => return Err(SandboxError::Trap(text)),
            Outcome::Malformed(text) => return Err(SandboxError::MalformedAnswer(text)),
            Outcome::Interrupted => return Err(SandboxError::WallGuard { wall: limits.wall }),
            Outcome::Host(text) => return Err(SandboxError::Host(text)),
            Outcome::Damaged(text) => return Err(SandboxError::Cache(io::Error::other(text))),
        };
        Ok(Self {
            answer,
            fuel_used: response.fuel_used,
            peak_memory_bytes: response.peak_memory_bytes,
            time: response.time,
            module: module.digest(),
            engine: ENGINE_VERSION,
        })
    }
}
