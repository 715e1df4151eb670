"""An RPC client on oslo.messaging. Prints {"ready": true}, then answers each command on standard input with one line:

{"op": "call"|"cast"|"fanout", "method": M, ...}  with the optional keys
    topic, exchange, namespace, version, server, fanout   the target
    args, ctxt                                           objects, default empty
    timeout, call_monitor_timeout, retry                 seconds, seconds, count
    version_cap, allowed_remote_exmods, at_least_once    as in oslo.messaging
{"op": "can_send_version", "version": V, "version_cap": C}
{"op": "threads", "threads": N, "each": M, ...}          N threads make M calls of `echo` each, each with a value of its own;
                                                        answers {"calls": N*M, "wrong": [...], "errors": [...], "seconds": S}

The answer is {"ok": RESULT} or {"error": {...}} with class, module, str, args, kwargs and, of a RemoteError, exc_type, value, traceback.
"""

import os
import threading
import time
import uuid

import oslo_messaging as messaging

import peer

TARGET_KEYS = ("topic", "exchange", "namespace", "version", "server", "fanout")


class Client:
    def __init__(self, conf, arguments):
        self.conf = conf
        self.arguments = arguments
        self.transports = {}

    def transport(self, exmods):
        key = tuple(exmods)
        if key not in self.transports:
            self.transports[key] = messaging.get_rpc_transport(self.conf, url=self.arguments.url, allowed_remote_exmods=list(exmods))
        return self.transports[key]

    def prepared(self, command):
        target = messaging.Target(topic=command.get("topic", self.arguments.topic))
        client = messaging.get_rpc_client(
            self.transport(command.get("allowed_remote_exmods", [])), target, version_cap=command.get("version_cap"))
        overrides = {key: command[key] for key in TARGET_KEYS if key in command}
        for key in ("timeout", "call_monitor_timeout", "retry"):
            if key in command:
                overrides[key] = command[key]
        if "at_least_once" in command:
            overrides["transport_options"] = messaging.TransportOptions(at_least_once=command["at_least_once"])
        return client.prepare(**overrides)

    def run(self, command):
        operation = command["op"]
        if operation == "can_send_version":
            return self.prepared(command).can_send_version(command["version"])
        if operation == "threads":
            return self.threads(command)
        if operation == "fanout":
            command = dict(command, fanout=True)
        elif operation not in ("call", "cast"):
            raise ValueError(f"unknown op {operation!r}")
        client = self.prepared(command)
        send = client.call if operation == "call" else client.cast
        return send(command.get("ctxt", {}), command["method"], **command.get("args", {}))

    def threads(self, command):
        client = self.prepared(command)
        wrong, errors = [], []

        def work():
            for _ in range(command["each"]):
                value = uuid.uuid4().hex
                try:
                    answer = client.call({}, "echo", value=value)
                except Exception as error:
                    errors.append(f"{type(error).__name__}: {error}")
                else:
                    if answer != value:
                        wrong.append([value, answer])

        begun = time.monotonic()
        workers = [threading.Thread(target=work) for _ in range(command["threads"])]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return {
            "calls": command["threads"] * command["each"],
            "wrong": wrong,
            "errors": errors,
            "seconds": time.monotonic() - begun,
        }


def described(error):
    description = {
        "class": type(error).__name__,
        "module": type(error).__module__,
        "str": str(error),
        "args": list(error.args),
        "kwargs": getattr(error, "kwargs", {}),
        # Which `except` clauses catch it.
        "bases": [f"{base.__module__}.{base.__qualname__}" for base in type(error).__mro__[1:]],
    }
    if isinstance(error, messaging.RemoteError):
        description.update(exc_type=error.exc_type, value=error.value, traceback=error.traceback)
    return description


def main():
    arguments = peer.parser("an RPC client on oslo.messaging").parse_args()
    client = Client(peer.configure(arguments), arguments)
    peer.say({"ready": True, "pid": os.getpid()})
    for command in peer.commands():
        try:
            answer = {"ok": client.run(command)}
        except Exception as error:
            answer = {"error": described(error)}
        peer.say(answer)
    for transport in client.transports.values():
        transport.cleanup()


if __name__ == "__main__":
    main()
