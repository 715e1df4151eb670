"""Write the table that transport/tests/url.rs checks: how oslo.messaging reads transport URLs.

    .build/venv/bin/python tests/peers/url_table.py > transport/tests/data/url_table.json

Needs oslo.messaging. An empty virtual host is written as null: oslo.messaging's rabbit driver treats both alike.
"""

import json
import sys

from oslo_config import cfg
from oslo_messaging import TransportURL

URLS = (
    "rabbit://", "rabbit:///", "rabbit:///vh", "rabbit://h", "rabbit://h/", "rabbit://h//", "rabbit://h/%2F",
    "rabbit://h/%252F", "rabbit://h/vh", "rabbit://h/vh/", "rabbit://h/a/b", "rabbit://h/a%2Fb", "rabbit://h/a%3Fb%3Bc",
    "rabbit://h/%C3%A9", "rabbit://u:p@h/a@b", "RABBIT://H/V", "kombu+memory://x", "memory://bus-1",
    "rabbit://h:5672", "rabbit://h:1", "rabbit://h:65535", "rabbit://h:05672/", "rabbit://:5672", "rabbit://h%41",
    "rabbit://[::1]:5672", "rabbit://[::1]", "rabbit://2001:db8::1", "rabbit://u:p@[2001:db8::1]:5/v",
    "rabbit://[::1]:1,[::2]:2,::3/", "rabbit://h1,h2,h3", "rabbit://h1:1,,h2:2,", "rabbit://,h",
    "rabbit://u:p@h", "rabbit://u@h", "rabbit://u:@h", "rabbit://:p@h", "rabbit://:@h", "rabbit://@h",
    "rabbit://u:p@", "rabbit://u:p@,h2", "rabbit://u:p@:5672", "rabbit://u:p@h1,h2", "rabbit://u1:p1@h1:1,u2:p2@h2:2/v",
    "rabbit://u@x:pw@h", "rabbit://u:p:q@h", "rabbit://u%40x:p%3A@h", "rabbit://u%2Cv:p%2Fq%3F%23@h", "rabbit://u:%zz@h",
    "rabbit://u:100%@h", "rabbit://u:%25%32%35@h", "rabbit://u+v:p+q@h", "rabbit://u:p&=$-_.+!*()@h",
    "rabbit://%C3%BC:%E2%82%AC@h",
    "rabbit://h?a=1", "rabbit://h/v?a=1&b=2", "rabbit://h/v?a=1&a=2&a=3", "rabbit://h/v?a=b+c&d=%2B&e=%26%3D",
    "rabbit://h/v?ssl=1&heartbeat_timeout_threshold=5&kombu_reconnect_delay=0.5", "rabbit://h/v?x=1;y=2",
    "rabbit://h/v?a=1=2", "rabbit://h/v?a=/b?c",
)


def main():
    rows = []
    for text in URLS:
        url = TransportURL.parse(cfg.ConfigOpts(), text)
        rows.append({
            "url": text,
            "scheme": url.transport,
            "virtual_host": url.virtual_host or None,
            "hosts": [[host.hostname or "", host.port, host.username, host.password] for host in url.hosts],
            "query": url.query,
        })
    sys.stdout.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
