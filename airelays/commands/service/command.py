"""`service`: run the relay in the background, with what the system has for that. Layer: commands.

systemd (for the user or the machine), launchd, the Windows Task Scheduler. The file is made by `servicefile`; here it
is put in its place and the manager is told. Only programs of the system are started, with words of ours.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import NamedTuple

from airelays.commands.service.files import KINDS, service_text
from airelays.commands.service.words import check_words, left_behind, words_for
from airelays.disk.outside import find_target, remove_outside, write_outside
from airelays.disk.regular import kind_of, read_regular
from airelays.errors import ConfigError, FlagError
from airelays.hints import hint
from airelays.host.form import program_argv
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console

LABEL = "io.airelays.relay"
TASK = "AIRelays"
MAX_FILE_BYTES = 1024 * 1024


class Place(NamedTuple):
    """Where the file goes, and the commands that make the manager take it, drop it, tell of it."""

    kind: str
    path: str
    start: tuple[tuple[str, ...], ...]
    stop: tuple[tuple[str, ...], ...]
    ask: tuple[str, ...]


def run_print(args: Arguments, console: Console) -> int:
    """Print the file that `install` would write."""
    kind = args.get("--kind") or _own_kind()
    if kind not in KINDS:
        raise FlagError(f"--kind is {kind!r}; expected {', '.join(KINDS)}")
    console.out.write(_text(kind, args, console.env))
    console.out.flush()
    _tell(args, console, kind)
    return 0


def run_install(args: Arguments, console: Console) -> int:
    """Write the file and start the service; when the manager refuses, leave things as they were."""
    import shutil

    place = _place(args, console.env)
    program = args.get("--program")
    text = _text(place.kind, args, console.env)
    if program and shutil.which(os.path.abspath(program)) is None:
        raise FlagError(f"--program is {program!r}, which is no program that can be run")
    _refuse_masked(place)
    before = _read(place.path)
    _write(place, text)
    if not args.has("--no-start"):
        try:
            for command in place.start:
                _must(command)
        except ConfigError:
            _take_back(place, before)
            raise
    console.line(f"Written: {place.path}")
    _tell(args, console, place.kind)
    if args.has("--no-start"):
        return 0
    console.line("The relay runs, and starts again by itself.")
    if place.kind == "systemd" and not args.has("--system"):
        console.steps(["loginctl enable-linger", hint("service status")])
    return 0


def _mask(place: Place) -> str:
    """Return by what the unit is masked, so that systemd never starts it (systemd.unit(5)); "" when it is not."""
    if place.kind != "systemd":
        return ""
    if os.path.realpath(place.path) == os.devnull:
        return f"a link to {os.devnull}"
    try:
        found = os.stat(place.path)
    except OSError:
        return ""
    return "" if found.st_size or kind_of(found.st_mode) else "empty"


def _unmask(place: Place) -> str:
    user = "--user " if "--user" in place.ask else ""
    return f"systemctl {user}unmask {os.path.basename(place.path)}"


def _refuse_masked(place: Place) -> None:
    mask = _mask(place)
    if mask:
        raise ConfigError(
            f"{os.path.basename(place.path)} is masked ({place.path} is {mask}), so it is not installed; "
            f"to allow it, type: {_unmask(place)}"
        )


def _read(path: str) -> bytes | None:
    """Return what is there now, None when there is nothing. Raises ConfigError for what is not a file."""
    find_target(path)
    try:
        return read_regular(path, MAX_FILE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


def _write(place: Place, text: str) -> None:
    encoding = "utf-16" if place.kind == "windows" else "utf-8"
    _put(place, text.encode(encoding))


def _put(place: Place, data: bytes) -> None:
    """Write the file, for nobody else to change, whatever the umask is. Never through a link."""
    write_outside(place.path, data, mode=0o644, most=0o644, folder_mode=0o755)


def _take_back(place: Place, before: bytes | None) -> None:
    """Put back the file that was there before, or have the manager forget the one that it has refused."""
    if before is None:
        for command in place.stop:
            _run(command)
        remove_outside(place.path)
    else:
        _put(place, before)
    if place.kind == "systemd":
        _run(place.start[0])


def _tell(args: Arguments, console: Console, kind: str) -> None:
    """Say what the file cannot carry: the environment of now, and who may write a folder elsewhere."""
    names = left_behind(args, console.env)
    if names:
        console.note(
            f"the service starts without {', '.join(names)} of this environment; "
            "put into the config file what it needs, or give it as a flag"
        )
    folders = words_for(args, console.env).writes
    if folders and args.has("--system") and kind == "systemd":
        import shlex

        console.note(
            f"the service runs as the user airelays, to whom {' and '.join(folders)} must belong: "
            f"useradd --system airelays; chown airelays {shlex.join(folders)}"
        )


def run_uninstall(args: Arguments, console: Console) -> int:
    """Stop the service and remove its file; nothing of the relay's own data is touched."""
    place = _place(args, console.env)
    if _mask(place):
        name = os.path.basename(place.path)
        console.line(f"Not installed: {name} is masked; {_unmask(place)} allows it again")
        return 0
    if _read(place.path) is None and place.kind != "windows":
        console.line(f"Not installed: there is no {place.path}")
        return 0
    for command in place.stop:
        _run(command)
    remove_outside(place.path)
    if place.kind == "systemd":
        _run(place.start[0])  # have the manager forget the file
    console.line(f"Removed: {place.path}")
    return 0


def run_status(args: Arguments, console: Console) -> int:
    """Show whether the file is there and the service runs; 1 when it does not."""
    place = _place(args, console.env)
    code, said = _run(place.ask)
    console.title("Service")
    console.section("Service")
    console.field("Kind", place.kind)
    console.field("File", place.path)
    masked = bool(_mask(place))
    console.field("Installed", os.path.isfile(place.path) and not masked)
    if masked:
        console.field("Masked", True)
    console.field("Runs", code == 0)
    if said and code != 0:
        console.field("Manager says", said.splitlines()[-1])
    if masked:
        console.steps([_unmask(place), hint("service install")])
    return 0 if code == 0 else 1


def _text(kind: str, args: Arguments, env: Mapping[str, str]) -> str:
    program = args.get("--program")
    words = [program] if program else program_argv()
    if program and not os.path.isabs(program) and kind != "windows":
        raise FlagError(f"--program is {program!r}; expected an absolute path")
    home = _home(env) if not program else ""
    given, system = words_for(args, env), args.has("--system")
    paths = (*given.writes, *given.reads)
    check_words((*words, *given.flags), kind=kind, system=system, paths=paths)
    return service_text(kind, words, system=system, home=home, given=given)


def _own_kind() -> str:
    return {"darwin": "launchd", "win32": "windows"}.get(sys.platform, "systemd")


def _home(env: Mapping[str, str]) -> str:
    home = env.get("HOME") or os.path.expanduser("~")
    if home.startswith("~"):
        raise ConfigError("there is no home folder; set HOME")
    return home


def _place(args: Arguments, env: Mapping[str, str]) -> Place:
    """Return where a service of this system goes."""
    kind, system = _own_kind(), args.has("--system")
    if kind == "windows":
        folder = env.get("LOCALAPPDATA") or _home(env)
        return _windows(os.path.join(folder, "airelays", "task.xml"))
    if kind == "launchd":
        if system:
            raise ConfigError("launchd runs the relay for a user only; leave --system out")
        return _launchd(os.path.join(_home(env), "Library", "LaunchAgents", f"{LABEL}.plist"))
    if system:
        return _systemd("/etc/systemd/system/airelays.service", "--system")
    base = env.get("XDG_CONFIG_HOME", "")
    base = base if os.path.isabs(base) else os.path.join(_home(env), ".config")
    return _systemd(os.path.join(base, "systemd", "user", "airelays.service"), "--user")


def _systemd(path: str, whose: str) -> Place:
    unit, tool = "airelays.service", ("systemctl", whose)
    return Place(
        "systemd",
        path,
        ((*tool, "daemon-reload"), (*tool, "enable", "--now", unit)),
        ((*tool, "disable", "--now", unit),),
        (*tool, "is-active", unit),
    )


def _launchd(path: str) -> Place:
    domain = f"gui/{os.getuid()}"
    return Place(
        "launchd",
        path,
        (("launchctl", "bootstrap", domain, path),),
        (("launchctl", "bootout", f"{domain}/{LABEL}"),),
        ("launchctl", "print", f"{domain}/{LABEL}"),
    )


def _windows(path: str) -> Place:
    task = ("/TN", TASK)
    return Place(
        "windows",
        path,
        (
            ("schtasks", "/Create", *task, "/XML", path, "/F"),
            ("schtasks", "/Run", *task),
        ),
        (("schtasks", "/End", *task), ("schtasks", "/Delete", *task, "/F")),
        ("schtasks", "/Query", *task),
    )


def _run(command: tuple[str, ...]) -> tuple[int, str]:
    """Run a program of the system; return its exit code and what it said."""
    import subprocess

    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60
        )
    except FileNotFoundError:
        return 127, f"there is no {command[0]} on this system"
    except subprocess.TimeoutExpired:
        return 124, f"{command[0]} did not answer within a minute"
    return done.returncode, (done.stderr or done.stdout).decode("utf-8", "replace").strip()


def _must(command: tuple[str, ...]) -> None:
    code, said = _run(command)
    if code != 0:
        reason = said.splitlines()[-1] if said else f"exit code {code}"
        raise ConfigError(f"`{' '.join(command)}` failed: {reason}")
