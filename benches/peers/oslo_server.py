"""An echo RPC server on oslo.messaging. It exits when its input is closed."""

import os
import sys

import oslo_messaging as messaging

import oslo


class Endpoint:
    target = messaging.Target(version="1.0")

    def echo(self, ctxt, value):
        return value


arguments, transport = oslo.start()
target = messaging.Target(topic=arguments.topic, server="bench")
server = messaging.get_rpc_server(transport, target, [Endpoint()], executor="threading")
server.start()
oslo.say({"ready": True})
sys.stdin.read()
os._exit(0)
