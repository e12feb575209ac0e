//! Text for people, JSON lines for collectors.

use std::str::FromStr;

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

/// How traces are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// A line for people.
    #[default]
    Text,
    /// An object for each line: `timestamp`, `level`, `target`, `message`, fields, and the innermost `span`.
    Json,
}

/// The text names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no trace format: use text or json")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            // A variable that is set to nothing counts as not set.
            "text" | "" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(UnknownFormat(other.to_owned())),
        }
    }
}

impl Format {
    /// A layer that writes lines of this format.
    pub(super) fn lines<S, W>(self, writer: W, colour: bool) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
        W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
    {
        let lines = tracing_subscriber::fmt::layer().with_writer(writer);
        match self {
            Self::Text => lines.with_ansi(colour).boxed(),
            Self::Json => lines
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false)
                .boxed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, SeekFrom, Write};
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::entry::VerificationId;
    use crate::job::JobId;
    use crate::telemetry::VerificationSpan;

    struct Shared(Arc<Mutex<std::fs::File>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_json_line_names_the_job_the_verification_and_the_trace() {
        let file = Arc::new(Mutex::new(tempfile::tempfile().unwrap()));
        let shared = Arc::clone(&file);
        let lines = Format::Json.lines(move || Shared(Arc::clone(&shared)), false);
        let id = VerificationId::new();
        let incoming = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, || {
            let verification = VerificationSpan::new(&JobId::new("job-1"), 2, id, Some(incoming));
            verification
                .span
                .in_scope(|| tracing::warn!(wait_ms = 5, "the model\n\"is down\""));
        });
        let mut file = file.lock().unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let text = std::io::read_to_string(&mut *file).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "the model\n\"is down\"");
        assert_eq!((&line["level"], &line["wait_ms"]), (&"WARN".into(), &5.into()));
        let span = &line["span"];
        assert_eq!(
            (&span["job.id"], &span["job.attempt"]),
            (&"job-1".into(), &2.into())
        );
        assert_eq!(span["verification.id"], id.to_string());
        assert_eq!(span["trace.id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn a_format_that_does_not_exist_is_an_error() {
        assert_eq!("json".parse(), Ok(Format::Json));
        assert_eq!("".parse(), Ok(Format::Text));
        insta::assert_snapshot!("xml".parse::<Format>().unwrap_err(), @"`xml` is no trace format: use text or json");
    }
}
