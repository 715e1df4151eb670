"""A client, and with --serve NAME also a server, on oslo.messaging with its tracing on. Its spans stay in the process.

Prints {"ready": true} once its queues are there, which it consumes a moment later, then answers commands on standard input:

{"op": "relay", "via": [TOPIC, ...]}   calls `relay` of the first topic in a span `root`, which has the others called in turn:
                                      {"ok": what the last one got as its context}
{"op": "cast", "topic": T}            casts `note` in a span `root`: {"ok": null}
{"op": "spans"}                       the spans that have ended, oldest first: {"ok": [{"name", "kind", "trace", "span", "parent"}]}
"""

import os

import oslo_messaging as messaging
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import peer


class Relay:
    """Calls the next of a row, with the context that it was called with."""

    target = messaging.Target(version="1.0")

    def __init__(self, client):
        self.client = client

    def relay(self, ctxt, via):
        if not via:
            return ctxt
        return self.client.prepare(topic=via[0]).call(ctxt, "relay", via=via[1:])

    def note(self, ctxt):
        pass


def described(span):
    return {
        "name": span.name,
        "kind": span.kind.name,
        "trace": f"{span.context.trace_id:032x}",
        "span": f"{span.context.span_id:016x}",
        "parent": f"{span.parent.span_id:016x}" if span.parent else None,
    }


def main():
    options = peer.parser("a client and server on oslo.messaging with its tracing on")
    options.add_argument("--serve", default=None, metavar="NAME")
    arguments = options.parse_args()
    conf = peer.configure(arguments)
    conf.set_override("tracing_enabled", True, group="oslo_messaging_tracing")
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # oslo.messaging makes an exporter that needs a collector unless a provider is there before it.
    trace.set_tracer_provider(provider)
    tracer = trace.get_tracer("interop")

    transport = messaging.get_rpc_transport(conf, url=arguments.url)
    client = messaging.get_rpc_client(transport, messaging.Target(topic=arguments.topic))
    server = None
    if arguments.serve:
        target = messaging.Target(topic=arguments.topic, server=arguments.serve)
        server = messaging.get_rpc_server(transport, target, [Relay(client)], executor="threading")
        server.start()
    peer.say({"ready": True, "pid": os.getpid()})
    for command in peer.commands():
        operation = command["op"]
        if operation == "relay":
            with tracer.start_as_current_span("root"):
                first, *others = command["via"]
                answer = client.prepare(topic=first).call({}, "relay", via=others)
        elif operation == "cast":
            with tracer.start_as_current_span("root"):
                answer = client.prepare(topic=command["topic"]).cast({}, "note")
        elif operation == "spans":
            answer = [described(span) for span in exporter.get_finished_spans()]
        else:
            raise ValueError(f"unknown op {operation!r}")
        peer.say({"ok": answer})
    if server is not None:
        server.stop()
        server.wait()
    transport.cleanup()


if __name__ == "__main__":
    main()
