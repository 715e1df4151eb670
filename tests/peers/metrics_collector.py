"""The collector of oslo.metrics itself, with commands on standard input in place of its web page.

Prints {"ready": true} once it reads its socket, then answers {"op": "samples"} with {"ok": [{"name", "labels", "value"}, ...]}: what the
page would show, but for buckets and times of creation.
"""

import argparse
import contextlib
import os
import sys
import threading

# oslo.metrics reads its options when it is imported.
options = argparse.ArgumentParser(description="the collector of oslo.metrics")
options.add_argument("--socket", required=True, help="path of its socket")
arguments = options.parse_args()
sys.argv[1:] = []

import prometheus_client

import peer

# It sets up logging, which shall not stand among the answers.
with contextlib.redirect_stdout(sys.stderr):
    from oslo_metrics.__main__ import MetricsListener


def main():
    listener = MetricsListener(arguments.socket)
    threading.Thread(target=listener.serve, daemon=True).start()
    peer.say({"ready": True, "pid": os.getpid()})
    for command in peer.commands():
        if command["op"] != "samples":
            raise ValueError(f"unknown op {command['op']!r}")
        samples = (sample for family in prometheus_client.REGISTRY.collect() for sample in family.samples)
        peer.say({"ok": [
            {"name": sample.name, "labels": sample.labels, "value": sample.value}
            for sample in samples
            if sample.name.startswith("oslo_messaging_") and not sample.name.endswith(("_bucket", "_created"))
        ]})


if __name__ == "__main__":
    main()
