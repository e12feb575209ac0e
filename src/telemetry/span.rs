//! The span of a verification, and the trace that it belongs to.

use tracing::{Span, field};

use crate::entry::VerificationId;
use crate::job::JobId;
use crate::trace_context::TraceContext;

/// What a verification is traced under.
#[derive(Debug, Clone)]
pub struct VerificationSpan {
    /// Entered while the verification runs (`tracing::Instrument`): every line within names job and verification.
    pub span: Span,
    /// What messages that the verification sends carry as `traceparent`.
    pub context: TraceContext,
}

impl VerificationSpan {
    /// A span within the trace of the message that came in, or within a new one.
    pub fn new(job: &JobId, attempt: u32, id: VerificationId, incoming: Option<&str>) -> Self {
        let context = TraceContext::continuing(incoming);
        // At the highest level, so that a mere warning within still says which job it is about.
        let span = tracing::error_span!(
            "verification",
            job.id = %job,
            job.attempt = attempt,
            verification.id = %id,
            trace.id = field::Empty,
        );
        #[cfg(feature = "otel")]
        let context = super::otel::adopt(&span, incoming, context);
        let trace = u128::from_be_bytes(context.trace());
        span.record("trace.id", field::display(format_args!("{trace:032x}")));
        Self { span, context }
    }
}
