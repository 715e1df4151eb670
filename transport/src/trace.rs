//! The W3C trace context in the request context, as in Python's oslo.messaging since 18.3: the entries `traceparent` and
//! `tracestate`, on the wire `_context_traceparent` and `_context_tracestate`.
//!
//! With the cargo feature `opentelemetry`, the span of `tracing-opentelemetry` in which a request is sent becomes the parent
//! of the span that serves it, in any language. Without the feature, or without an OpenTelemetry layer, both functions do
//! nothing, and a handler that forwards its context forwards the trace.

use tracing::Span;

use crate::context::Context;
#[cfg(feature = "opentelemetry")]
use crate::text::one_line;

/// The context entry with the trace id and the parent span id.
pub const TRACEPARENT: &str = "traceparent";

/// The context entry with vendor-specific data.
pub const TRACESTATE: &str = "tracestate";

/// Writes a span into the context of a request before it is sent. A span without a valid OpenTelemetry context leaves the
/// request's context unchanged.
#[cfg(feature = "opentelemetry")]
pub fn inject(span: &Span, context: &mut Context) {
    use opentelemetry::trace::TraceContextExt;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    let of_span = span.context();
    let of_span = of_span.span();
    let span = of_span.span_context();
    if !span.is_valid() {
        return;
    }
    let flags = span.trace_flags().to_u8();
    context.insert(TRACEPARENT, format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id()));
    match span.trace_state().header() {
        state if state.is_empty() => {
            context.remove(TRACESTATE);
        }
        state => {
            context.insert(TRACESTATE, state);
        }
    }
}

/// Sets the parent of `span`, which must not have been entered yet, to the span in the context of a request. Malformed
/// entries are ignored.
#[cfg(feature = "opentelemetry")]
pub fn adopt(span: &Span, context: &Context) {
    use opentelemetry::trace::TraceContextExt;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    if let Some(remote) = context.get_str(TRACEPARENT).and_then(|text| parse(text, context.get_str(TRACESTATE))) {
        let parent = opentelemetry::Context::new().with_remote_span_context(remote);
        if let Err(error) = span.set_parent(parent) {
            tracing::debug!(error = %one_line(&error.to_string()), "cannot continue the caller's trace");
        }
    }
}

/// `version-trace-span-flags`, all in lower-case hexadecimal digits (W3C Trace Context, section 3.2).
#[cfg(feature = "opentelemetry")]
fn parse(text: &str, state: Option<&str>) -> Option<opentelemetry::trace::SpanContext> {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

    let mut parts = text.trim().split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hexadecimal = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let fits = hexadecimal(version, 2)
        && version != "ff"
        && hexadecimal(trace, 32)
        && hexadecimal(span, 16)
        && hexadecimal(flags, 2)
        // Only later versions may have more parts.
        && (version != "00" || parts.next().is_none());
    if !fits {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let state = state.and_then(|state| state.parse::<TraceState>().ok()).unwrap_or_default();
    let context = SpanContext::new(TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?, flags, true, state);
    context.is_valid().then_some(context)
}

/// Does nothing in a build without the feature `opentelemetry`.
#[cfg(not(feature = "opentelemetry"))]
pub fn inject(_span: &Span, _context: &mut Context) {}

/// Does nothing in a build without the feature `opentelemetry`.
#[cfg(not(feature = "opentelemetry"))]
pub fn adopt(_span: &Span, _context: &Context) {}

#[cfg(all(test, feature = "opentelemetry"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::parse;

    #[test]
    fn malformed_entries_are_ignored() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = parse(good, Some("vendor=1")).unwrap();
        assert!(context.is_remote() && context.is_sampled());
        assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.trace_state().get("vendor"), Some("1"));
        assert!(parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-later", None).is_some());
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        ] {
            assert!(parse(bad, None).is_none(), "{bad:?}");
        }
    }
}
