"""`logs`, `logs prune`: where the traffic log is, how much there is, what is kept; a live view. Layer: commands."""

from __future__ import annotations

import json
import time
from typing import Any

from airelays.commands.logview import View
from airelays.errors import FlagError
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
        raise FlagError("--lines is how many to begin with and needs --follow: airelays logs -f")
    settings = find_context(args, console).settings
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
    steps = ["airelays logs -f", "airelays explain REQUEST_ID"]
    if saved:
        configured = Policy.of(settings)
        beaten = overridden(settings.logs_dir, configured)
        said = (f"{name} = {configured.facts()[name]}" for name in beaten)
        console.field("Not in effect", ", ".join(said) or "nothing: the config says the same")
        steps.append("airelays logs --reset")
    console.steps(steps)


def run_prune(args: Arguments, console: Console) -> int:
    """Remove what the policy no longer keeps. The newest file stays: a relay may be writing it."""
    settings = find_context(args, console).settings
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
        f"saved, and wins over the config file until `airelays logs --reset`; "
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
