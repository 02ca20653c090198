"""`unblock [IP]`, `reload`, `stop`: done by the relay that runs, over its control listener. Layer: commands."""

from __future__ import annotations

import time
from ipaddress import ip_address

from airelays.errors import ConfigError, FlagError
from airelays.host.contact import Contact, find
from airelays.settings.reload import reload_text
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console
from airelays.terminal.context import find_context
from airelays.terminal.running import need_relay

LOOK_S = 0.05
# What a relay does after the last answer has ended: it closes its upstreams, its store and its log.
AFTER_DRAIN_S = 10.0


def run_unblock(args: Arguments, console: Console) -> int:
    """Lift the failed-auth block of one address, or of all; exit 1 when no relay runs."""
    client = _address(args.words[0]) if args.words else ""
    lifted = need_relay(args, find_context(args, console)).ask(
        "POST", "/unblock", {"client": client}
    )
    count = int(lifted["lifted"])
    if args.has("--json"):
        console.json({"client": client or None, "lifted": count})
    elif not count:
        console.line(f"{client or 'no address'} was not blocked")
    else:
        console.line(f"unblocked: {client or f'all addresses ({count})'}")
    return 0


def run_reload(args: Arguments, console: Console) -> int:
    """Have the relay read its settings again; exit 1, and nothing has changed, when they cannot be used."""
    found = need_relay(args, find_context(args, console)).ask("POST", "/reload", {})
    if args.has("--json"):
        console.json(found)
    else:
        console.line(reload_text(found["taken"], found["need_restart"]))
    return 0


def run_stop(args: Arguments, console: Console) -> int:
    """Stop the relay and wait for its end; running answers get server.drain_seconds."""
    settings = find_context(args, console).settings
    contact = need_relay(args, find_context(args, console))
    told = contact.ask("POST", "/stop", {})
    drain_s = float(told["drain_seconds"]) + float(told.get("announce_seconds", 0.0))
    pid = contact.running.pid if contact.running is not None else 0
    wait_for_end(settings.data_dir, contact, drain_s + AFTER_DRAIN_S)
    if args.has("--json"):
        console.json({"stopped": True, "pid": pid})
    else:
        console.line(f"the relay (pid {pid}) has stopped")
    return 0


def wait_for_end(data_dir: str, before: Contact, seconds: float) -> None:
    """Wait until the process that `before` reaches has ended; another one can have started by then.

    Raises ConfigError if it is still running after `seconds`.
    """
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        try:
            now = find(data_dir)
        except ConfigError:  # it is ending: its lock is held, and it does not answer any more
            time.sleep(LOOK_S)
            continue
        if now is None or now.running != before.running:
            return
        time.sleep(LOOK_S)
    raise ConfigError(f"the relay is still running {seconds:g} s after it was asked to stop")


def _address(text: str) -> str:
    try:
        return str(ip_address(text.strip("[]")))
    except ValueError as error:
        raise FlagError(
            f"{text[:80]!r} is not an IP address; expected one such as 192.168.1.7, or none to unblock all"
        ) from error
