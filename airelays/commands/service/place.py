"""Where a service file belongs on this system, and the commands that make its manager load it. Layer: commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import NamedTuple

from airelays.errors import ConfigError
from airelays.terminal.arguments import Arguments

LABEL = "io.airelays.relay"
TASK = "AIRelays"
UNIT, SOCKET = "airelays.service", "airelays.socket"
_RUN_S = 60.0

Words = tuple[str, ...]


class Place(NamedTuple):
    """The file, and what to tell the manager.

    `clear` goes before and may fail; `load` has the manager take the file: when that fails the file is taken back;
    `start` makes it run by the file as it is now, also when it runs already. `ask` says whether it runs, `pid` gives
    its main process ("" where the manager does not say), `said` what it printed last. `socket` is a second file.
    """

    kind: str
    path: str
    clear: tuple[Words, ...]
    load: tuple[Words, ...]
    start: tuple[Words, ...]
    stop: tuple[Words, ...]
    ask: Words
    pid: Words = ()
    said: Words = ()
    socket: str = ""
    tool: Words = ()


def own_kind() -> str:
    """Return the kind of service file that this system has."""
    return {"darwin": "launchd", "win32": "windows"}.get(sys.platform, "systemd")


def home_of(env: Mapping[str, str]) -> str:
    """Return the home folder. Raises ConfigError when there is none."""
    home = env.get("HOME") or os.path.expanduser("~")
    if home.startswith("~"):
        raise ConfigError("there is no home folder; set HOME")
    return home


def find_place(args: Arguments, env: Mapping[str, str]) -> Place:
    """Return where a service of this system goes."""
    kind, system = own_kind(), args.has("--system")
    if kind != "systemd" and system:
        raise ConfigError("--system works only on machines with systemd; leave it out")
    if kind == "windows":
        folder = env.get("LOCALAPPDATA") or home_of(env)
        return find_windows(os.path.join(folder, "airelays", "task.xml"))
    if kind == "launchd":
        return find_launchd(home_of(env))
    if system:
        return _systemd("/etc/systemd/system", "--system")
    base = env.get("XDG_CONFIG_HOME", "")
    base = base if os.path.isabs(base) else os.path.join(home_of(env), ".config")
    return _systemd(os.path.join(base, "systemd", "user"), "--user")


def _systemd(folder: str, whose: str) -> Place:
    tool = ("systemctl", whose)
    which = "--unit" if whose == "--system" else "--user-unit"
    return Place(
        "systemd",
        os.path.join(folder, UNIT),
        clear=(),
        load=((*tool, "daemon-reload"), (*tool, "enable", UNIT)),
        start=((*tool, "restart", UNIT),),
        stop=((*tool, "disable", "--now", UNIT),),
        ask=(*tool, "is-active", UNIT),
        pid=(*tool, "show", "--property=MainPID", "--value", UNIT),
        said=(
            "journalctl",
            "--quiet",
            "--no-pager",
            "--output=cat",
            "--lines=10",
            f"{which}={UNIT}",
        ),
        socket=os.path.join(folder, SOCKET),
        tool=tool,
    )


def find_launchd(home: str) -> Place:
    """Return where an agent of launchd goes for the user with that home."""
    domain = f"gui/{os.getuid()}"
    path = os.path.join(home, "Library", "LaunchAgents", f"{LABEL}.plist")
    stop = ("launchctl", "bootout", f"{domain}/{LABEL}")
    return Place(
        "launchd",
        path,
        clear=(stop,),
        load=(("launchctl", "bootstrap", domain, path),),
        start=(),
        stop=(stop,),
        ask=("launchctl", "print", f"{domain}/{LABEL}"),
        said=("tail", "-n", "10", os.path.join(home, "Library", "Logs", "airelays.log")),
    )


def find_windows(path: str) -> Place:
    """Return how a task is made of the file at `path`."""
    task = ("/TN", TASK)
    return Place(
        "windows",
        path,
        clear=(("schtasks", "/End", *task),),
        load=(("schtasks", "/Create", *task, "/XML", path, "/F"),),
        start=(("schtasks", "/Run", *task),),
        stop=(("schtasks", "/End", *task), ("schtasks", "/Delete", *task, "/F")),
        ask=("schtasks", "/Query", *task),
    )


def told(command: Words, within_s: float = _RUN_S) -> tuple[int, str]:
    """Run a program of the system; return its exit code and its output."""
    import subprocess

    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=within_s
        )
    except FileNotFoundError:
        return 127, f"there is no {command[0]} on this system"
    except subprocess.TimeoutExpired:
        return 124, f"{command[0]} did not answer within {within_s:g} s"
    return done.returncode, (done.stderr or done.stdout).decode("utf-8", "replace").strip()


def must(command: Words, within_s: float = _RUN_S) -> None:
    """Run a program of the system. Raises ConfigError with its last words when it fails."""
    code, said = told(command, within_s)
    if code != 0:
        reason = said.splitlines()[-1] if said else f"exit code {code}"
        raise ConfigError(f"`{' '.join(command)}` failed: {reason}")
