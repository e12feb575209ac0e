//! Spans to an `OpenTelemetry` collector, over HTTP (OTLP, protobuf).

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::{Builder, Handle, Runtime};
use tracing::{Level, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::StartError;
use crate::trace_context::TraceContext;

/// Longest time of one request to the collector.
const SENDING: Duration = Duration::from_secs(10);

/// How long the end of the process waits for what is still to be sent.
const FLUSHING: Duration = Duration::from_secs(5);

/// Collects spans and sends them in batches; the last when it is dropped.
#[derive(Debug)]
pub(super) struct Exporter {
    provider: SdkTracerProvider,
    /// Outlives the command's own runtime, so that the last spans can be sent.
    runtime: Option<Runtime>,
}

impl Exporter {
    pub(super) fn new(endpoint: &str) -> Result<Self, StartError> {
        let refused = |error: &dyn std::error::Error| StartError::Collector(error.to_string());
        crate::tls::install_provider();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("otel")
            .enable_all()
            .build()
            .map_err(|error| refused(&error))?;
        let client = reqwest::Client::builder()
            .timeout(SENDING)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| refused(&error))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender {
                client,
                runtime: runtime.handle().clone(),
            })
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .build()
            .map_err(|error| refused(&error))?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(Resource::builder().with_service_name("assay").build())
            .build();
        Ok(Self {
            provider,
            runtime: Some(runtime),
        })
    }

    /// Our own spans, whatever level is asked for on standard error.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("assay"))
            .with_filter(Targets::new().with_target("assay", Level::INFO))
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSHING) {
            tracing::warn!(%error, "the last spans were not sent");
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Sends from the exporter's own thread, which knows no tokio.
#[derive(Debug)]
struct Sender {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move {
            let response = client.execute(request.try_into()?).await?;
            let mut answer = Response::builder().status(response.status());
            if let Some(headers) = answer.headers_mut() {
                headers.clone_from(response.headers());
            }
            // The collector is the operator's own.
            let body = response.bytes().await?;
            Ok::<_, HttpError>(answer.body(body)?)
        });
        sending.await?
    }
}

/// Makes the span a child of what came in, and says what its own children carry; `usual` where spans are not sent.
pub(super) fn adopt(span: &Span, incoming: Option<&str>, usual: TraceContext) -> TraceContext {
    if let Some(parent) = incoming.and_then(|text| text.parse::<TraceContext>().ok()) {
        let remote = SpanContext::new(
            TraceId::from_bytes(parent.trace()),
            SpanId::from_bytes(parent.span()),
            TraceFlags::default().with_sampled(parent.is_sampled()),
            true,
            TraceState::default(),
        );
        // Refused only where spans are not sent at all.
        let _ = span.set_parent(Context::new().with_remote_span_context(remote));
    }
    let context = span.context();
    let own = context.span().span_context().clone();
    TraceContext::from_parts(
        own.trace_id().to_bytes(),
        own.span_id().to_bytes(),
        own.is_sampled(),
    )
    .unwrap_or(usual)
}
