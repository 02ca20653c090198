"""What systemd and a service exchange: sockets that systemd opened, and notifications. Layer: app.

sd_listen_fds(3) and sd_notify(3), without their library.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping

from airelays.errors import ConfigError

# SD_LISTEN_FDS_START
FIRST_FD = 3
# As many as a relay can be configured to listen on, with room for names that have two addresses.
MAX_FDS = 128
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


def count_passed(env: MutableMapping[str, str], pid: int) -> int:
    """Return how many descriptors, from FIRST_FD on, are meant for the process `pid`; takes the variables out of `env`.

    Raises ConfigError for a number that cannot be one.
    """
    told = {name: env.pop(name, "") for name in _VARIABLES}
    if told["LISTEN_PID"] != str(pid):
        return 0
    count = told["LISTEN_FDS"]
    if not (count.isascii() and count.isdigit() and int(count[:4]) <= MAX_FDS):
        raise ConfigError(
            f"LISTEN_FDS is {count[:20]!r}; expected the number of sockets that were passed, at most {MAX_FDS}"
        )
    return int(count)


def passed_sockets(env: MutableMapping[str, str], pid: int) -> list[socket.socket]:
    """Return the sockets that systemd listens on for the process `pid`; no program started from it gets them.

    Raises ConfigError if one of them is not a listening TCP socket.
    """
    fds = range(FIRST_FD, FIRST_FD + count_passed(env, pid))
    found: list[socket.socket] = []
    try:
        for fd in fds:
            found.append(_taken(fd))
    except BaseException:
        for one in found:
            one.close()
        raise
    return found


def _taken(fd: int) -> socket.socket:
    refused = ConfigError(
        f"descriptor {fd}, which was passed to the relay, is not a listening TCP socket; use only "
        "ListenStream=ADDRESS:PORT and Accept=no in airelays.socket"
    )
    try:
        os.set_inheritable(fd, False)
        taken = socket.socket(fileno=fd)
    except OSError as error:
        raise refused from error
    listens = (
        taken.family in (socket.AF_INET, socket.AF_INET6)
        and taken.type == socket.SOCK_STREAM
        and taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    )
    if not listens:
        taken.close()
        raise refused
    taken.setblocking(False)
    return taken


def tell_manager(state: str) -> bool:
    """Send `state` ("READY=1", "STOPPING=1"); return whether it was sent. Never fails."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
        return False
    # A name that begins with @ is an abstract socket of Linux, whose real name begins with a zero byte.
    address = "\0" + path[1:] if path.startswith("@") else path
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(address)
        sock.send(state.encode())
        return True
    return False


def stopping(seconds: float) -> str:
    """Return the notification of a stop that takes up to `seconds`: TimeoutStopSec= does not end it earlier."""
    return f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}"
