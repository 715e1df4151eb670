"""Reads configurations with oslo.config itself, for a test that compares what each side makes of them.

Prints {"ready": true}, then answers each line {"files": [TEXT...], "environment": {NAME: TEXT}, "options": [[GROUP, NAME, DEFAULT]...]}
with {"values": [[GROUP, NAME, VALUE]...]}, in which VALUE is a text, null when nothing sets the option, or {"error": CLASS} when its value
cannot be had; or with {"error": CLASS} when a file cannot be read. Every option is a string.
"""

import os
import tempfile

from oslo_config import cfg

import peer


def read(case):
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for number, text in enumerate(case["files"]):
            names.append(os.path.join(folder, f"{number}.conf"))
            with open(names[-1], "w", encoding="utf-8", newline="") as file:
                file.write(text)
        conf = cfg.ConfigOpts()
        try:
            conf([], default_config_files=names, default_config_dirs=[])
        except cfg.Error as error:
            return {"error": type(error).__name__}
    for group, name, default in case["options"]:
        conf.register_opt(cfg.StrOpt(name, default=default), group=None if group == "DEFAULT" else group)
    os.environ.update(case["environment"])
    try:
        return {"values": [[group, name, value(conf, group, name)] for group, name, _ in case["options"]]}
    finally:
        for name in case["environment"]:
            del os.environ[name]


def value(conf, group, name):
    try:
        return conf[name] if group == "DEFAULT" else conf[group][name]
    except (cfg.Error, RecursionError) as error:
        return {"error": type(error).__name__}


def main():
    peer.say({"ready": True})
    for case in peer.commands():
        peer.say(read(case))


if __name__ == "__main__":
    main()
