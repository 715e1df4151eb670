"""Prints, as JSON, which requested versions oslo.messaging's own rule accepts for which implemented ones.

    .build/venv/bin/python tests/peers/version_table.py > transport/tests/data/version_table.json
"""

import importlib.metadata
import itertools

from oslo_messaging._utils import version_is_compatible

VERSIONS = [
    "0.0", "0.1", "0.9", "0.10", "0.1.0", "0.1.1", "0.1.2",
    "1.0", "1.1", "1.2", "1.9", "1.10", "1.0.0", "1.0.1", "1.2.0", "1.2.1", "1.2.9", "1.2.10",
    "2.0", "2.1", "2.0.1", "10.0", "10.2", "10.2.3",
]


def main():
    rows = [
        f'  ["{implemented}", "{requested}", {"true" if version_is_compatible(implemented, requested) else "false"}]'
        for implemented, requested in itertools.product(VERSIONS, repeat=2)
    ]
    release = importlib.metadata.version("oslo.messaging")
    print('{\n "source": "oslo_messaging._utils.version_is_compatible of oslo.messaging ' + release + '",')
    print(' "columns": ["implemented", "requested", "compatible"],')
    print(' "rows": [\n' + ",\n".join(rows) + "\n ]\n}")


if __name__ == "__main__":
    main()
