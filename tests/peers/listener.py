"""A notification listener on oslo.messaging. Prints {"ready": true} once its queues are there, which it consumes a moment later, then
answers commands on standard input:

{"op": "seen"}     what has come so far, oldest first: {"ok": [{"priority", "ctxt", "publisher_id", "event_type", "payload", "metadata"}, ...]}
{"op": "batches"}  how large each batch was, with its priority: {"ok": [["info", 100], ...]}
{"op": "stop"}     stops in order, answers {"ok": null} and ends; so does the end of input

With --requeue-first every message is asked for again the first time it comes; both times count as seen.
"""

import os
import threading

import oslo_messaging as messaging

import peer

PRIORITIES = ("audit", "debug", "info", "warn", "error", "critical", "sample")


class Seen:
    def __init__(self, arguments):
        self.requeue_first = arguments.requeue_first
        self.lock = threading.Lock()
        self.messages = []
        self.batches = []
        self.known = set()

    def add(self, priority, messages):
        """Notes messages, and says whether one of them came for the first time and is wanted again."""
        with self.lock:
            again = False
            for message in messages:
                self.messages.append(dict(message, priority=priority))
                if self.requeue_first and message["metadata"]["message_id"] not in self.known:
                    self.known.add(message["metadata"]["message_id"])
                    again = True
            self.batches.append([priority, len(messages)])
        return messaging.NotificationResult.REQUEUE if again else messaging.NotificationResult.HANDLED


def endpoint(seen, priorities, filter_rule):
    """An endpoint that has a method for each of the priorities."""

    def method(priority):
        def handle(self, ctxt, publisher_id, event_type, payload, metadata):
            return seen.add(priority, [{
                "ctxt": ctxt, "publisher_id": publisher_id, "event_type": event_type, "payload": payload, "metadata": metadata}])
        return handle

    methods = {priority: method(priority) for priority in priorities}
    if filter_rule is not None:
        methods["filter_rule"] = filter_rule
    return type("Endpoint", (), methods)()


def batch_endpoint(seen, priorities):
    def method(priority):
        def handle(self, messages):
            return seen.add(priority, list(messages))
        return handle

    return type("BatchEndpoint", (), {priority: method(priority) for priority in priorities})()


def main():
    options = peer.parser("a notification listener on oslo.messaging")
    options.add_argument("--topics", help="comma separated, instead of --topic")
    options.add_argument("--priorities", default=",".join(PRIORITIES), help="comma separated")
    options.add_argument("--pool")
    options.add_argument("--allow-requeue", action="store_true")
    options.add_argument("--requeue-first", action="store_true")
    options.add_argument("--event-type", help="a filter on the event type")
    options.add_argument("--batch-size", type=int)
    options.add_argument("--batch-timeout", type=float)
    arguments = options.parse_args()
    conf = peer.configure(arguments)
    transport = messaging.get_notification_transport(conf, url=arguments.url)
    topics = arguments.topics.split(",") if arguments.topics else [arguments.topic]
    targets = [messaging.Target(topic=topic) for topic in topics]
    priorities = arguments.priorities.split(",")
    seen = Seen(arguments)
    common = dict(executor="threading", allow_requeue=arguments.allow_requeue, pool=arguments.pool)
    if arguments.batch_size is None:
        rule = None
        if arguments.event_type is not None:
            rule = messaging.NotificationFilter(event_type=arguments.event_type)
        server = messaging.get_notification_listener(transport, targets, [endpoint(seen, priorities, rule)], **common)
    else:
        server = messaging.get_batch_notification_listener(
            transport, targets, [batch_endpoint(seen, priorities)],
            batch_size=arguments.batch_size, batch_timeout=arguments.batch_timeout, **common)
    server.start()
    peer.say({"ready": True, "pid": os.getpid()})
    for command in peer.commands():
        operation = command.get("op")
        with seen.lock:
            messages, batches = list(seen.messages), list(seen.batches)
        if operation == "seen":
            peer.say({"ok": messages})
        elif operation == "batches":
            peer.say({"ok": batches})
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
