"""The checks of `doctor`: each returns a sentence about what was found and what to do. Layer: commands."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

from airelays.commands.weaktoken import check_strength, weak_warning
from airelays.errors import ConfigError
from airelays.hints import hint
from airelays.host.contact import Contact
from airelays.settings.load import check_listener
from airelays.terminal.console import Console
from airelays.terminal.context import Context
from airelays.terminal.running import no_relay
from airelays.upstream.base import Check
from airelays.upstream.choose import make_upstream

# With --ask, each upstream can think before its short answer.
CHECKS_S = 300.0


def local_checks(context: Context, facts: dict[str, Any] | None) -> Iterator[Check]:
    """Config, folder, relay token and relay; `facts` is the answer to /status of the relay that runs."""
    yield _config(context)
    yield _data_dir(context.settings.data_dir)
    if facts is None:
        yield _relay_token(context)
        return
    yield _its_token(facts["relay"])
    yield _relay(facts)


def _config(context: Context) -> Check:
    try:
        check_listener(context.settings)
    except ConfigError as error:
        return Check("config", "fail", str(error))
    if context.config_text is None:
        text = (
            f"there is no {context.config_path}; all options that are not set elsewhere have their "
        )
        "default values"
        return Check("config", "warn", text, (hint("init"),))
    notes = list(context.loaded.notes)
    if notes:
        return Check("config", "warn", notes[0], data={"notes": notes})
    return Check("config", "pass", f"{context.config_path} is read")


def _data_dir(path: str) -> Check:
    if not os.path.isdir(path):
        parent = path
        while parent and not os.path.exists(parent):
            parent = os.path.dirname(parent.rstrip("/")) or ("/" if path.startswith("/") else ".")
        if os.path.isdir(parent) and os.access(parent, os.W_OK):
            return Check("data_dir", "pass", f"{path} will be created")
        return Check(
            "data_dir",
            "fail",
            f"{path} does not exist and cannot be created; choose another folder with --data-dir",
        )
    if not os.access(path, os.W_OK | os.X_OK):
        return Check(
            "data_dir", "fail", f"{path} is not writable; choose another folder with --data-dir"
        )
    free = _free_bytes(path)
    if free is not None and free < 16 * 1024 * 1024:
        return Check(
            "data_dir",
            "warn",
            f"{path} has {free:,} bytes left; free some space",
            data={"free_bytes": free},
        )
    return Check("data_dir", "pass", f"{path} is writable")


def _free_bytes(path: str) -> int | None:
    try:
        import shutil

        return shutil.disk_usage(path).free
    except OSError:
        return None


def _relay_token(context: Context) -> Check:
    if not context.settings.require_bearer_auth:
        return Check("relay_token", "skip", "open mode: clients need no token")
    if context.token.current() is not None:
        return _strength(context)
    text = context.token.problem or f"there is none in {context.settings.bearer_token_file}"
    return Check("relay_token", "fail", text, (hint("init"),))


def _its_token(relay: dict[str, Any]) -> Check:
    """Whether the relay that runs has a token to let clients in with."""
    if not relay["require_bearer_auth"]:
        return Check("relay_token", "skip", "open mode: clients need no token")
    if relay["bearer_token_present"]:
        return Check(
            "relay_token", "pass", f"there is one, from the {relay['bearer_token_source']}"
        )
    text = f"there is none in {relay['bearer_token_file']}"
    return Check("relay_token", "fail", text, (hint("init"),))


def _strength(context: Context) -> Check:
    steps = (hint("token rotate"),) if context.token.source == "file" else ()
    try:
        check_strength(context)
    except ConfigError as error:
        return Check("relay_token", "fail", str(error), steps)
    warning = weak_warning(context)
    if warning:
        return Check("relay_token", "warn", warning, steps)
    return Check("relay_token", "pass", f"there is one, from the {context.token.source}")


def missing_relay(context: Context) -> Check:
    """Say that no relay runs; the last of the checks, since all others are about its start."""
    return Check("relay", "warn", no_relay(context), (hint("serve"),))


def _relay(facts: dict[str, Any]) -> Check:
    """Which relay is running, and whether it has the settings of its file."""
    process = facts.get("process", {})
    pid = f" (pid {process['pid']})" if "pid" in process else ""
    text = f"version {facts['version']} is running{pid} on {facts['relay']['client_base_url']}"
    problem = process.get("reload_problem")
    if problem:
        return Check("relay", "warn", f"{text}; it could not reload its settings: {problem}")
    return Check("relay", "pass", text)


async def upstream_checks(
    context: Context, console: Console, contact: Contact | None, *, ask: bool
) -> AsyncIterator[Check]:
    """Everything on the way to each upstream; with `ask`, each gives one short answer.

    A running relay does these checks itself, because its settings, environment and sign-in are the ones that count.
    """
    if contact is not None and contact.running is not None:
        path = f"/checks?ask={str(ask).lower()}"
        found = await asyncio.to_thread(contact.ask, "GET", path, within_s=CHECKS_S)
        for one in found["checks"]:
            steps = tuple(one.get("next_steps", ()))
            yield Check(one["name"], one["status"], one["message"], steps, one.get("data", {}))
        return
    settings = context.settings
    for own in (settings.main_upstream, *settings.upstreams):
        try:
            upstream = make_upstream(settings, own, warn=console.note)
        except ConfigError as error:
            yield Check(f"upstream {own.name}", "fail", str(error))
            continue
        try:
            async for check in upstream.checks(ask=ask):
                yield check
        finally:
            await upstream.close()
