"""A small broker on Proton, for what ActiveMQ cannot do: it lets in who says no SASL, it knows nothing of expiry times, and with
--product qpid-dispatch-router it is what the routable addresses are for. Queues in memory; broadcast and multicast addresses go
to all; an address with "nocredit" in it gets no credit, the attach of one with "silent" in it no answer, and one with "picky"
in it detaches the link, without closing it, when a message is long. Replies to what is sent to an address with "astray" in it go
to one without credit. With --lose-session N the Nth session of each connection
is never begun. It is ready when its port takes connections, and ends with its standard input.
"""

import argparse
import collections
import os
import sys
import threading
import time
import uuid

import proton
from proton.handlers import EndpointStateHandler, MessagingHandler
from proton.reactor import Container

options = argparse.ArgumentParser()
options.add_argument("--port", required=True)
options.add_argument("--product")
options.add_argument("--lose-session", type=int)
arguments = options.parse_args()


class Broker(MessagingHandler):
    def __init__(self):
        super().__init__(prefetch=0, auto_accept=False)
        self.queues = collections.defaultdict(collections.deque)
        self.consumers = collections.defaultdict(list)
        self.unsettled = {}
        self.sessions = collections.Counter()
        self.astray = uuid.uuid4().hex
        for handler in self.handlers:
            if isinstance(handler, EndpointStateHandler):
                self.answer_selectively(handler)

    def answer_selectively(self, handler):
        on_link, on_session = handler.on_link_remote_open, handler.on_session_remote_open

        def on_link_remote_open(event):
            addresses = (event.link.remote_source.address, event.link.remote_target.address)
            if not any(address and "silent" in address for address in addresses):
                on_link(event)

        def on_session_remote_open(event):
            container = event.connection.remote_container
            self.sessions[container] += 1
            if self.sessions[container] != arguments.lose_session:
                on_session(event)

        handler.on_link_remote_open = on_link_remote_open
        handler.on_session_remote_open = on_session_remote_open

    def on_start(self, event):
        event.container.listen(f"127.0.0.1:{arguments.port}")

    def on_connection_opening(self, event):
        event.connection.container = "oxlo-test-broker"
        if arguments.product:
            event.connection.properties = {proton.symbol("product"): arguments.product}

    def on_link_opening(self, event):
        link = event.link
        link.target.address = link.remote_target.address
        if not link.is_sender:
            link.source.address = link.remote_source.address
            if "nocredit" not in link.remote_target.address:
                link.flow(200)
            return
        address = link.remote_source.address
        if link.remote_source.dynamic:
            address = f"temp.{uuid.uuid4().hex}"
            link.source.dynamic = True
        link.source.address = address
        self.consumers[address].append(link)

    def on_message(self, event):
        if getattr(event.link, "detached", False):
            # A broker says nothing more on such a link: the peer would end the session for it.
            return
        address, message = event.link.target.address, event.message
        if "picky" in address and len(message.body) > 1000:
            event.link.condition = proton.Condition("amqp:link:message-size-exceeded", "no more than 1000 bytes here")
            # Closing writes the condition, detaching does not.
            event.link._update_cond()
            event.link.detach()
            event.link.detached = True
            return
        if "astray" in address and message.reply_to:
            message.reply_to = f"nocredit.{self.astray}"
        self.accept(event.delivery)
        event.link.flow(1)
        entry = (message, time.monotonic() + message.ttl if message.ttl else None)
        if "broadcast" in address or "/multicast/" in address:
            for link in self.consumers[address]:
                if link.credit > 0:
                    link.send(message)
            return
        self.queues[address].append(entry)
        self.deliver(address)

    def on_sendable(self, event):
        self.deliver(event.link.source.address)

    def deliver(self, address):
        queue, links = self.queues[address], self.consumers[address]
        while queue and any(link.credit > 0 for link in links):
            # The one that has waited longest takes the next message.
            link = links.pop(0)
            links.append(link)
            if link.credit <= 0:
                continue
            message, expires = queue.popleft()
            if expires is None or expires > time.monotonic():
                delivery = link.send(message)
                self.unsettled[link.name, delivery.tag] = (address, message, expires)

    def back(self, event):
        address, message, expires = self.unsettled.pop((event.link.name, event.delivery.tag), (None, None, None))
        if message is not None:
            message.first_acquirer = False
            message.delivery_count += 1
            self.queues[address].appendleft((message, expires))
            self.deliver(address)

    def on_released(self, event):
        self.back(event)

    def on_settled(self, event):
        self.unsettled.pop((event.link.name, event.delivery.tag), None)

    def gone(self, wanted):
        for links in self.consumers.values():
            links[:] = [link for link in links if not wanted(link)]

    def on_link_closing(self, event):
        self.gone(lambda link: link == event.link)

    def on_link_error(self, event):
        """The peer detaches with our condition; Proton alone would close the connection for it."""

    def on_session_closing(self, event):
        self.gone(lambda link: link.session == event.session)

    def on_connection_closing(self, event):
        self.gone(lambda link: link.connection == event.connection)

    def on_disconnected(self, event):
        self.gone(lambda link: link.connection == event.connection)


def end_with_input():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_input, daemon=True).start()
print('{"ready": true}', flush=True)
Container(Broker()).run()
