"""`logs`, `logs prune`: where the traffic log is, how much there is, what is kept; a live view. Layer: commands."""

from __future__ import annotations

import json
import time
from typing import Any

from airelays.errors import FlagError
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
from airelays.terminal.console import Console, escaped
from airelays.terminal.context import find_context
from airelays.terminal.running import logs_dir

POLICY_FLAGS = {
    "--retention-days": "retention_days",
    "--max-total-mb": "max_total_mb",
    "--max-file-mb": "max_file_mb",
}
DEFAULT_LINES = 10
MAX_LINES = 100_000
LOOK_SECONDS = 0.2


def run(args: Arguments, console: Console) -> int:
    """Show the log's place, size and policy; with policy flags save one; with --follow show it live."""
    if args.has("--lines") and not args.has("--follow"):
        raise FlagError(f"--lines is how many to begin with and needs --follow: {hint('logs -f')}")
    context = find_context(args, console)
    settings = context.settings.replace(logs_dir=logs_dir(context))
    configured = Policy.of(settings)
    changes = {name: _number(args, flag) for flag, name in POLICY_FLAGS.items() if args.has(flag)}
    if changes and args.has("--reset"):
        raise FlagError("--reset forgets the saved policy, the other flags save one; choose one")
    if changes:
        _save(console, settings.logs_dir, configured, changes)
    elif args.has("--reset"):
        _reset(console, settings.logs_dir)
    check_folders(settings.logs_dir)
    if args.has("--follow"):
        return _follow(args, console, settings.logs_dir)
    facts = log_facts(settings.logs_dir, configured)
    if args.has("--json"):
        console.json({**facts, "enabled": settings.log_enabled})
        return 0
    _print(console, settings, facts)
    return 0


def _print(console: Console, settings: Settings, facts: dict[str, Any]) -> None:
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
    console.field("In all", f"{policy['max_total_mb']:,} MiB")
    console.field("One file", f"{policy['max_file_mb']:,} MiB")
    saved = facts["policy_source"] == "saved"
    console.field("Policy from", facts["policy_path"] if saved else "config")
    steps = [hint("logs -f"), hint("explain REQUEST_ID")]
    if saved:
        configured = Policy.of(settings)
        beaten = overridden(settings.logs_dir, configured)
        said = (f"{name} = {configured.facts()[name]}" for name in beaten)
        console.field("Not in effect", ", ".join(said) or "nothing: the config says the same")
        steps.append(hint("logs --reset"))
    console.steps(steps)


def run_prune(args: Arguments, console: Console) -> int:
    """Remove what the policy no longer keeps. The newest file stays: a relay may be writing it."""
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
        f"saved, and wins over the config file until `{hint('logs --reset')}`; "
        f"a running relay takes it up within {CLEANUP_SECONDS} s"
    )


def _reset(console: Console, logs_dir: str) -> None:
    if forget_policy(logs_dir):
        console.note(
            "the saved policy is forgotten, the config counts again; "
            f"a running relay takes it up within {CLEANUP_SECONDS} s"
        )
    else:
        console.note("no policy was saved; the config counts")


def _size(count: int) -> str:
    return f"{count / MIB:,.1f} MiB" if count >= MIB else f"{count / 1024:,.1f} KiB"


def _number(args: Arguments, flag: str) -> int:
    text = args.get(flag) or ""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise FlagError(f"{flag} is {text!r}; expected a whole number")
    return int(text)


def _follow(args: Arguments, console: Console, logs_dir: str) -> int:
    """Print what is there last, then what comes, until Ctrl-C."""
    count = _number(args, "--lines") if args.has("--lines") else DEFAULT_LINES
    tail = Tail(logs_dir)
    view = None if args.has("--json") else View(console)
    # A view's line needs two records of the log and more.
    backlog = tail.last(min(count, MAX_LINES) * (1 if view is None else 4))
    shown = [text for line in backlog if (text := _shown(line, view)) is not None]
    for text in shown[-count:] if count else []:
        console.line(text)
    if not shown and console.terminal:
        console.note(f"nothing in {logs_dir} yet; waiting for requests, Ctrl-C ends")
    console.out.flush()
    while True:
        time.sleep(LOOK_SECONDS)
        for line in tail.more():
            text = _shown(line, view)
            if text is not None:
                console.line(text)
        console.out.flush()


def _shown(line: bytes, view: View | None) -> str | None:
    record = parse_line(line)
    if record is None:
        return None
    return json.dumps(record, separators=(",", ":")) if view is None else view.line(record)


# So many requests are remembered to tell their client when they end.
MAX_OPEN = 2000
_GOOD, _BAD, _WARN, _SOFT = "32", "31", "33", "2"


class View:
    """Turns records into lines: time, client, model, status, tokens a second, duration."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._agents: dict[str, str] = {}

    def line(self, record: dict[str, Any]) -> str | None:
        """Return the line of one record; None for one that another tells better."""
        phase = str(record.get("phase"))
        if phase == "inbound_request":
            self._remember(record)
            return None
        if phase == "outbound_response":
            return self._ended(record)
        if phase in ("endpoint_auth_failed", "endpoint_rejected"):
            return self._refused(record)
        told = _TOLD.get(phase)
        if told is None:
            return None
        text = told.format_map(_Missing({k: _text(v) for k, v in record.items()}))
        return f"{self._time(record)}  {self._console.style(escaped(text), _WARN)}"

    def _remember(self, record: dict[str, Any]) -> None:
        if len(self._agents) >= MAX_OPEN:
            self._agents.clear()
        headers = record.get("headers")
        agent = headers.get("user-agent", "") if isinstance(headers, dict) else ""
        self._agents[str(record.get("request_id"))] = _text(agent).partition(" ")[0]

    def _ended(self, record: dict[str, Any]) -> str:
        style = self._console.style
        outcome = _text(record.get("outcome"))
        agent = self._agents.pop(str(record.get("request_id")), "")
        status = _text(record.get("status_code")) or "-"
        colour = _GOOD if outcome == "ok" else _WARN if outcome == "client_left" else _BAD
        total_ms = _as_number(_times(record).get("total"))
        usage = record.get("usage")
        tokens = _as_number(usage.get("output_tokens")) if isinstance(usage, dict) else 0
        rate = tokens_a_second(record)
        parts = [
            self._time(record),
            f"{escaped(_text(record.get('client_ip')))[:24]:<15}",
            f"{escaped(_text(record.get('key')) or agent)[:18]:<18}",
            f"{escaped(_text(record.get('model')) or _text(record.get('route')))[:20]:<20}",
            style(f"{status:>3} {outcome:<15}", colour),
            f"{f'{tokens:,.0f} tok' if tokens else '':>10}",
            f"{f'{rate:,.1f}/s' if rate else '':>9}",
            f"{seconds_text(total_ms / 1000):>8}",
            style(_text(record.get("request_id")), _SOFT),
        ]
        return "  ".join(parts).rstrip()

    def _refused(self, record: dict[str, Any]) -> str:
        reason = _text(record.get("reason")) or "auth_failed"
        status = _text(record.get("status_code")) or "401"
        what = f"{_text(record.get('method'))} {_text(record.get('path'))}".strip()
        parts = [
            self._time(record),
            f"{escaped(_text(record.get('client_ip')))[:24]:<15}",
            f"{escaped(what)[:40]:<40}",
            self._console.style(f"{status:>3} refused: {escaped(reason)}", _WARN),
        ]
        if record.get("key"):
            parts.append(f"key {escaped(_text(record.get('key')))}")
        if record.get("blocked") is True:
            parts.append(f"now blocked for {_text(record.get('block_seconds'))} s")
        return "  ".join(parts)

    def _time(self, record: dict[str, Any]) -> str:
        at_s = when(record)
        if at_s is None:
            return "--:--:--"
        return time.strftime("%H:%M:%S", time.localtime(at_s))


class _Missing(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "?"


_TOLD = {
    "endpoint_security_ready": "the relay began to serve (token required: {require_bearer_auth})",
    "endpoint_unblocked": "{lifted} block(s) lifted for {client_ip}",
    "upstream_fallback": "{request_id}: {from_upstream} failed ({reason}), {to_upstream} took over",
    "relay_bug": "{request_id}: defect of the relay, {error} at {place}",
    "log_record_withheld": "a record was withheld: {reason}",
}


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
