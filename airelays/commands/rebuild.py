"""`usage --rebuild`: the book made again from the traffic logs that are left. Layer: commands."""

from __future__ import annotations

import os
import sqlite3
from typing import Any

from airelays.credentials.as_owner import check_readable
from airelays.credentials.keys import read_keys
from airelays.credentials.lock import FileLock, LockUnsupported
from airelays.errors import ConfigError, RelayError
from airelays.hints import hint
from airelays.journal.ended import entries_in
from airelays.journal.files import list_files
from airelays.journal.tally import day_of
from airelays.settings.values import Settings
from airelays.state.database import State, storage_fault
from airelays.state.usage import refill
from airelays.terminal.console import Console
from airelays.terminal.context import Context


def rebuild(context: Context, console: Console) -> int:
    """Replace the days that the logs cover; say which those are. Raises ConfigError."""
    settings = context.settings
    check_readable(settings.data_dir)
    files = list_files(settings.logs_dir)
    if not files:
        raise ConfigError(
            f"there are no logs in {settings.logs_dir}; the usage figures were not changed"
        )
    # The first hour that is left can begin in the middle of a day: that day stays unchanged in the book.
    first_s = files[0].hour * 3600
    since = day_of(first_s if first_s % 86_400 == 0 else first_s + 86_400)
    covered = [file for file in files if day_of(file.hour * 3600) >= since]
    ids = {key.name: key.id for key in read_keys(settings.data_dir)}
    count = _refilled(settings, since, list(entries_in(covered, ids)))
    console.title("Usage")
    console.section("Book")
    console.field("From the logs", f"{count:,} requests since {since}")
    console.field("Unchanged", f"days before {since}, which the logs do not fully cover")
    console.line(
        "  Requests that the log did not record (logging.enabled = false) are not included."
    )
    console.steps([hint("usage --by day")])
    return 0


def _refilled(settings: Settings, since: str, entries: list[dict[str, Any]]) -> int:
    lock = FileLock(os.path.join(settings.data_dir, "relay.lock"))
    try:
        if not lock.acquire():
            raise ConfigError(
                f"a relay is using {settings.data_dir} and writes the usage figures; stop it first: "
                f"{hint('stop')}"
            )
    except LockUnsupported:
        raise ConfigError(
            f"{settings.data_dir} is on a file system without locks, so a running relay cannot be detected"
        ) from None
    try:
        state = State(settings.data_dir, recover=False)
        try:
            refill(state, settings.data_dir, since, entries)
        finally:
            state.close()
    except RelayError as error:
        raise ConfigError(error.local) from error
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(storage_fault(error).message) from error
    finally:
        lock.release()
    return len(entries)
