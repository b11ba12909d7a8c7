//! Traces, for whoever watches many services: spans as OpenTelemetry, by OTLP over HTTP.
//!
//! What is exported are the spans that the log lines are in: a request, the generation that it begins,
//! and each question to a provider. They say who, which, when and how long; nothing that anybody wrote.
//!
//! Sampling, resource, headers and timeouts are the environment's: see OpenTelemetry's "SDK
//! environment variables". Spans wait in a queue with a bound, and are dropped beyond it: a collector that
//! is slow or gone costs traces and nothing else.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use axum::extract::{MatchedPath, Request};
use http::{Method, StatusCode};
use ipnet::IpNet;
use opentelemetry::{propagation::TextMapPropagator, trace::TracerProvider};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use r1_http::Arrival;
use tracing::{Level, Metadata, Span, Subscriber, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

/// The last spans may take this long to be handed over.
const LAST_SPANS: Duration = Duration::from_secs(1);

/// Where spans go.
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// What the environment asks for; none where it names no collector.
    ///
    /// # Errors
    /// A protocol that is not spoken here, or an endpoint that is no URL.
    pub(crate) fn of_environment() -> anyhow::Result<Option<Self>> {
        if !is_wanted() {
            return Ok(None);
        }
        for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
            let protocol = variable(name);
            ensure!(
                protocol.as_ref().is_none_or(|protocol| protocol == "http/protobuf"),
                "{name} is {:?}: set it to \"http/protobuf\" (port 4318 of most collectors), or leave it out",
                protocol.unwrap_or_default()
            );
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .build()
            .context("traces can't be sent; is OTEL_EXPORTER_OTLP_ENDPOINT a URL such as http://localhost:4318?")?;
        let resource = Resource::builder();
        let resource = match variable("OTEL_SERVICE_NAME") {
            Some(_) => resource,
            None => resource.with_service_name("gpt-r1"),
        };
        let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.with_attribute(version).build())
            .with_batch_exporter(exporter)
            .build();
        Ok(Some(Self(provider)))
    }

    /// Takes up the spans of this program: no library's, and no span or line that is only for debugging.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let ours = |metadata: &Metadata<'_>| {
            *metadata.level() <= Level::INFO && ["r1_", "gpt_r1"].iter().any(|of| metadata.target().starts_with(of))
        };
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("gpt-r1"))
            .with_location(false)
            .with_threads(false)
            .with_filter(filter_fn(ours))
    }

    /// Hands over what is left, for a short while.
    pub(crate) fn end(self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST_SPANS) {
            tracing::warn!("the last traces were not handed over: {error}");
        }
    }
}

/// Whether a collector is named, and traces are not switched off.
pub(crate) fn is_wanted() -> bool {
    let named = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let off = variable("OTEL_SDK_DISABLED").is_some_and(|disabled| disabled.eq_ignore_ascii_case("true"))
        || variable("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter == "none");
    !off && named.iter().any(|name| variable(name).is_some())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Gives each request's span what OpenTelemetry's semantic conventions for HTTP ask for, and its place in the
/// trace of a proxy that is trusted.
pub(crate) struct Traced {
    pub(crate) inner: Arc<dyn r1_http::Observer>,
    pub(crate) trusted_proxies: Vec<IpNet>,
}

impl Traced {
    /// Whoever else says that it is part of a trace may say anything.
    fn is_trusted(&self, request: &Request) -> bool {
        let peer = request.extensions().get::<Arrival>().map(|arrival| arrival.peer.to_canonical());
        peer.is_some_and(|peer| self.trusted_proxies.iter().any(|network| network.contains(&peer)))
    }
}

impl r1_http::Observer for Traced {
    fn span(&self, request: &Request, request_id: &str) -> Span {
        let method = request.method().as_str();
        let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str);
        let span = tracing::error_span!(
            "request",
            request_id,
            user_id = Empty,
            otel.name = format!("{method} {route}"),
            otel.kind = "server",
            http.request.method = method,
            http.route = route,
            http.response.status_code = Empty,
            otel.status_code = Empty,
        );
        if self.is_trusted(request) {
            let parent = TraceContextPropagator::new().extract(&HeaderExtractor(request.headers()));
            // Refused only for a span that has begun, or that nobody takes up.
            let _ = span.set_parent(parent);
        }
        span
    }

    fn answered(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let span = Span::current();
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
        self.inner.answered(method, route, status, took);
    }
}
