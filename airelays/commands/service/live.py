"""Whether the relay of a service runs: it has answered on its control listener, and is the service's own.

Layer: commands.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time

from airelays.commands.service.place import Place, told
from airelays.errors import ConfigError
from airelays.host.contact import Contact, find
from airelays.host.running import Running
from airelays.terminal.console import Console, escaped

WAIT_S = 20.0
LOOK_S = 0.1


def is_of(place: Place, pid: int) -> bool:
    """Whether the process is the service's: its main one, or the child of that (the one-file executable's loader)."""
    if place.kind == "windows":
        return os.path.isfile(place.path)  # the Task Scheduler does not say
    if place.kind == "launchd":
        found = re.search(r"^\s*pid = ([0-9]+)", told(place.ask)[1], re.MULTILINE)
        main = int(found[1]) if found else 0
    else:
        said = told(place.pid)[1]
        main = int(said) if said.isascii() and said.isdigit() else 0
    return main > 0 and main in (pid, _parent(pid))


def _parent(pid: int) -> int:
    if sys.platform != "linux":
        return 0
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def wait_for_relay(place: Place, data_dir: str, before: Running | None) -> Contact | None:
    """Return the relay once it has answered; None when none has within WAIT_S. `before` is the one of earlier."""
    end_s = time.monotonic() + WAIT_S
    while True:
        with contextlib.suppress(ConfigError):  # it begins just now
            contact = find(data_dir)
            running = None if contact is None else contact.running
            if running is not None and running != before and is_of(place, running.pid):
                return contact
        if time.monotonic() > end_s or (place.kind == "systemd" and told(place.ask)[0] != 0):
            return None
        time.sleep(LOOK_S)


def print_last_words(place: Place, console: Console) -> None:
    """Show the last lines that the service printed, if its manager has kept them."""
    code, said = told(place.said) if place.said else (1, "")
    if code == 0 and said:
        console.err.write(f"The last lines of {' '.join(place.said)}:\n")
        for line in said.splitlines():
            console.err.write(f"  {escaped(line)}\n")
