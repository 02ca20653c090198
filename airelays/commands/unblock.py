"""`unblock [IP]`: lift the failed-auth block of one address, or of all, in the running relay. Layer: commands."""

from __future__ import annotations

import os
import signal
import time
from ipaddress import ip_address

from airelays.credentials.as_owner import check_readable, signal_as_owner
from airelays.credentials.lock import FileLock, LockUnsupported, read_note
from airelays.errors import ConfigError, FlagError
from airelays.host.unblock import ask, hears_unblock, read_answer, withdraw
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console
from airelays.terminal.context import find_context

WAIT_SECONDS = 3.0
LOOK_SECONDS = 0.01


def run(args: Arguments, console: Console) -> int:
    """Leave the wish, tell the relay, and report what it did; exit 1 when no relay runs."""
    settings = find_context(args, console).settings
    client = _address(args.words[0]) if args.words else ""
    if not _is_running(settings.data_dir):
        raise ConfigError(
            f"no relay runs on {settings.data_dir}, so nobody is blocked; blocks are not kept when it stops"
        )
    wish = ask(settings.data_dir, client)
    _tell(settings.data_dir)
    lifted = _wait(settings.data_dir, wish)
    if args.has("--json"):
        console.json({"client": client or None, "lifted": lifted})
    elif lifted is None:
        console.line("the relay will do it when the blocked client comes again")
    elif not lifted:
        console.line(f"{client or 'nobody'} was not blocked")
    else:
        console.line(f"lifted: {client or f'{lifted} blocks or counts of failures'}")
    return 0


def _address(text: str) -> str:
    try:
        return str(ip_address(text.strip("[]")))
    except ValueError as error:
        raise FlagError(
            f"{text[:80]!r} is no IP address; give one such as 192.168.1.7, or none for all"
        ) from error


def _is_running(data_dir: str) -> bool:
    """Whether some relay holds the lock of the data folder. Raises ConfigError when that cannot be seen."""
    check_readable(data_dir)
    if not os.path.exists(os.path.join(data_dir, "relay.lock")):
        return False
    lock = FileLock(os.path.join(data_dir, "relay.lock"))
    try:
        if not lock.acquire(0.0):
            return True
    except LockUnsupported:
        return os.path.exists(os.path.join(data_dir, "relay.pid"))
    lock.release()
    return False


def _tell(data_dir: str) -> None:
    """Signal the holder of the lock. Where there are no such signals it looks by itself."""
    if not hasattr(signal, "SIGUSR1"):
        return
    path = os.path.join(data_dir, "relay.pid")
    try:
        text = read_note(path).strip()
        pid = int(text) if text.isdigit() else 0
        if pid <= 1:
            raise ValueError(f"it names no relay's process ({len(text)} bytes)")
        if read_note(os.path.join(data_dir, "relay.lock")) != hears_unblock(pid):
            raise ValueError(f"{pid} is another program's; restart that, which lifts all blocks")
        signal_as_owner(data_dir, pid, signal.SIGUSR1)
    except (OSError, ValueError) as error:
        withdraw(data_dir)
        raise ConfigError(f"the relay of {path} cannot be told: {error}") from error


def _wait(data_dir: str, wish: str) -> int | None:
    if not hasattr(signal, "SIGUSR1"):
        return None
    end_s = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end_s:
        lifted = read_answer(data_dir, wish)
        if lifted is not None:
            return lifted
        time.sleep(LOOK_SECONDS)
    withdraw(data_dir)
    raise ConfigError(
        f"the relay did not answer within {WAIT_SECONDS:g} s; it may be stopping: try again, or restart it"
    )
