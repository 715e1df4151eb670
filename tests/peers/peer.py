"""What the Python peers share: options, lines of JSON, and JSON that strict readers accept.

A value that strict JSON cannot hold is written as an object with one key, and read back from one:
`{"$float": "nan"}` (also `inf`, `-inf`), `{"$int": "DIGITS"}` beyond 64 bit, `{"$utf16": [CODE UNITS]}` for a text with a lone surrogate.
"""

import argparse
import json
import logging
import math
import sys
import tempfile
import threading

import oslo_messaging
from oslo_config import cfg

_out = threading.Lock()


def parser(description):
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--url", required=True, help="transport URL, rabbit://...")
    options.add_argument("--topic", default="interop")
    options.add_argument("--exchange", default=None, help="default: oslo's own, 'openstack'")
    options.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an option of oslo's [DEFAULT] group")
    return options


def configure(arguments):
    """oslo's configuration, with the [DEFAULT] options that were given as --set NAME=VALUE."""
    # oslo.messaging 18.3 registers its tracing options on the global object only, and every call reads them.
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write("\n".join(["[DEFAULT]", *arguments.set, ""]))
        file.flush()
        cfg.CONF([], project="oxlo-interop", default_config_files=[file.name], default_config_dirs=[])
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    if arguments.exchange is not None:
        oslo_messaging.set_transport_defaults(control_exchange=arguments.exchange)
    return cfg.CONF


def strict(value):
    """The value with every part that strict JSON cannot hold wrapped."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if isinstance(value, int) and not -(1 << 63) <= value < (1 << 64):
        return {"$int": str(value)}
    if isinstance(value, str) and any(0xD800 <= ord(c) < 0xE000 for c in value):
        units = value.encode("utf-16-be", "surrogatepass")
        return {"$utf16": [int.from_bytes(units[i:i + 2], "big") for i in range(0, len(units), 2)]}
    if isinstance(value, dict):
        return {plain(str(k)): strict(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(v) for v in value]
    if isinstance(value, (int, float, str)):
        return value
    return plain(repr(value))


def plain(text):
    """A text with lone surrogates shown as escapes, for places where only a text fits."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def loose(value):
    """The opposite of strict()."""
    if isinstance(value, list):
        return [loose(v) for v in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (key, inner), = value.items()
        if key == "$float":
            return float(inner)
        if key == "$int":
            return int(inner)
        if key == "$utf16":
            return b"".join(u.to_bytes(2, "big") for u in inner).decode("utf-16-be", "surrogatepass")
    return {k: loose(v) for k, v in value.items()}


def say(message):
    """Prints one line; callable from any thread."""
    line = json.dumps(strict(message), allow_nan=False)
    with _out:
        print(line, flush=True)


def commands():
    """Yields the commands on standard input until it ends."""
    for line in sys.stdin:
        if line.strip():
            yield loose(json.loads(line))
