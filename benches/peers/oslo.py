"""Shared by both Python ends: oslo.messaging with its defaults, and JSON lines on standard output."""

import argparse
import json
import logging
import sys

import oslo_messaging as messaging
from oslo_config import cfg


def start():
    """Returns the arguments, and a transport to the broker they name."""
    options = argparse.ArgumentParser()
    options.add_argument("--url", required=True)
    options.add_argument("--topic", required=True)
    arguments = options.parse_args()
    # oslo.messaging reads some of its options from the global object only.
    cfg.CONF([], project="oxlo-bench", default_config_files=[], default_config_dirs=[])
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    return arguments, messaging.get_rpc_transport(cfg.CONF, url=arguments.url)


def say(what):
    print(json.dumps(what), flush=True)
