//! Tracing: what goes to standard error while a command runs.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// `async_openai` logs whole answers of a model when it cannot read them: never shown, whatever is asked for.
const ALWAYS_OFF: &str = "async_openai=off";

/// Sends traces at `level` (e.g. `warn`, or a filter such as `assay=debug,sqlx=warn`) to standard error; a level
/// that cannot be read counts as `warn`.
pub fn start(level: &str) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("warn"));
    let filter = match ALWAYS_OFF.parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second start, as tests do, changes nothing.
    let _ = subscriber.try_init();
}
