//! What drivers tell `tracing` and `metrics` of connecting and publishing, in OpenTelemetry's words for messaging.

use std::{fmt, future::Future};

use metrics::{counter, gauge, histogram};
use oxlo_transport::TransportError;
use tokio::time::Instant;
use tracing::{Instrument, Span, field::Empty};

/// Runs one attempt to connect in a span `connect` with target `oxlo::connect`, a root of its own, and counts how it
/// ended: `oxlo_connects_total` by `role` and `outcome`, which is `connected` or what `label` says of the error.
///
/// `system` is OpenTelemetry's name of the broker, for instance `rabbitmq`; `place` is host and port, of an IPv6 address
/// in brackets; `role` is what the connection is for.
///
/// # Errors
///
/// What the attempt fails with.
///
/// # Cancel safety
///
/// That of the attempt; one that is dropped is not counted.
pub async fn connecting<T, E>(
    system: &'static str,
    place: &str,
    role: &'static str,
    label: impl FnOnce(&E) -> &'static str,
    attempt: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let span = tracing::debug_span!(
        target: "oxlo::connect",
        parent: None,
        "connect",
        otel.kind = "client",
        otel.status_code = Empty,
        messaging.system = system,
        server.address = host(place),
        server.port = port(place),
        oxlo.role = role,
        error.type = Empty,
    );
    let result = attempt.instrument(span.clone()).await;
    let outcome = match &result {
        Ok(_) => "connected",
        Err(error) => failed(&span, label(error)),
    };
    counter!("oxlo_connects_total", "role" => role, "outcome" => outcome).increment(1);
    result
}

fn host(place: &str) -> &str {
    place.rsplit_once(':').map_or(place, |(host, _)| host).trim_start_matches('[').trim_end_matches(']')
}

fn port(place: &str) -> Option<u16> {
    place.rsplit_once(':')?.1.parse().ok()
}

/// Where a message is published.
#[derive(Clone, Copy)]
pub struct Destination<'a> {
    /// OpenTelemetry's name of the broker, for instance `rabbitmq`.
    pub system: &'static str,
    /// The exchange; empty where there is none, and for the default one.
    pub exchange: &'a str,
    /// The routing key, or the address.
    pub key: &'a (dyn fmt::Display + Sync),
    /// Bytes of the body, before it is compressed.
    pub size: usize,
}

/// Publishes a message in a span `publish` with target `oxlo::publish`, below the span of who sends it. It ends when
/// `publishing` does: with the broker's confirm, or when the message is on its way where nobody waits for the confirm.
///
/// # Errors
///
/// What `publishing` fails with.
///
/// # Cancel safety
///
/// That of `publishing`.
pub async fn publishing<T>(
    to: Destination<'_>,
    publishing: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    let span = publish_span(to);
    let result = publishing.instrument(span.clone()).await;
    published(&span, &result);
    result
}

/// The span of [`publishing`], for a driver that is often done at once.
#[must_use]
pub fn publish_span(to: Destination<'_>) -> Span {
    tracing::debug_span!(
        target: "oxlo::publish",
        "publish",
        otel.name = %format_args!("publish {to}"),
        otel.kind = "producer",
        otel.status_code = Empty,
        messaging.system = to.system,
        messaging.operation.name = "publish",
        messaging.operation.r#type = "send",
        messaging.destination.name = %to,
        messaging.message.body.size = to.size,
        error.type = Empty,
    )
}

/// Says in a [`publish_span`] how it ended.
pub fn published<T>(span: &Span, result: &Result<T, TransportError>) {
    if let Err(error) = result {
        failed(span, error.label());
    }
}

impl fmt::Display for Destination<'_> {
    /// As OpenTelemetry's conventions for RabbitMQ write it: exchange and key, of which either may be missing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.exchange, self.key.to_string()) {
            ("", key) => f.write_str(&key),
            (exchange, key) if key.is_empty() => f.write_str(exchange),
            (exchange, key) => write!(f, "{exchange}:{key}"),
        }
    }
}

impl fmt::Debug for Destination<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({} {}, {} bytes)", self.system, self, self.size)
    }
}

fn failed(span: &Span, label: &'static str) -> &'static str {
    span.record("error.type", label);
    span.record("otel.status_code", "ERROR");
    label
}

/// Measures for how long a broker takes no messages of one connection. Dropping it, with the connection, ends the time.
///
/// The gauge `oxlo_connections_blocked` says how many connections are blocked now, the histogram `oxlo_blocked_seconds`
/// how long each time was; both by `role`.
#[derive(Debug)]
pub struct BlockedTime {
    role: &'static str,
    since: Option<Instant>,
}

impl BlockedTime {
    /// Of a connection that is not blocked.
    #[must_use]
    pub fn new(role: &'static str) -> Self {
        Self { role, since: None }
    }

    /// The broker takes no messages from now on; a second time changes nothing.
    pub fn begin(&mut self) {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            gauge!("oxlo_connections_blocked", "role" => self.role).increment(1.0);
        }
    }

    /// The broker takes messages again.
    pub fn end(&mut self) {
        if let Some(since) = self.since.take() {
            gauge!("oxlo_connections_blocked", "role" => self.role).decrement(1.0);
            histogram!("oxlo_blocked_seconds", "role" => self.role).record(since.elapsed());
        }
    }
}

impl Drop for BlockedTime {
    fn drop(&mut self) {
        self.end();
    }
}
