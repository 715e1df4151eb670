"""A notifier on oslo.messaging. Prints {"ready": true}, then answers each command on standard input with one line:

{"op": "notify", "priority": P, "event_type": E, "payload": ANY, ...}  with the optional keys
    count                   how many; of several, the payload of each is {"number": N, "payload": ANY}
    driver                  "messaging" or "messagingv2" (default)
    topics                  list, default the topic of the command line
    publisher_id, retry     as in oslo.messaging
    ctxt                    an object; sent as it is, as if nothing of it needed redaction
{"op": "log", "level": "WARNING", "name": N, "msg": M}   a log record through LoggingNotificationHandler

The answer is {"ok": null} or {"error": {"class": ..., "str": ...}}.
"""

import logging
import os

import oslo_messaging as messaging
from oslo_messaging.notify import logger as notify_logger

import peer


class Ctxt(dict):
    """A context that is not a plain dict, so that oslo.messaging asks it what may leave."""

    def redacted_copy(self):
        return dict(self)


class Notifier:
    def __init__(self, conf, arguments):
        self.arguments = arguments
        self.transport = messaging.get_notification_transport(conf, url=arguments.url)

    def notify(self, command):
        notifier = messaging.Notifier(
            self.transport,
            publisher_id=command.get("publisher_id", "python.host-1"),
            driver=command.get("driver", "messagingv2"),
            retry=command.get("retry"),
            topics=command.get("topics", [self.arguments.topic]))
        send = getattr(notifier, command["priority"])
        ctxt = Ctxt(command["ctxt"]) if "ctxt" in command else {}
        if "count" not in command:
            send(ctxt, command["event_type"], command.get("payload"))
            return
        for number in range(command["count"]):
            send(ctxt, command["event_type"], {"number": number, "payload": command.get("payload")})

    def log(self, command):
        handler = notify_logger.LoggingNotificationHandler(
            self.arguments.url, publisher_id="python.log", driver="messagingv2", topic=self.arguments.topic)
        logger = logging.getLogger(command["name"])
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
        try:
            logger.log(getattr(logging, command["level"]), command["msg"])
        finally:
            logger.removeHandler(handler)


def main():
    arguments = peer.parser("a notifier on oslo.messaging").parse_args()
    notifier = Notifier(peer.configure(arguments), arguments)
    peer.say({"ready": True, "pid": os.getpid()})
    operations = {"notify": notifier.notify, "log": notifier.log}
    for command in peer.commands():
        try:
            operations[command["op"]](command)
            answer = {"ok": None}
        except Exception as error:
            answer = {"error": {"class": type(error).__name__, "str": str(error)}}
        peer.say(answer)
    notifier.transport.cleanup()


if __name__ == "__main__":
    main()
