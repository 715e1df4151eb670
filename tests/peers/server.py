"""An RPC server on oslo.messaging. Prints {"ready": true} once its queues are there, which it consumes a moment later, then answers
commands on standard input:

{"op": "seen"}   the casts it has run, oldest first: {"ok": [...]}
{"op": "stop"}   stops in order, answers {"ok": null} and ends; so does the end of input
{"op": "die"}    ends at once, without a word to the broker
"""

import os
import threading
import time

import oslo_messaging as messaging

import peer
from interop_errors import Boom, NotFound, Plain, Short


class LocalError(Exception):
    """A class of module __main__, which no caller can import."""


def failure(kind, message):
    return {
        "value": lambda: ValueError(message, 42),
        "key": lambda: KeyError(message),
        "type": lambda: TypeError(message),
        "runtime": lambda: RuntimeError(message),
        "unicode": lambda: ValueError("\u00e9 \u2603 \U0001f600 " + message),
        "no_args": lambda: ValueError(),
        "boom": lambda: Boom(message, code=7, detail="d"),
        "plain": lambda: Plain(message),
        "not_found": lambda: NotFound(item=message, **{"for": "al"}),
        "short": lambda: Short(1, 2),
        "local": lambda: LocalError(message),
        "falsy": lambda: ValueError(0, "", [], {}, False, None),
    }[kind]()


FALSY = {"zero": 0, "zero_float": 0.0, "text": "", "list": [], "object": {}, "false": False, "null": None}


class Base:
    """The endpoint in no namespace, version 1.2."""

    target = messaging.Target(version="1.2")

    def __init__(self, name):
        self.name = name
        self.lock = threading.Lock()
        self.notes = []

    def echo(self, ctxt, value):
        return value

    def add(self, ctxt, a, b):
        return a + b

    def ctx(self, ctxt):
        return ctxt

    def no_arguments(self, ctxt):
        return "none"

    def defaults(self, ctxt, a, b="b", c=None):
        return [a, b, c]

    def fail(self, ctxt, kind, message="failed"):
        raise failure(kind, message)

    @messaging.expected_exceptions(ValueError)
    def fail_expected(self, ctxt, message="expected"):
        raise ValueError(message)

    def fail_chained(self, ctxt):
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise Boom("outer", code=8) from inner

    def slow(self, ctxt, seconds, value="slow"):
        time.sleep(seconds)
        return value

    def falsy(self, ctxt, kind):
        return FALSY[kind]

    def nan(self, ctxt):
        return {"nan": float("nan"), "inf": float("inf"), "minus": float("-inf")}

    def surrogate(self, ctxt):
        return "\ud800"

    def big(self, ctxt):
        return 1 << 70

    def sized(self, ctxt, length):
        return "x" * length

    def length(self, ctxt, value):
        return len(value)

    def unserialisable(self, ctxt):
        circle = []
        circle.append(circle)
        return circle

    def whoami(self, ctxt):
        return self.name

    def cast_note(self, ctxt, x):
        with self.lock:
            self.notes.append(x)

    def seen(self, ctxt):
        with self.lock:
            return list(self.notes)

    def crash(self, ctxt, after=0):
        time.sleep(after)
        os._exit(3)


class Math:
    """The endpoint in namespace `math`, version 1.3, also reachable by the namespace it had before."""

    target = messaging.Target(namespace="math", version="1.3", legacy_namespaces=["arithmetic"])

    def multiply(self, ctxt, a, b):
        return a * b

    def whereami(self, ctxt):
        return "math"


class MathTwo:
    """Version 2.1 of the same namespace, beside the old one."""

    target = messaging.Target(namespace="math", version="2.1")

    def multiply(self, ctxt, factors):
        product = 1
        for factor in factors:
            product *= factor
        return product

    def whereami(self, ctxt):
        return "math2"


def main():
    options = peer.parser("an RPC server on oslo.messaging")
    options.add_argument("--server", default="python-1")
    arguments = options.parse_args()
    conf = peer.configure(arguments)
    transport = messaging.get_rpc_transport(conf, url=arguments.url)
    target = messaging.Target(topic=arguments.topic, server=arguments.server)
    base = Base(arguments.server)
    server = messaging.get_rpc_server(
        transport, target, [base, Math(), MathTwo()], executor="threading", access_policy=messaging.DefaultRPCAccessPolicy)
    server.start()
    peer.say({"ready": True, "server": arguments.server, "pid": os.getpid()})
    for command in peer.commands():
        operation = command.get("op")
        if operation == "seen":
            peer.say({"ok": base.seen({})})
        elif operation == "die":
            os._exit(9)
        elif operation == "stop":
            break
        else:
            peer.say({"error": f"unknown op {operation!r}"})
    server.stop()
    server.wait()
    transport.cleanup()
    peer.say({"ok": None})


if __name__ == "__main__":
    main()
