"""`explain --session ID`: the requests of one session of a client, the oldest first. Layer: commands."""

from __future__ import annotations

from collections import deque
from typing import Any

from airelays.commands.logs import PIPED_COLUMNS, seconds_text
from airelays.errors import ConfigError
from airelays.guard.sessions import named_session
from airelays.journal.files import check_folders, list_files, parse_line, read_lines
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console, escaped
from airelays.terminal.layout import table

MAX_REQUESTS = 1000


def list_session(logs_dir: str, name: str, args: Arguments, console: Console) -> int:
    """Print the last requests of the session. Raises ConfigError when the log has none."""
    wanted = named_session(name)
    found = _find(logs_dir, wanted)
    if not found:
        raise ConfigError(
            f"{logs_dir} contains no request of the session {name[:80]}; it may be older than the logs that are kept"
        )
    total = sum(_usage(record, "total_tokens") for record in found)
    if args.has("--json"):
        console.json({"session": wanted, "total_tokens": total, "requests": found})
        return 0
    console.title("Explain")
    console.section(f"Session {wanted}")
    rows = [["time (UTC)", "request", "model", "outcome", "took", "tokens"]]
    for record in found:
        times = record.get("timings_ms")
        spent_ms = times.get("total") if isinstance(times, dict) else None
        took = seconds_text(spent_ms / 1000) if isinstance(spent_ms, int | float) else "-"
        told = (
            str(record.get("logged_at", ""))[:19],
            str(record.get("request_id", "")),
            str(record.get("model", "")),
            str(record.get("outcome", "")),
            took,
            f"{_usage(record, 'total_tokens'):,}",
        )
        rows.append([escaped(cell) for cell in told])
    columns = console.columns if console.terminal else PIPED_COLUMNS
    for line in table(rows, columns, indent="  ", right={4, 5}, rule=False):
        console.line(line)
    console.field("Requests", f"{len(found):,}, {total:,} tokens")
    return 0


def _find(logs_dir: str, wanted: str) -> list[dict[str, Any]]:
    check_folders(logs_dir)
    needle = f'"session":"{wanted}"'.encode()
    found: deque[dict[str, Any]] = deque(maxlen=MAX_REQUESTS)
    for file in list_files(logs_dir):
        for line in read_lines(file.path):
            record = parse_line(line) if needle in line else None
            if record is not None and record["phase"] == "outbound_response":
                found.append(record)
    return list(found)


def _usage(record: dict[str, Any], name: str) -> int:
    usage = record.get("usage")
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) else 0
