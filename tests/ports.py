"""Ports for servers in processes of their own, which are told their port."""

import os
import socket
from contextlib import suppress
from itertools import cycle, islice

PORTS = range(10_000, 32_000)
"""Below those that the system gives to connections: 32768 and up on Linux. One of these may be in use by the time the
server begins, or while it is stopped. Who connects to it then, again and again, may even be connected to itself."""

_ports = islice(cycle(PORTS), os.getpid() * 997 % len(PORTS), None)  # tests run side by side


def free_port() -> int:
    """Return a port at which nobody listens; another one each time."""
    for port in islice(_ports, len(PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
