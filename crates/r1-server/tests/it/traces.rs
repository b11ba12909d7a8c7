//! Traces, as a collector receives them.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use axum::{Router, body::Bytes, http::StatusCode as Status, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value as Any},
    trace::v1::{Span, span::SpanKind, status::StatusCode as SpanStatus},
};
use parking_lot::Mutex;
use prost::Message;
use r1_testkit::upstream::{Script, Upstream};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{Setup, Signal, stream};

const QUESTION: &str = "the question that nobody is to read";
const ANSWER: &str = "the answer that nobody is to read";

/// Whoever takes traces, and all that it was sent.
struct Collector {
    url: String,
    received: Arc<Mutex<Vec<Bytes>>>,
}

impl Collector {
    async fn start() -> Result<Self> {
        let received = Arc::new(Mutex::new(Vec::new()));
        let keep = received.clone();
        let router = Router::new().route(
            "/v1/traces",
            post(async move |body: Bytes| {
                keep.lock().push(body);
                Status::OK
            }),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        tokio_util::task::TaskTracker::new().spawn(axum::serve(listener, router).into_future());
        Ok(Self { url, received })
    }

    /// All spans, and the name of the service that sent them.
    fn spans(&self) -> Result<(String, Vec<Span>)> {
        let (mut service, mut spans) = (String::new(), Vec::new());
        for body in self.received.lock().iter() {
            for of in ExportTraceServiceRequest::decode(body.clone())?.resource_spans {
                let resource = of.resource.context("a resource")?;
                service = text(&resource.attributes, "service.name").unwrap_or_default();
                spans.extend(of.scope_spans.into_iter().flat_map(|of| of.spans));
            }
        }
        Ok((service, spans))
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    match attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()? {
        AnyValue { value: Some(Any::StringValue(text)) } => Some(text.clone()),
        AnyValue { value: Some(Any::IntValue(number)) } => Some(number.to_string()),
        _ => None,
    }
}

fn of(span: &Span, key: &str) -> String {
    text(&span.attributes, key).unwrap_or_default()
}

fn failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == SpanStatus::Error)
}

async fn ask(setup: Setup, headers: &[(&str, &str)]) -> Result<Setup> {
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let mut asked = client.request(Method::POST, "/chat/stream").json(&json!({"message": QUESTION}));
    for (name, value) in headers {
        asked = asked.header(*name, *value);
    }
    stream(asked.send().await?).await?.collect_to_end().await?;
    server.signal(Signal::TERM)?;
    let (well, setup) = server.ended().await?;
    ensure!(well, "it did not end well");
    Ok(setup)
}

#[tokio::test]
async fn a_trace_leads_from_the_request_to_the_provider() -> Result<()> {
    let (upstream, collector) = (Upstream::start().await?, Collector::start().await?);
    upstream.push(Script::error(StatusCode::SERVICE_UNAVAILABLE, "busy", "later"));
    upstream.push(Script::text(ANSWER));
    let setup = Setup::with_upstream(&upstream)?.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url);
    ask(setup, &[("x-request-id", "from-the-proxy")]).await?;

    let (service, spans) = collector.spans()?;
    ensure!(service == "gpt-r1", "{service}");
    let request = spans.iter().find(|span| span.name == "POST /api/v1/chat/stream").context("a request")?;
    ensure!(request.kind() == SpanKind::Server && of(request, "request_id") == "from-the-proxy", "{request:?}");
    ensure!(of(request, "http.response.status_code") == "200" && !failed(request), "{request:?}");
    let below = |parent: &Span| spans.iter().filter(|span| span.parent_span_id == parent.span_id).collect::<Vec<_>>();
    let [generation] = below(request)[..] else { anyhow::bail!("{spans:?}") };
    ensure!(generation.name == "generation" && of(generation, "state") == "completed", "{generation:?}");
    ensure!(generation.trace_id == request.trace_id && !of(generation, "generation_id").is_empty(), "{generation:?}");
    ensure!(request.end_time_unix_nano < generation.end_time_unix_nano, "a request ends with its headers");

    let mut attempts = below(generation);
    attempts.sort_by_key(|span| span.start_time_unix_nano);
    let [first, second] = attempts[..] else { anyhow::bail!("{spans:?}") };
    ensure!(attempts.iter().all(|span| span.name == "chat" && span.kind() == SpanKind::Client), "{attempts:?}");
    ensure!(failed(first) && of(first, "error.type") == "provider_unavailable", "{first:?}");
    ensure!(!failed(second) && of(second, "gen_ai.request.model") == "test-model", "{second:?}");
    for known in ["first_chunk_ms", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"] {
        ensure!(!of(second, known).is_empty(), "{known}: {second:?}");
    }
    ensure!(of(first, "first_chunk_ms").is_empty(), "{first:?}");

    for body in collector.received.lock().iter() {
        for secret in [QUESTION, ANSWER, "correct horse", "ada@example.com"] {
            ensure!(!body.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "{secret} was sent");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_failed_answer_is_a_failed_span() -> Result<()> {
    let (upstream, collector) = (Upstream::start().await?, Collector::start().await?);
    upstream.push(Script::error(StatusCode::UNAUTHORIZED, "key", "no"));
    let setup = Setup::with_upstream(&upstream)?
        .env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("{}/v1/traces", collector.url))
        .env("OTEL_SERVICE_NAME", "our-chat");
    ask(setup, &[]).await?;
    let (service, spans) = collector.spans()?;
    ensure!(service == "our-chat", "{service}");
    let generation = spans.iter().find(|span| span.name == "generation").context("a generation")?;
    ensure!(failed(generation) && of(generation, "state") == "failed", "{generation:?}");
    ensure!(generation.status.as_ref().is_some_and(|status| status.message == "provider_auth"), "{generation:?}");
    Ok(())
}

#[tokio::test]
async fn only_a_trusted_proxys_trace_is_joined() -> Result<()> {
    let id = "0af7651916cd43dd8448eb211c80319c";
    for (trusted, joins) in [("127.0.0.1", true), ("192.0.2.1", false)] {
        let (upstream, collector) = (Upstream::start().await?, Collector::start().await?);
        let setup = Setup::with_upstream(&upstream)?
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)
            .set("SERVER__TRUSTED_PROXIES", trusted);
        ask(setup, &[("traceparent", &format!("00-{id}-b7ad6b7169203331-01"))]).await?;
        let (_, spans) = collector.spans()?;
        let request = spans.iter().find(|span| span.name == "POST /api/v1/chat/stream").context("a request")?;
        let trace_id = request.trace_id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        ensure!((trace_id == id) == joins, "{trusted}: {trace_id}");
        ensure!(request.parent_span_id.is_empty() != joins, "{trusted}: {request:?}");
    }
    Ok(())
}

#[tokio::test]
async fn without_its_collector_all_else_goes_on() -> Result<()> {
    let upstream = Upstream::start().await?;
    let setup = Setup::with_upstream(&upstream)?.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    ask(setup, &[]).await?;
    Ok(())
}

#[tokio::test]
async fn what_the_environment_says_wrongly_is_said_at_the_start() -> Result<()> {
    let endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";
    for (name, value, remedy) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
        (endpoint, "collector:4318/ x", "http://localhost:4318"),
    ] {
        let setup = Setup::new()?.env(endpoint, "http://127.0.0.1:9").env(name, value);
        let serve = setup.run(&["serve", "--api-addr", "127.0.0.1:0", "--web-addr", "127.0.0.1:0"]).await?;
        ensure!(!serve.ok && serve.stderr.contains(name) && serve.stderr.contains(remedy), "{}", serve.stderr);
    }
    let off = Setup::new()?.env(endpoint, "http://127.0.0.1:9").env("OTEL_SDK_DISABLED", "true");
    off.env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc").start().await?;
    Ok(())
}
