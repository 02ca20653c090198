"""`logs`, `logs prune`: the last requests, also live; where the traffic log is and what is kept. Layer: commands."""

from __future__ import annotations

import json
import time
from itertools import islice
from typing import Any

from airelays.app.happenings import Happening
from airelays.app.records import from_record
from airelays.errors import FlagError
from airelays.guard.sessions import named_session
from airelays.hints import hint
from airelays.journal.files import Tail, check_folders, list_files, parse_line
from airelays.journal.retention import (
    CLEANUP_SECONDS,
    MIB,
    Policy,
    changed,
    forget_policy,
    load_policy,
    log_facts,
    overridden,
    policy_to_change,
    prune,
    save_policy,
)
from airelays.settings.values import Settings
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console
from airelays.terminal.context import find_context
from airelays.terminal.happening import SOFT, day_text, heads, lines_of
from airelays.terminal.running import logs_dir

POLICY_FLAGS = {
    "--retention-days": "retention_days",
    "--max-total-mb": "max_total_mb",
    "--max-file-mb": "max_file_mb",
}
DEFAULT_LINES = 10
MAX_LINES = 100_000
LOOK_SECONDS = 0.2
# Without a terminal: wide enough for complete ids.
PIPED_COLUMNS = 160


def run(args: Arguments, console: Console) -> int:
    """Show the log's place, size and policy, and the last requests; with policy flags save one."""
    context = find_context(args, console)
    settings = context.settings.replace(logs_dir=logs_dir(context))
    configured = Policy.of(settings)
    changes = {name: _number(args, flag) for flag, name in POLICY_FLAGS.items() if args.has(flag)}
    if changes and args.has("--reset"):
        raise FlagError(
            "--reset removes the saved policy and the other flags save one; use one or the other"
        )
    if changes:
        _save(console, settings.logs_dir, configured, changes)
    elif args.has("--reset"):
        _reset(console, settings.logs_dir)
    check_folders(settings.logs_dir)
    view = View(args, console, settings.logs_dir)
    if args.has("--follow"):
        return _follow(view, console, settings.logs_dir)
    if args.has("--json"):
        facts = log_facts(settings.logs_dir, configured)
        console.json({**facts, "enabled": settings.log_enabled, "requests": view.facts()})
        return 0
    if args.has("--lines") or args.has("--failed"):
        last = view.last()
        view.show(last)
        if not last:
            console.note(_nothing(args, settings))
        return 0
    steps = _print(console, settings, log_facts(settings.logs_dir, configured))
    if not changes and not args.has("--reset"):
        console.section("Last Requests")
        last = view.last()
        view.show(last)
        if not last:
            console.line("  none" if settings.log_enabled else "  none: the traffic log is off")
    console.steps(steps)
    return 0


def _nothing(args: Arguments, settings: Settings) -> str:
    """Return why no request is shown."""
    kind = "failed request" if args.has("--failed") else "request"
    off = "" if settings.log_enabled else "; the traffic log is off (logging.enabled)"
    return f"no {kind} to show in {settings.logs_dir}{off}"


def _print(console: Console, settings: Settings, facts: dict[str, Any]) -> list[str]:
    """Print where the log is and what is kept of it; return the next steps."""
    policy = facts["policy"]
    console.title("Logs")
    console.section("Traffic Log")
    console.field("Folder", facts["logs_dir"])
    console.field("Written", settings.log_enabled)
    console.field("Bodies", settings.log_bodies)
    console.field("Files", facts["file_count"])
    console.field("Size", _size(facts["usage_bytes"]))
    console.section("Retention")
    days = policy["retention_days"]
    console.field("Kept for", f"{days} days" if days else "no age limit")
    console.field("All files", f"{policy['max_total_mb']:,} MiB")
    console.field("One file", f"{policy['max_file_mb']:,} MiB")
    saved = facts["policy_source"] == "saved"
    console.field("Policy from", facts["policy_path"] if saved else "config")
    steps = [hint("logs -f"), hint("explain"), hint("explain --failed")]
    if saved:
        configured = Policy.of(settings)
        beaten = overridden(settings.logs_dir, configured)
        said = (f"{name} = {configured.facts()[name]}" for name in beaten)
        console.field(
            "Not in effect", ", ".join(said) or "nothing: the config file sets the same values"
        )
        steps.append(hint("logs --reset"))
    return steps


def run_prune(args: Arguments, console: Console) -> int:
    """Remove what the policy no longer keeps. The newest file stays, because a relay can be writing to it."""
    context = find_context(args, console)
    settings = context.settings.replace(logs_dir=logs_dir(context))
    check_folders(settings.logs_dir)
    policy, _ = load_policy(settings.logs_dir, Policy.of(settings))
    files = list_files(settings.logs_dir)
    keep = files[-1].path if files else ""
    dry = args.has("--dry-run")
    removed = prune(settings.logs_dir, policy, time.time(), keep=keep, dry=dry)
    size = sum(file.size for file in removed)
    if args.has("--json"):
        console.json(
            {
                "dry_run": dry,
                "deleted_files": [file.path for file in removed],
                "deleted_bytes": size,
                "policy": policy.facts(),
            }
        )
        return 0
    did = "would remove" if dry else "removed"
    count = f"{len(removed)} file{'' if len(removed) == 1 else 's'}"
    console.line(f"{did} {count}, {_size(size)}")
    return 0


def _save(console: Console, logs_dir: str, configured: Policy, changes: dict[str, int]) -> None:
    try:
        policy = changed(policy_to_change(logs_dir, configured), changes)
    except ValueError as error:
        raise FlagError(f"{error}; nothing was saved") from error
    save_policy(logs_dir, policy)
    console.note(
        f"saved; it overrides the config file until you run `{hint('logs --reset')}`. A running relay "
        f"applies it within {CLEANUP_SECONDS} s"
    )


def _reset(console: Console, logs_dir: str) -> None:
    if forget_policy(logs_dir):
        console.note(
            "removed the saved policy; the config file applies again. A running relay "
            f"applies it within {CLEANUP_SECONDS} s"
        )
    else:
        console.note("there was no saved policy; the config file applies")


def _size(count: int) -> str:
    return f"{count / MIB:,.1f} MiB" if count >= MIB else f"{count / 1024:,.1f} KiB"


def _number(args: Arguments, flag: str) -> int:
    text = args.get(flag) or ""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise FlagError(f"{flag} is {text!r}; expected a whole number")
    return int(text)


class View:
    """What `logs` shows of the log: each happening as its line, or the records themselves."""

    def __init__(self, args: Arguments, console: Console, logs_dir: str) -> None:
        self._console = console
        self._failed, self._raw = args.has("--failed"), args.has("--json")
        session = args.get("--session")
        self._session = None if session is None else named_session(session)
        self._count = _number(args, "--lines") if args.has("--lines") else DEFAULT_LINES
        self._tail = Tail(logs_dir)
        self._day = time.strftime("%Y-%m-%d")
        self._has_head = False

    def last(self) -> list[dict[str, Any]]:
        """Return the last records that are shown, the oldest first."""
        return self._last(told=not self._raw)

    def _last(self, *, told: bool) -> list[dict[str, Any]]:
        found = (record for line in self._tail.back() if (record := self._pick(line, told)))
        return list(islice(found, min(self._count, MAX_LINES)))[::-1]

    def facts(self) -> list[dict[str, Any]]:
        """Return what is known of the last requests, for --json."""
        told = (from_record(record, when(record)) for record in self._last(told=True))
        return [one.facts() for one in told if one is not None]

    def more(self) -> list[dict[str, Any]]:
        """Return the records that have come since."""
        told, lines = not self._raw, self._tail.more()
        return [record for line in lines if (record := self._pick(line, told)) is not None]

    def _pick(self, line: bytes, told: bool) -> dict[str, Any] | None:
        """Return the record of a line if it is shown; with `told` only one that there is a line on."""
        record = parse_line(line)
        if record is None or self._session not in (None, record.get("session")):
            return None
        if not (told or self._failed):
            return record
        one = from_record(record, None)
        return record if one is not None and (one.failed or not self._failed) else None

    def show(self, records: list[dict[str, Any]]) -> None:
        """Print the lines of records."""
        for record in records:
            if self._raw:
                self._console.line(json.dumps(record, separators=(",", ":")))
                continue
            told = from_record(record, when(record))
            if told is not None:
                self._show(told)
        self._console.out.flush()

    def _show(self, told: Happening) -> None:
        console = self._console
        columns = console.columns if console.terminal else PIPED_COLUMNS
        day = day_text(told.at_s)
        if console.terminal and not self._has_head:
            self._has_head = True
            console.line(console.style(heads(columns), SOFT))
        if console.terminal and day not in ("", self._day):
            self._day = day
            console.line(console.style(day, SOFT))
        for line in lines_of(told, columns, console.style):
            console.line(line)


def _follow(view: View, console: Console, logs_dir: str) -> int:
    """Print what is there last, then what comes, until Ctrl-C."""
    shown = view.last()
    view.show(shown)
    if not shown and console.terminal:
        console.note(f"nothing in {logs_dir} yet; waiting for requests. Press Ctrl-C to stop")
    while True:
        time.sleep(LOOK_SECONDS)
        view.show(view.more())


def when(record: dict[str, Any]) -> float | None:
    """Return the Unix time of a record, None when it has none that can be read."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(_text(record.get("logged_at"))).timestamp()
    except (ValueError, OverflowError):
        return None


def tokens_a_second(record: dict[str, Any]) -> float:
    """Return the speed at which an answer came, counted from its first token; 0.0 when unknown."""
    usage, times = record.get("usage"), _times(record)
    tokens = _as_number(usage.get("output_tokens")) if isinstance(usage, dict) else 0.0
    spent_ms = _as_number(times.get("total")) - _as_number(times.get("first_token"))
    return tokens * 1000 / spent_ms if tokens and spent_ms > 0 else 0.0


def seconds_text(seconds: float) -> str:
    """Return a duration in the unit that reads best."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _times(record: dict[str, Any]) -> dict[str, Any]:
    times = record.get("timings_ms")
    return times if isinstance(times, dict) else {}


def _as_number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
