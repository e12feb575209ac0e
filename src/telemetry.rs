//! Tracing: what goes to standard error while a command runs.

use std::io::{IsTerminal as _, Write as _};
use std::panic::PanicHookInfo;

use tracing_subscriber::filter::{EnvFilter, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// `async_openai` logs whole answers of a model when it cannot read them: never shown, whatever is asked for.
const NEVER_SHOWN: &str = "async_openai";

/// What is shown unless something else is asked for.
pub const DEFAULT_LEVEL: &str = "warn";

/// The level cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{directive}` is no trace level: use error, warn, info, debug, trace or off, or a list of TARGET=LEVEL, \
     e.g. `assay=debug,sqlx=warn`"
)]
pub struct TraceLevelError {
    directive: String,
}

/// Sends traces at `level` (e.g. `warn`, or a filter such as `assay=debug,sqlx=warn`) to standard error, and of panics only
/// where they happened.
///
/// # Errors
/// A level that cannot be read.
pub fn start(level: &str) -> Result<(), TraceLevelError> {
    // A variable that is set to nothing counts as not set.
    let filter = filter(if level.trim().is_empty() {
        DEFAULT_LEVEL
    } else {
        level
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter(filter)
        .with_filter(filter_fn(|metadata| is_shown(metadata.target())));
    // A second start, as tests do, changes nothing.
    let _ = tracing_subscriber::registry().with(lines).try_init();
    std::panic::set_hook(Box::new(tell_panic));
    Ok(())
}

fn filter(level: &str) -> Result<EnvFilter, TraceLevelError> {
    let error = |directive: &str| TraceLevelError {
        directive: directive.to_owned(),
    };
    // The filter takes a misspelt level for the name of a target.
    let bare = |directive: &&str| {
        !directive.is_empty() && directive.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    if let Some(misspelt) = level
        .split(',')
        .map(str::trim)
        .filter(bare)
        .find(|directive| directive.parse::<LevelFilter>().is_err())
    {
        return Err(error(misspelt));
    }
    EnvFilter::try_new(level).map_err(|_| error(level))
}

fn is_shown(target: &str) -> bool {
    let inside = target.strip_prefix(NEVER_SHOWN);
    !inside.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Says where a panic happened. What it says may hold a stranger's text or a secret: it goes nowhere but into the
/// cleaned error of the grader that panicked.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let place = panic
        .location()
        .map_or_else(String::new, |place| format!(" at {place}"));
    // Nobody is left to tell where standard error is closed.
    let _ = writeln!(
        std::io::stderr(),
        "assay: a defect of ours: thread `{}` panicked{place}",
        thread.name().unwrap_or("unnamed")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_cannot_be_read_is_an_error_and_no_target() {
        for good in [
            "warn",
            "OFF",
            "assay=debug,sqlx=warn",
            "info,hyper=off",
            "assay[span]=trace",
        ] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for wrong in ["wran", "info,debgu", "assay=lots", "assay=[", "7x"] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
        insta::assert_snapshot!(filter("info,debgu").unwrap_err(), @"`debgu` is no trace level: use error, warn, info, debug, trace or off, or a list of TARGET=LEVEL, e.g. `assay=debug,sqlx=warn`");
    }

    #[test]
    fn what_the_client_of_models_traces_is_never_shown() {
        assert!(!is_shown(NEVER_SHOWN));
        assert!(!is_shown(&format!("{NEVER_SHOWN}::client")));
        assert!(is_shown(&format!("{NEVER_SHOWN}s")));
        assert!(is_shown("assay::verify"));
    }
}
