"""Tell the service manager how the relay is doing: systemd's notification protocol, by hand. Layer: I/O.

One datagram to the socket that NOTIFY_SOCKET names (sd_notify(3)). Without it nothing happens.
"""

from __future__ import annotations

import os
import socket


def tell_manager(state: str) -> bool:
    """Send `state` ("READY=1", "STOPPING=1"); return whether somebody was told. Never fails."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
        return False
    # A name that begins with @ is one of Linux's abstract sockets: there it begins with a zero byte.
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(address)
            sock.send(state.encode())
    except OSError:
        return False
    return True
