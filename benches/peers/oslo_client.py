"""An RPC client on oslo.messaging. It executes orders from standard input, one JSON line each; see benches/src/worker.rs."""

import collections
import json
import os
import sys
import threading
import time

import oslo_messaging as messaging

import oslo

arguments, transport = oslo.start()
client = messaging.get_rpc_client(transport, messaging.Target(topic=arguments.topic, version="1.0"))


def run(order):
    text = "x" * order["text"]
    send = client.cast if order["cast"] else client.call
    latencies, errors = [], []
    begun = time.monotonic()
    end = begun + order["seconds"]

    def work():
        own = collections.Counter()
        start = time.monotonic()
        while start < end:
            try:
                came = send({}, "echo", value=text)
                assert order["cast"] or len(came) == len(text)
            except Exception as error:
                errors.append(error)
            now = time.monotonic()
            own[max(1, int((now - start) * 1e6))] += 1
            start = now
        latencies.append(own)

    threads = [threading.Thread(target=work) for _ in range(order["tasks"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun
    if errors:
        print(repr(errors[0]), file=sys.stderr)
    every = sum(latencies, collections.Counter())
    count = sum(every.values()) - len(errors)
    return {"count": count, "errors": len(errors), "seconds": seconds, "latencies": sorted(every.items())}


oslo.say({"ready": True})
for line in sys.stdin:
    oslo.say(run(json.loads(line)))
os._exit(0)
