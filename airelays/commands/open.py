"""`open`: the page of the relay that runs, in the browser. Layer: commands.

The code that signs the page in goes through a file that only this user can read: on the command line of a browser every
user of the machine could read it. Only --print, or a browser that did not use it, bring it to the terminal.
"""

from __future__ import annotations

import contextlib
import html
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator

from airelays.credentials.secretfile import write_private
from airelays.errors import ConfigError
from airelays.hints import hint
from airelays.host.contact import Contact
from airelays.terminal.arguments import Arguments
from airelays.terminal.browser import is_headless, open_browser
from airelays.terminal.console import Console, escaped
from airelays.terminal.context import find_context
from airelays.terminal.running import need_relay

# So long the address is kept from the terminal: a browser that can read the file has used the code by then.
UNUSED_S = 10.0
LOOK_S = 0.1
_NAME = "open-{}.html"


def run(args: Arguments, console: Console) -> int:
    """Open the page; return 0 once it is signed in, 1 when the code was not used in its time."""
    context = find_context(args, console)
    contact = need_relay(args, context)
    given = contact.ask("POST", "/page-code", {})
    url = f"{contact.base_url.removesuffix('/v1')}/#{given['code']}"
    seconds = float(given["seconds"])
    if args.has("--print"):
        _print_address(console, url, seconds)
        return 0
    folder = context.settings.data_dir
    _sweep(folder, seconds)
    path = os.path.join(folder, _NAME.format(secrets.token_hex(8)))
    end_s = time.monotonic() + seconds
    with _ended_by_signals():
        try:
            write_private(path, _forwarding(url))
            opened = not is_headless(console.env, sys.platform) and open_browser(console, path)
            return _wait(console, contact, str(given["id"]), url, opened, end_s)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _wait(
    console: Console, contact: Contact, code_id: str, url: str, opened: bool, end_s: float
) -> int:
    """Wait until the page has used the code; show the address when no browser seems to."""
    if opened:
        console.line("Opening the page in your browser.")
        console.out.flush()
    show_s = time.monotonic() + (UNUSED_S if opened else 0.0)
    while time.monotonic() < end_s:
        if time.monotonic() >= show_s:
            show_s = float("inf")
            _print_address(console, url, end_s - time.monotonic())
        try:
            state = contact.ask("GET", f"/page-code?id={code_id}")["state"]
        except ConfigError as error:
            raise ConfigError(f"the relay has stopped; start it again: {hint('serve')}") from error
        if state == "used":
            console.line("The page is open. It stays signed in for up to 12 hours.")
            return 0
        if state == "ended":
            break
        time.sleep(LOOK_S)
    console.note(f"the code was not used in time; for a new one, run: {hint('open')}")
    return 1


def _print_address(console: Console, url: str, seconds: float) -> None:
    console.line(f"Open this address within {seconds:.0f} s; it works once:")
    console.line()
    console.line(f"  {escaped(url)}")
    console.line()
    console.out.flush()


def _forwarding(url: str) -> bytes:
    """Return the page that sends the browser on to `url`, and is not in its history."""
    target = json.dumps(url).replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<title>AIRelays</title>
<script>location.replace({target})</script>
</head>
<body><p><a href="{html.escape(url)}">Open AIRelays</a></p></body>
</html>
""".encode()


def _sweep(folder: str, seconds: float) -> None:
    """Remove such files of killed commands; their codes have expired."""
    start, end = _NAME.split("{}")
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.startswith(start) and entry.name.endswith(end):
                old = entry.stat(follow_symlinks=False).st_mtime < time.time() - seconds
                if old and entry.is_file(follow_symlinks=False):
                    os.unlink(entry.path)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let the signals that end a process run `finally` first, as Ctrl-C does."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    names = [name for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    before = {
        number: signal.signal(number, end) for number in map(signal.Signals.__getitem__, names)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
