"""The checks that `doctor` makes: each one a sentence of what was found, and what to do. Layer: commands."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

from airelays.commands.weaktoken import check_strength, weak_warning
from airelays.errors import ConfigError
from airelays.settings.load import check_listener
from airelays.terminal.console import Console
from airelays.terminal.context import Context
from airelays.upstream.base import Check
from airelays.upstream.choose import make_upstream


def local_checks(context: Context) -> Iterator[Check]:
    """Config, folder and relay token: nobody is asked."""
    yield _config(context)
    yield _data_dir(context.settings.data_dir)
    yield _relay_token(context)


def _config(context: Context) -> Check:
    try:
        check_listener(context.settings)
    except ConfigError as error:
        return Check("config", "fail", str(error))
    if context.config_text is None:
        text = f"there is no {context.config_path}; everything not given otherwise is default"
        return Check("config", "warn", text, ("airelays init",))
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
            return Check("data_dir", "pass", f"{path} will be made")
        return Check(
            "data_dir",
            "fail",
            f"{path} does not exist and cannot be made; choose one with --data-dir",
        )
    if not os.access(path, os.W_OK | os.X_OK):
        return Check("data_dir", "fail", f"{path} cannot be written; choose one with --data-dir")
    free = _free_bytes(path)
    if free is not None and free < 16 * 1024 * 1024:
        return Check(
            "data_dir",
            "warn",
            f"{path} has {free:,} bytes left; make room",
            data={"free_bytes": free},
        )
    return Check("data_dir", "pass", f"{path} can be written")


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
    return Check("relay_token", "fail", text, ("airelays init",))


def _strength(context: Context) -> Check:
    steps = ("airelays token rotate",) if context.token.source == "file" else ()
    try:
        check_strength(context)
    except ConfigError as error:
        return Check("relay_token", "fail", str(error), steps)
    warning = weak_warning(context)
    if warning:
        return Check("relay_token", "warn", warning, steps)
    return Check("relay_token", "pass", f"there is one, from the {context.token.source}")


async def upstream_checks(context: Context, console: Console, *, ask: bool) -> AsyncIterator[Check]:
    """Everything that leads to each upstream; with `ask` each is asked for one short answer."""
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
