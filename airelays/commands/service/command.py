"""`service`: run the relay in the background with the service manager of the system. Layer: commands.

systemd (for the user or the machine), launchd, the Windows Task Scheduler. `files` writes their text; this module
puts them into place and notifies the manager. It starts only programs of the system, with fixed arguments.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from typing import TYPE_CHECKING, NamedTuple

from airelays.commands.service.files import KINDS, service_text, socket_text
from airelays.commands.service.place import (
    SOCKET,
    UNIT,
    Place,
    find_place,
    home_of,
    must,
    own_kind,
    told,
)
from airelays.commands.service.words import check_words, left_behind, words_for
from airelays.disk.folder import is_root
from airelays.disk.outside import find_target, remove_outside, write_outside
from airelays.disk.regular import kind_of, read_regular
from airelays.errors import ConfigError, FlagError
from airelays.hints import hint, program
from airelays.host.account import DATA_DIR, NAME, find_account, make_account
from airelays.host.form import program_argv, program_files
from airelays.settings.kinds import KINDS as UPSTREAM_KINDS
from airelays.settings.values import Settings
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console

if TYPE_CHECKING:
    from airelays.host.contact import Contact

MAX_FILE_BYTES = 1024 * 1024
# `systemctl restart` returns when the old relay has ended and the new one is ready.
START_S = 120.0
LOOK_S = 0.1


class Plan(NamedTuple):
    """What `install` does: the files with their content, the settings, the relay of this service that runs now."""

    place: Place
    files: tuple[tuple[str, bytes], ...]
    settings: Settings
    running: Contact | None


def run_print(args: Arguments, console: Console) -> int:
    """Print the file that `install` would write."""
    kind = args.get("--kind") or own_kind()
    if kind not in KINDS:
        raise FlagError(f"--kind is {kind!r}; expected {', '.join(KINDS)}")
    if args.has("--socket"):
        if kind != "systemd":
            raise FlagError("--socket works only with systemd; leave it out, or leave out --kind")
        from airelays.commands.service import ahead

        settings = ahead.future_context(args, console).settings
        console.out.write(socket_text(ahead.wanted_ports(settings), system=args.has("--system")))
    else:
        console.out.write(_text(kind, args, console))
    console.out.flush()
    _tell(args, console)
    return 0


def run_install(args: Arguments, console: Console) -> int:
    """Write the file and start the service with it; reports success only once its relay has answered."""
    plan = _planned(args, console)
    before = {path: _read(path) for path, _ in plan.files}
    if args.has("--system"):
        make_account()
    try:
        for path, data in plan.files:
            _put(path, data)
        if not args.has("--no-start"):
            _load(plan)
    except ConfigError:
        _take_back(plan, before)
        raise
    console.line(f"Written: {', '.join(path for path, _ in plan.files)}")
    _tell(args, console)
    if args.has("--no-start"):
        return 0
    return _started(plan, before, args, console)


def _planned(args: Arguments, console: Console) -> Plan:
    """Check everything that would otherwise fail in the background. Raises ConfigError before anything is written."""
    from airelays.commands.service import ahead

    system = args.has("--system")
    place = find_place(args, console.env)
    if system and not is_root():
        raise ConfigError(f"--system requires root; run: sudo {program()} service install --system")
    if args.has("--socket") and not place.socket:
        raise FlagError("--socket works only with systemd; leave it out")
    text = _text(place.kind, args, console)
    settings = ahead.future_context(args, console).settings
    files = [(place.path, text.encode("utf-16" if place.kind == "windows" else "utf-8"))]
    if args.has("--socket"):
        opened = socket_text(ahead.wanted_ports(settings), system=system)
        files.append((place.socket, opened.encode()))
    for path, _ in files:
        # What is masked, a link or not a file is refused before the manager is asked anything.
        _refuse_masked(place, path)
        _read(path)
    if system:
        given, account = args.get("--program"), find_account()
        ahead.check_program([given] if given else program_files(), account)
        ahead.check_folders(words_for(args, console.env).writes, account)
    running = None
    if not args.has("--no-start"):
        running = ahead.find_running(place, settings)
        ahead.check_ports(place, settings, running, by_socket=args.has("--socket"), system=system)
    return Plan(place, tuple(files), settings, running)


def _load(plan: Plan) -> None:
    """Make the manager load the files. Raises ConfigError if it refuses."""
    _clear(plan)
    for command in plan.place.load:
        must(command)


def _take_back(plan: Plan, before: dict[str, bytes | None]) -> None:
    """Restore the files that were there before, or make the manager forget those that it has refused."""
    place = plan.place
    if before[place.path] is None:
        for command in place.stop:
            told(command)
    for path, data in before.items():
        if data is None:
            remove_outside(path)
        else:
            _put(path, data)
    told(place.load[0])


def _clear(plan: Plan) -> None:
    """If the manager cannot replace a running service, stop it, and let its answers end."""
    place, settings = plan.place, plan.settings
    within_s = START_S + settings.announce_seconds + settings.drain_seconds
    if place.kind == "windows" and plan.running is not None:
        from airelays.commands.control import wait_for_end

        with contextlib.suppress(ConfigError):  # schtasks ends what is left, at once
            plan.running.ask("POST", "/stop", {})
            wait_for_end(settings.data_dir, plan.running, within_s)
    for command in place.clear:
        told(command)
    end_s = time.monotonic() + within_s
    # launchctl returns before the service has ended, and takes no other of that name until then.
    while place.kind == "launchd" and told(place.ask)[0] == 0 and time.monotonic() < end_s:
        time.sleep(LOOK_S)


def _started(
    plan: Plan, replaced: dict[str, bytes | None], args: Arguments, console: Console
) -> int:
    """Start the service; return 0 once its relay has answered. If it does not, the files are kept."""
    from airelays.commands.service.live import print_last_words, wait_for_relay

    place, settings = plan.place, plan.settings
    before = None if plan.running is None else plan.running.running
    problem = ""
    try:
        if plan.files[1:]:
            _open_socket(plan, replaced)
        else:
            _close_socket(place)
        within_s = START_S + settings.announce_seconds + settings.drain_seconds
        if any(told(command, within_s)[0] != 0 for command in place.start):
            problem = "the service did not start"
    except ConfigError as error:
        problem = str(error)
    contact = None if problem else wait_for_relay(place, settings.data_dir, before)
    if contact is None:
        console.out.flush()
        print_last_words(place, console)
        again = shlex.join(place.start[-1]) if place.start else shlex.join(place.load[-1])
        raise ConfigError(
            f"{problem or 'the service was started, but its relay did not answer'}; "
            f"{place.path} was kept; once the cause is fixed, run: {again}"
        )
    console.line(
        f"The relay is running on {contact.base_url} and restarts automatically if it fails."
    )
    if args.has("--system"):
        login = (
            [f"{program()} login --system"]
            if UPSTREAM_KINDS[settings.upstream_kind].signs_in
            else []
        )
        console.steps([*login, f"{program()} status --system"])
    elif place.kind == "systemd":
        console.steps(["loginctl enable-linger", hint("service status")])
    return 0


def _open_socket(plan: Plan, replaced: dict[str, bytes | None]) -> None:
    """Make systemd open the addresses; those that are already open are not closed. Raises ConfigError."""
    place = plan.place
    must((*place.tool, "enable", SOCKET))
    is_open = told((*place.tool, "is-active", SOCKET))[0] == 0
    if is_open and plan.files[1] == (place.socket, replaced[place.socket]):
        return
    told((*place.tool, "stop", SOCKET, UNIT), START_S + plan.settings.drain_seconds)
    must((*place.tool, "start", SOCKET))


def _close_socket(place: Place) -> None:
    """Leave the addresses to the relay again. Raises ConfigError."""
    if place.socket and _read(place.socket) is not None:
        told((*place.tool, "disable", "--now", SOCKET))
        remove_outside(place.socket)
        must((*place.tool, "daemon-reload"))


def _mask(place: Place, path: str) -> str:
    """Return how the unit is masked, so that systemd never starts it (systemd.unit(5)); "" if it is not."""
    if place.kind != "systemd":
        return ""
    if os.path.realpath(path) == os.devnull:
        return f"a link to {os.devnull}"
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return "" if found.st_size or kind_of(found.st_mode) else "empty"


def _unmask(place: Place, path: str) -> str:
    user = "--user " if "--user" in place.ask else ""
    return f"systemctl {user}unmask {os.path.basename(path)}"


def _refuse_masked(place: Place, path: str) -> None:
    mask = _mask(place, path)
    if mask:
        raise ConfigError(
            f"{os.path.basename(path)} is masked ({path} is {mask}), so it is not installed; to allow it, run: "
            f"{_unmask(place, path)}"
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


def _put(path: str, data: bytes) -> None:
    """Write the file so that no other user can change it, whatever the umask is. Never through a link."""
    write_outside(path, data, mode=0o644, most=0o644, folder_mode=0o755)


def _tell(args: Arguments, console: Console) -> None:
    """List what the file does not contain: the variables of this environment."""
    names = left_behind(args, console.env)
    if names:
        console.note(
            f"the service starts without {', '.join(names)} from this environment; put what it needs into the "
            "config file, or pass it as a flag"
        )


def run_uninstall(args: Arguments, console: Console) -> int:
    """Stop the service and remove its files; nothing of the relay's own data is touched."""
    place = find_place(args, console.env)
    if _mask(place, place.path):
        name = os.path.basename(place.path)
        console.line(
            f"Not installed: {name} is masked; {_unmask(place, place.path)} allows it again"
        )
        return 0
    paths = [p for p in (place.socket, place.path) if p and _read(p) is not None]
    if not paths and place.kind != "windows":
        console.line(f"Not installed: there is no {place.path}")
        return 0
    if place.socket in paths:
        told((*place.tool, "disable", "--now", SOCKET))
    for command in place.stop:
        told(command, START_S)
    for path in paths or [place.path]:
        remove_outside(path)
    if place.kind == "systemd":
        told(place.load[0])  # have the manager forget the file
        told((*place.tool, "reset-failed", UNIT))
    console.line(f"Removed: {', '.join(paths) or place.path}")
    if args.has("--system"):
        console.line(f"Kept: the user {NAME} and {DATA_DIR}")
    return 0


def run_status(args: Arguments, console: Console) -> int:
    """Show whether the file is there and the service runs; 1 when it does not."""
    place = find_place(args, console.env)
    code, said = told(place.ask)
    console.title("Service")
    console.section("Service")
    console.field("Kind", place.kind)
    console.field("File", place.path)
    masked = bool(_mask(place, place.path))
    console.field("Installed", os.path.isfile(place.path) and not masked)
    if place.socket and os.path.isfile(place.socket):
        console.field("Socket", place.socket)
    if masked:
        console.field("Masked", True)
    console.field("Running", code == 0)
    if said and code != 0:
        console.field("Status", said.splitlines()[-1])
    if masked:
        console.steps([_unmask(place, place.path), hint("service install")])
    return 0 if code == 0 else 1


def _text(kind: str, args: Arguments, console: Console) -> str:
    given = args.get("--program")
    if given and not os.path.isabs(given) and kind != "windows":
        raise FlagError(f"--program is {given!r}; expected an absolute path")
    if given and args.command == "service install" and not _can_run(given):
        raise FlagError(f"--program is {given!r}, which is not a program that can be run")
    words = [given] if given else program_argv()
    home = home_of(console.env) if not given else ""
    told_words, system = words_for(args, console.env), args.has("--system")
    paths = (*told_words.writes, *told_words.reads)
    check_words((*words, *told_words.flags), kind=kind, system=system, paths=paths)
    return service_text(kind, words, system=system, home=home, given=told_words)


def _can_run(path: str) -> bool:
    import shutil

    return shutil.which(os.path.abspath(path)) is not None
