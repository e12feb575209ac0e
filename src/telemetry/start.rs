//! Starts traces.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::{EnvFilter, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::{Format, panics};

/// Never shown, whatever is asked for: `async_openai` logs whole answers of a model when it cannot read them, `lapin` whole
/// messages that come back, with the values of a job's variables.
const NEVER_SHOWN: [&str; 2] = ["async_openai", "lapin"];

/// What is shown unless something else is asked for.
pub const DEFAULT_LEVEL: &str = "warn";

/// How traces are written, and where to.
#[derive(Debug, Clone, Default)]
pub struct TraceSettings {
    /// A level, e.g. `warn`, or a filter such as `assay=debug,sqlx=warn`; [`DEFAULT_LEVEL`] where empty.
    pub level: String,
    /// Text or JSON lines.
    pub format: Format,
    /// The collector that spans are sent to as well, e.g. `http://127.0.0.1:4318`.
    #[cfg(feature = "otel")]
    pub otlp_endpoint: Option<String>,
}

/// Traces cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The level cannot be read.
    #[error(
        "`{0}` is no trace level: use error, warn, info, debug, trace or off, or a list of TARGET=LEVEL, \
         e.g. `assay=debug,sqlx=warn`"
    )]
    Level(String),
    /// The collector's address cannot be used.
    #[cfg(feature = "otel")]
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used: {0}")]
    Collector(String),
}

/// Traces are on; what is still to be sent is sent when this is dropped.
#[must_use = "spans that are still to be sent are sent when this is dropped"]
#[derive(Debug)]
pub struct Telemetry {
    #[cfg(feature = "otel")]
    _exporter: Option<super::otel::Exporter>,
}

/// Sends traces to standard error, and of panics only where they happened.
///
/// # Errors
/// A level that cannot be read, a collector that cannot be used.
pub fn start(settings: &TraceSettings) -> Result<Telemetry, StartError> {
    // A variable that is set to nothing counts as not set.
    let level = match settings.level.trim() {
        "" => DEFAULT_LEVEL,
        level => level,
    };
    let lines = settings
        .format
        .lines(std::io::stderr, std::io::stderr().is_terminal())
        .with_filter(filter(level)?)
        .with_filter(filter_fn(|metadata| is_shown(metadata.target())));
    let subscriber = tracing_subscriber::registry().with(lines);
    #[cfg(feature = "otel")]
    let (subscriber, exporter) = {
        let endpoint = settings
            .otlp_endpoint
            .as_deref()
            .filter(|endpoint| !endpoint.is_empty());
        let exporter = endpoint.map(super::otel::Exporter::new).transpose()?;
        let layer = exporter.as_ref().map(super::otel::Exporter::layer);
        (subscriber.with(layer), exporter)
    };
    // A second start, as tests do, changes nothing.
    let _ = subscriber.try_init();
    panics::tell(settings.format);
    Ok(Telemetry {
        #[cfg(feature = "otel")]
        _exporter: exporter,
    })
}

fn filter(level: &str) -> Result<EnvFilter, StartError> {
    let error = |directive: &str| StartError::Level(directive.to_owned());
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
    NEVER_SHOWN.iter().all(|hidden| {
        let inside = target.strip_prefix(hidden);
        !inside.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    })
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
    fn what_holds_strangers_texts_is_never_shown() {
        for hidden in NEVER_SHOWN {
            assert!(!is_shown(hidden));
            assert!(!is_shown(&format!("{hidden}::client")));
            assert!(is_shown(&format!("{hidden}s")));
        }
        assert!(is_shown("assay::verify"));
    }
}
