"""`doctor`: everything between a client and the upstream, one check after the other. Layer: commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from airelays.commands.doctor.checks import local_checks, missing_relay, upstream_checks
from airelays.errors import ConfigError
from airelays.host.contact import Contact
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console, escaped
from airelays.terminal.context import Context, find_context
from airelays.terminal.running import find_relay
from airelays.upstream.base import Check

_MARKS = {
    "pass": ("ok", "32"),
    "warn": ("warn", "33"),
    "fail": ("FAIL", "31"),
    "skip": ("skip", "2"),
}


def run(args: Arguments, console: Console) -> int:
    """Run the checks, each shown as it ends; return 1 when one fails."""
    if args.has("--egress"):
        from airelays.commands.egress import run as list_egress

        return list_egress(args, console)
    as_json = args.has("--json")
    if not as_json:
        console.title("Doctor")
        console.section("Checks")
    checks = asyncio.run(_run_all(_chosen(args, console), console, quiet=as_json))
    counts = {status: sum(c.status == status for c in checks) for status in _MARKS}
    steps = list(dict.fromkeys(step for check in checks for step in check.next_steps))
    ok = not counts["fail"]
    # A program that only says that all is well would be believed; without a relay no client gets an answer.
    ready = ok and not any(c.name == "relay" and c.status == "warn" for c in checks)
    if as_json:
        summary = {
            "passed": counts["pass"],
            "warnings": counts["warn"],
            "failed": counts["fail"],
            "skipped": counts["skip"],
        }
        shown = [check.as_json() for check in checks]
        console.json(
            {"ok": ok, "ready": ready, "summary": summary, "checks": shown, "next_steps": steps}
        )
        return 0 if ok else 1
    console.section("Summary")
    console.field("Ready", ready)
    console.field("Passed", counts["pass"])
    console.field("Warnings", counts["warn"])
    console.field("Failed", counts["fail"])
    console.field("Skipped", counts["skip"])
    console.steps(steps)
    return 0 if ok else 1


def _chosen(args: Arguments, console: Console) -> AsyncIterator[Check]:
    """Return the checks that were asked for; those of this copy of the program need no settings."""
    if args.has("--self-test"):
        from airelays.commands.doctor.selftest import self_test

        return self_test(_data_dir(args, console))
    context = find_context(args, console)
    return _all(context, console, find_relay(args, context), ask=args.has("--ask"))


def _data_dir(args: Arguments, console: Console) -> str:
    """Return the data folder, "" where the settings cannot be used: this copy can be all right nevertheless."""
    try:
        return find_context(args, console).settings.data_dir
    except ConfigError:
        return ""


async def _run_all(checks: AsyncIterator[Check], console: Console, *, quiet: bool) -> list[Check]:
    done: list[Check] = []
    async for check in checks:
        done.append(check)
        if not quiet:
            _print(console, check)
    return done


async def _all(
    context: Context, console: Console, contact: Contact | None, *, ask: bool
) -> AsyncIterator[Check]:
    facts = None if contact is None else await asyncio.to_thread(contact.ask, "GET", "/status")
    for check in local_checks(context, facts):
        yield check
    async for check in upstream_checks(context, console, contact, ask=ask):
        yield check
    if facts is None:
        yield missing_relay(context)


def _print(console: Console, check: Check) -> None:
    word, colour = _MARKS[check.status]
    start = f"  {console.style(f'{word:<5}', colour)} {check.name:<16} "
    console.fitted(start, escaped(check.message), 25 if console.columns >= 72 else 8)
    console.out.flush()
