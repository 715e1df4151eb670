"""An AMQP client without oslo.messaging: puts any bytes on the bus and shows messages as the broker hands them out.

Prints {"ready": true}, then answers each command on standard input with one line, {"ok": ...} or {"error": TEXT}:

{"op": "declare", "queue": Q, "exchange": X, "type": T, "key": K}   a queue; with `exchange`, that too (not durable, auto-delete
                                                              only for fanout, as oslo does), and a binding by `key`
{"op": "publish", "exchange": X, "key": K, "body": B, ...}    `body` a text, or {"repeat": TEXT, "times": N}, or {"hex": DIGITS};
                                                              optional `properties` and `headers`; answers whether it was routed
{"op": "get", "queue": Q, "timeout": S}                       takes one message, or null after S seconds (default 20)
"""

import os
import time
from urllib.parse import unquote, urlsplit

import amqp

import peer


def body(wanted):
    if isinstance(wanted, str):
        return wanted.encode()
    if "hex" in wanted:
        return bytes.fromhex(wanted["hex"])
    return (wanted["repeat"] * wanted["times"]).encode()


def shown(message):
    properties = dict(message.properties)
    raw = message.body if isinstance(message.body, bytes) else message.body.encode()
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = None
    return {
        "properties": {k: v for k, v in properties.items() if k != "application_headers"},
        # Absent and empty headers are different things on the wire.
        "headers": properties.get("application_headers"),
        "body": text,
        "hex": raw.hex() if text is None else None,
        "exchange": message.delivery_info["exchange"],
        "key": message.delivery_info["routing_key"],
        "redelivered": message.delivery_info["redelivered"],
    }


class Raw:
    def __init__(self, url):
        parts = urlsplit(url)
        self.connection = amqp.Connection(
            host=f"{parts.hostname}:{parts.port}", userid=unquote(parts.username), password=unquote(parts.password),
            virtual_host=unquote(parts.path[1:]) or "/", confirm_publish=True)
        self.connection.connect()
        self.channel = self.connection.channel()
        self.channel.auto_decode = False
        self.returned = []
        self.channel.events["basic_return"].add(lambda *arguments: self.returned.append(arguments))

    def declare(self, command):
        self.channel.queue_declare(command["queue"], durable=False, exclusive=False, auto_delete=False)
        exchange = command.get("exchange")
        if exchange:
            kind = command.get("type", "topic")
            self.channel.exchange_declare(exchange, kind, durable=False, auto_delete=kind == "fanout")
            self.channel.queue_bind(command["queue"], exchange, command.get("key", ""))

    def publish(self, command):
        properties = command.get("properties", {"content_type": "application/json", "content_encoding": "utf-8"})
        if "headers" in command:
            properties = dict(properties, application_headers=command["headers"])
        self.returned.clear()
        self.channel.basic_publish(
            amqp.Message(body(command["body"]), **properties), command.get("exchange", ""), command["key"], mandatory=True)
        return not self.returned

    def get(self, command):
        deadline = time.monotonic() + command.get("timeout", 20)
        while True:
            message = self.channel.basic_get(command["queue"], no_ack=True)
            if message is not None:
                return shown(message)
            if time.monotonic() > deadline:
                return None
            time.sleep(0.02)


def main():
    raw = Raw(peer.parser("an AMQP client without oslo.messaging").parse_args().url)
    peer.say({"ready": True, "pid": os.getpid()})
    for command in peer.commands():
        try:
            answer = {"ok": {"declare": raw.declare, "publish": raw.publish, "get": raw.get}[command["op"]](command)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        peer.say(answer)
    raw.connection.close()


if __name__ == "__main__":
    main()
