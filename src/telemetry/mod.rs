//! Traces: what goes to standard error while a command runs, as text for people or JSON lines for collectors, and, with the
//! cargo feature `otel`, to an `OpenTelemetry` collector.
//!
//! Jobs are named by the fields `job.id`, `job.attempt` and `verification.id`, traces by `trace.id`.

mod format;
#[cfg(feature = "otel")]
mod otel;
mod panics;
mod span;
mod start;

pub use format::{Format, UnknownFormat};
pub use span::VerificationSpan;
pub use start::{DEFAULT_LEVEL, StartError, Telemetry, TraceSettings, start};
