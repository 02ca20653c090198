"""`usage`: the subscription's windows, asked of the upstream with the stored sign-in, and the book.

Layer: commands.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from airelays.commands.booked import asked_for, find_book, print_book, write_csv
from airelays.commands.resets import ask_main, print_resets
from airelays.errors import ConfigError
from airelays.host.contact import Contact, NotOffered
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console, escaped
from airelays.terminal.context import Context, find_context
from airelays.terminal.layout import bar
from airelays.terminal.running import find_relay

WAIT_S = 60.0


def run(args: Arguments, console: Console) -> int:
    """Print the windows that the running relay or the upstream reports, followed by the book."""
    context = find_context(args, console)
    if args.has("--rebuild"):
        from airelays.commands.rebuild import rebuild

        return rebuild(context, console)
    contact, raw = find_relay(args, context), args.has("--raw")
    book = find_book(args, context, contact, console)
    if args.has("--csv"):
        write_csv(console, book)
        return 0
    if asked_for(args):
        if args.has("--json"):
            console.json({"object": "usage", "book": book})
        else:
            console.title("Usage")
            print_book(console, book)
        return 0
    try:
        usage = _windows(context, console, contact, raw=raw)
    except NotOffered:
        usage = None
    except ConfigError:
        if not args.has("--json") and book["rows"]:
            console.title("Usage")
            print_book(console, book)
        raise
    return _print_all(args, console, usage, book)


def _windows(
    context: Context, console: Console, contact: Contact | None, *, raw: bool
) -> dict[str, Any]:
    if contact is not None:
        return contact.ask("GET", f"/usage?raw={str(raw).lower()}", within_s=WAIT_S)
    return ask_main(context, console, lambda one: one.usage(raw=raw))


def _print_all(
    args: Arguments, console: Console, usage: dict[str, Any] | None, book: dict[str, Any]
) -> int:
    """Print the windows, if the upstream is a subscription, and the book."""
    if usage is None:
        if args.has("--json"):
            console.json({"object": "usage", "openai": None, "book": book})
            return 0
        console.title("Usage")
        console.line("The upstream does not have a subscription, so there are no windows to show.")
        print_book(console, book)
        return 0
    if args.has("--json"):
        account = {"slug": "default", "email": usage["account"]["email"], "status": usage}
        every = {"object": "subscription_status_list", "accounts": [account]}
        console.json({"object": "usage", "openai": every, "book": book})
        return 0
    console.title("Usage")
    console.section("Account")
    console.field("Plan", usage["account"]["plan_type"])
    if usage["account"]["email"]:
        console.field("Email", usage["account"]["email"])
    print_windows(console, usage)
    print_book(console, book)
    return 0


BAR_COLUMNS = 24
_ONE_LINE_COLUMNS = 94
NEARLY_USED_PERCENT = 80.0


def print_windows(console: Console, usage: dict[str, Any]) -> None:
    """Print every window of a subscription status: label, bar, percent, time to its reset."""
    limits = usage["rate_limits"]
    console.section("Limits")
    rows = list(_rows(limits))
    for name, window in rows:
        _print_row(console, name, window)
    if not rows:
        console.line("  the upstream did not report any windows")
    credits_ = usage.get("credits") or {}
    if credits_.get("unlimited"):
        console.field("Credits", "unlimited")
    elif credits_.get("has_credits"):
        console.field("Credits", credits_.get("balance"))
    print_resets(console, usage)


def _rows(limits: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    named = [("", limits.get("default")), ("code review", limits.get("code_review"))]
    named += [
        (e.get("limit_name") or "further", e.get("rate_limit"))
        for e in limits.get("additional") or ()
    ]
    for name, limit in named:
        for key in ("primary_window", "secondary_window"):
            window = (limit or {}).get(key)
            # A length of 0 means that this position is not in use (seen on free plans).
            if window and window.get("window_seconds"):
                yield f"{name} {window['window_label']}".strip(), window


def _print_row(console: Console, name: str, window: dict[str, Any]) -> None:
    used = window["used_percent"]
    if used is None:
        shown, text = "?" * BAR_COLUMNS, "unknown"
    else:
        shown = bar(used / 100, BAR_COLUMNS)
        text = f"{used:5.1f} % used"
    colour = "32" if used is None or used < NEARLY_USED_PERCENT else "31" if used >= 100 else "33"
    label, shown = escaped(name + ":"), f"[{console.style(shown, colour)}]"
    narrow = console.terminal and console.columns < _ONE_LINE_COLUMNS
    console.line(f"  {label}" if narrow else f"  {label:<26} {shown} {text}{_reset(window)}")
    if narrow:
        console.line(f"    {shown}")
        console.line(f"    {text}{_reset(window)}")


def _reset(window: dict[str, Any]) -> str:
    at = window["reset_at"]
    left_s = window["reset_after_seconds"] if at is None else at - time.time()
    return "" if left_s is None or left_s <= 0 else f", resets in {span(left_s)}"


def span(seconds: float) -> str:
    """Return a time in its two largest units: "6 d 3 h", "12 min"."""
    total = int(seconds)
    parts = [(total // 86400, "d"), (total // 3600 % 24, "h"), (total // 60 % 60, "min")]
    shown = [f"{n} {unit}" for n, unit in parts if n]
    return " ".join(shown[:2]) or f"{total} s"
