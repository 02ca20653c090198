"""`storage`, `storage check`, `storage prune`: what the relay keeps on disk, running or not. Layer: commands."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

from airelays.credentials.as_owner import check_readable
from airelays.credentials.lock import FileLock, LockUnsupported
from airelays.errors import ConfigError, FlagError, RelayError
from airelays.hints import hint
from airelays.settings.values import Settings
from airelays.state.database import State, storage_fault
from airelays.state.inspection import Check, Use, check, prune, use
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console, escaped
from airelays.terminal.context import find_context


def run_show(args: Arguments, console: Console) -> int:
    """Show how much is stored, and how much can be."""
    settings = find_context(args, console).settings
    found = Use(0, 0, 0, 0, 0, 0)
    if _exists(settings):
        with _opened(settings) as (state, _):
            found = use(state)
    if args.has("--json"):
        console.json(
            {
                "data_dir": settings.data_dir,
                **found._asdict(),
                "max_file_bytes": settings.max_upload_bytes,
                "max_total_bytes": settings.max_total_upload_bytes,
                "max_conversations": settings.max_conversations,
                "max_responses": settings.max_responses,
                "responses_retention_days": settings.responses_retention_days,
                "store_responses": settings.store_responses,
            }
        )
        return 0
    console.title("Storage")
    console.section("In Use")
    console.field("Data dir", settings.data_dir)
    most = f"{settings.max_total_upload_bytes:,}"
    console.field("Files", f"{found.files:,}, {found.file_bytes:,} of {most} bytes")
    console.field("Conversations", f"{found.conversations:,} of {settings.max_conversations:,}")
    console.field("Items", f"{found.items:,}")
    kept = f"{found.responses:,} of {settings.max_responses:,}"
    console.field("Answers", kept if settings.store_responses else f"{found.responses:,}, off")
    console.field("On disk", f"{found.disk_bytes:,} bytes")
    console.steps([hint("storage check"), hint("storage prune --older-than 30")])
    return 0


def run_check(args: Arguments, console: Console) -> int:
    """Compare every row with its bytes; exit 1 when something is wrong."""
    settings = find_context(args, console).settings
    found = Check()
    if _exists(settings):
        with _opened(settings) as (state, alone):
            found = check(state, alone=alone)
    if args.has("--json"):
        names = ("files", "bytes", "conversations", "responses", "swept", "in_flight", "problems")
        console.json({"ok": not found.problems, **{name: getattr(found, name) for name in names}})
        return 1 if found.problems else 0
    console.title("Storage Check")
    console.section("Looked At")
    console.field("Files", f"{found.files:,}, {found.bytes:,} bytes")
    console.field("Conversations", f"{found.conversations:,}")
    console.field("Answers", f"{found.responses:,}")
    console.field("Swept", f"{found.swept:,} leftovers")
    if found.in_flight:
        console.field("On their way", f"{found.in_flight:,} uploads in progress")
    console.field("In order", not found.problems)
    if found.problems:
        console.section("Problems")
        for problem in found.problems:
            console.line(escaped(f"  {problem}"))
        damaged = any(p.startswith("the database is damaged") for p in found.problems)
        console.steps([hint("docs troubleshooting" if damaged else "storage prune")])
    return 1 if found.problems else 0


def run_prune(args: Arguments, console: Console) -> int:
    """Delete what has expired, or everything older than a number of days, and free the space."""
    settings = find_context(args, console).settings
    days = _days(args)
    gone, before, after = {"files": 0, "conversations": 0, "responses": 0}, 0, 0
    if _exists(settings):
        with _opened(settings) as (state, _):
            before = use(state).disk_bytes
            gone = prune(
                state,
                time.time(),
                older_than_days=days,
                retention_days=settings.responses_retention_days,
            )
            after = use(state).disk_bytes
    freed = max(0, before - after)
    if args.has("--json"):
        console.json({"deleted": gone, "freed_bytes": freed, "disk_bytes": after})
        return 0
    console.title("Storage Prune")
    console.section("Deleted")
    console.field("Files", f"{gone['files']:,}")
    console.field("Conversations", f"{gone['conversations']:,}")
    console.field("Answers", f"{gone['responses']:,}")
    console.field("Freed", f"{freed:,} bytes")
    return 0


def _days(args: Arguments) -> float | None:
    text = args.get("--older-than")
    if text is None:
        return None
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days <= 36_500:
        raise FlagError(f"--older-than is {text}; expected a number of days from 0 to 36,500")
    return days


def _exists(settings: Settings) -> bool:
    """Whether anything was ever stored. Raises ConfigError if the folder cannot be read."""
    check_readable(settings.data_dir)
    return os.path.exists(os.path.join(settings.data_dir, "state.sqlite3"))


@contextmanager
def _opened(settings: Settings) -> Iterator[tuple[State, bool]]:
    """Give the open state, and whether no relay runs on it: then leftovers of a crash are swept first."""
    lock = FileLock(os.path.join(settings.data_dir, "relay.lock"))
    try:
        alone = lock.acquire()
    except LockUnsupported:
        alone = False
    try:
        state = State(settings.data_dir, recover=alone)
        try:
            yield state, alone
        finally:
            state.close()
    except RelayError as error:
        raise ConfigError(error.local) from error
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(storage_fault(error).message) from error
    finally:
        lock.release()
