"""The part of `usage` that is read from the book: asked for, printed, written as CSV. Layer: commands."""

from __future__ import annotations

import csv
import time
from typing import Any
from urllib.parse import quote

from airelays.credentials.as_owner import check_readable
from airelays.credentials.keys import read_keys
from airelays.errors import ConfigError, FlagError
from airelays.host.contact import Contact
from airelays.journal.report import Query, csv_rows, read_query, report
from airelays.state.usage import read_usage
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console, escaped
from airelays.terminal.context import Context
from airelays.terminal.layout import bar, table, table_width

FLAGS = ("--by", "--since", "--until")
OWNER = "(relay token)"
BAR_COLUMNS = 12


def asked_for(args: Arguments) -> bool:
    """Whether only the book was requested, so that no upstream is contacted."""
    return args.has("--csv") or any(args.get(flag) is not None for flag in FLAGS)


def find_book(
    args: Arguments, context: Context, contact: Contact | None, console: Console
) -> dict[str, Any]:
    """Return the report: of the relay at --url, else from the data folder, whether a relay runs or not."""
    by, since, until = (args.get(flag) or "" for flag in FLAGS)
    try:
        query = read_query(by, since, until, time.time())
    except ConfigError as error:
        raise FlagError(f"--{error}") from error
    if contact is not None and contact.running is None:
        words = (("by", ",".join(query.by)), ("since", query.since), ("until", query.until))
        asked = "&".join(f"{name}={quote(value)}" for name, value in words if value)
        found: dict[str, Any] = contact.ask("GET", f"/book?{asked}")["book"]
        return found
    return _from_folder(context, query, console)


def _from_folder(context: Context, query: Query, console: Console) -> dict[str, Any]:
    settings = context.settings
    check_readable(settings.data_dir)
    try:
        names = {key.id: key.name for key in read_keys(settings.data_dir)}
    except ConfigError as error:
        console.note(f"the names of keys are not available, so their ids are shown: {error}")
        names = {}
    rows = read_usage(settings.data_dir, query.since, query.until, sessions=query.sessions)
    return report(rows, query, lambda key: names.get(key, key), settings.prices)


def write_csv(console: Console, found: dict[str, Any]) -> None:
    """Print the rows as CSV."""
    csv.writer(console.out, lineterminator="\n").writerows(csv_rows(found))


def print_book(console: Console, found: dict[str, Any]) -> None:
    """Print the rows as a table, with bars on a terminal."""
    until = found["until"] or "now"
    console.section(f"Requests from {found['since']} to {until} (UTC)")
    rows, total = found["rows"], found["total"]
    if not rows:
        console.line("  none")
        return
    priced = "cost" in total
    most = max(row["total_tokens"] for row in rows)
    heads = [*found["by"], "requests", "failed", "input", "cached", "output", "first token"]
    lines = [heads + (["cost"] if priced else [])]
    lines += [_names(found["by"], row) + _numbers(row, priced) for row in rows]
    lines.append(["all"] + [""] * (len(found["by"]) - 1) + _numbers(total, priced))
    columns, right = (
        console.columns if console.terminal else 1000,
        range(len(found["by"]), len(lines[0])),
    )
    if console.terminal and most:
        shares = [row["total_tokens"] / most for row in rows]
        bars = ["", *(bar(share, BAR_COLUMNS).rstrip("-") for share in shares), ""]
        drawn = [[*line, part] for line, part in zip(lines, bars, strict=True)]
        if table_width(drawn, "  ") <= columns:
            lines = drawn
    for line in table(lines, columns, indent="  ", right=right, rule=False):
        console.line(line)
    if total.get("tokens_without_price"):
        console.line(
            f"  {total['tokens_without_price']:,} tokens went to models without a price in [prices]"
        )


def _names(by: list[str], row: dict[str, Any]) -> list[str]:
    missing = {"key": OWNER, "program": "(unknown)"}
    return [escaped(str(row[name]) or missing.get(name, "-")) for name in by]


def _numbers(row: dict[str, Any], priced: bool) -> list[str]:
    rate, first = row["cache_hit_rate"], row["first_token_seconds"]
    cells = [
        f"{row['requests']:,}",
        f"{row['failed']:,}",
        f"{row['input_tokens']:,}",
        "-" if rate is None else f"{rate:.0%}",
        f"{row['output_tokens']:,}",
        "-" if first is None else f"{first['mean']:.2f} s",
    ]
    return cells + ([f"{row['cost']:.2f}"] if priced else [])
