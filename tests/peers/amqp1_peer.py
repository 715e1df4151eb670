"""oslo.messaging's AMQP 1.0 driver, server and client in one: prints {"ready": true} once it consumes, then answers commands.

{"op": "call", "topic": T, "server": S or null, "method": M, "args": {..}, "monitor": SECONDS or null}
                    {"ok": RESULT}, or {"error": {"class": .., "message": ..}}
{"op": "cast", "topic": T, "fanout": BOOL, "method": M, "args": {..}}     {"ok": null}
{"op": "notify", "topic": T, "event": E, "payload": P}                    {"ok": null}
{"op": "seen"}      the casts and notifications it has had: {"ok": [...]}
"""

import argparse
import json
import sys
import time

import oslo_messaging
import proton
from oslo_config import cfg
from oslo_messaging._drivers.amqp1_driver import opts

options = argparse.ArgumentParser()
options.add_argument("--url", required=True)
options.add_argument("--topic", required=True)
options.add_argument("--server", required=True)
options.add_argument("--activemq", action="store_true", help="what the operators of a fleet on ActiveMQ set")
arguments = options.parse_args()
if arguments.activemq:
    # The driver writes a time of its monotonic clock into absolute-expiry-time, which lies in 1970; ActiveMQ drops such requests.
    proton.Message.expiry_time = property(lambda self: 0, lambda self, value: None)

conf = cfg.ConfigOpts()
conf([], project="oxlo-interop")
# A newer oslo.metrics leaves these out, and every call reads them.
from oslo_messaging import _metrics  # noqa: E402

conf.register_opts(_metrics.client.oslo_messaging_metrics, group="oslo_messaging_metrics")
conf.register_opts(opts.amqp1_opts, group="oslo_messaging_amqp")
if arguments.activemq:
    # Only so does it fan out.
    conf.set_override("addressing_mode", "legacy", group="oslo_messaging_amqp")
    conf.set_override("broadcast_prefix", "topic://broadcast", group="oslo_messaging_amqp")
transport = oslo_messaging.get_rpc_transport(conf, arguments.url)

seen = []


class Endpoint:
    target = oslo_messaging.Target(version="1.2")

    def echo(self, ctxt, value):
        return [ctxt.get("user"), value]

    def fail(self, ctxt, message):
        raise ValueError(message, 42)

    def slow(self, ctxt, seconds):
        time.sleep(seconds)
        return "slept"

    def note(self, ctxt, value):
        seen.append(value)


class Notes:
    def info(self, ctxt, publisher_id, event_type, payload, metadata):
        seen.append([publisher_id, event_type, payload])


target = oslo_messaging.Target(topic=arguments.topic, server=arguments.server)
server = oslo_messaging.get_rpc_server(transport, target, [Endpoint()], executor="threading")
server.start()
notes = oslo_messaging.get_notification_listener(
    transport, [oslo_messaging.Target(topic=arguments.topic + "-notes")], [Notes()], executor="threading"
)
notes.start()


def answer(command):
    op = command["op"]
    if op == "seen":
        return seen
    if op == "notify":
        notifier = oslo_messaging.Notifier(
            transport, publisher_id="python.host", driver="messagingv2", topics=[command["topic"]]
        )
        notifier.info({}, command["event"], command["payload"])
        return None
    target = oslo_messaging.Target(
        topic=command["topic"], server=command.get("server"), fanout=command.get("fanout"), version="1.0"
    )
    client = oslo_messaging.get_rpc_client(transport, target, timeout=10, call_monitor_timeout=command.get("monitor"))
    if op == "call":
        return client.call({"user": "python"}, command["method"], **command["args"])
    client.cast({"user": "python"}, command["method"], **command["args"])
    return None


print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    try:
        result = {"ok": answer(json.loads(line))}
    except Exception as error:
        result = {"error": {"class": type(error).__name__, "message": str(error)}}
    print(json.dumps(result), flush=True)
