"""What to do about a TOML text that cannot be read: the two mistakes that are made most. Layer: values."""

from __future__ import annotations

import re

_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_TWICE = re.compile(r"Cannot declare \((?P<parts>.+?),?\) twice")
_DRIVE = re.compile(r"\"[^\"]*?[A-Za-z]:\\")


def explain(text: str, error: str) -> str:
    """Return what to do about `error`, a sentence of tomllib's about `text`."""
    lines = text.splitlines()
    found = _LINE.search(error)
    number = int(found[1]) if found else 0
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    twice = _TWICE.search(error)
    if twice is not None:
        name = ".".join(part.strip().strip("'\"") for part in twice["parts"].split(","))
        places = [n for n, one in enumerate(lines, 1) if _header(one) == name]
        if len(places) > 1:
            where = " and ".join(f"line {n}" for n in places)
            return (
                f"[{name}] is defined at {where}: move the lines below the second one to the first"
            )
    if error.startswith("Cannot overwrite a value"):
        places = _same_key(lines, number)
        if len(places) > 1:
            return "this table sets the same key at " + " and ".join(f"line {n}" for n in places)
    if _DRIVE.search(line):
        return "write Windows paths in single quotes or with /: 'C:\\Users\\me' or \"C:/Users/me\""
    return "correct that line"


def _header(line: str) -> str:
    found = re.match(r"\s*\[([^\[\]]+)\]", line)
    return found[1].replace('"', "").replace("'", "").replace(" ", "") if found else ""


def _same_key(lines: list[str], number: int) -> list[int]:
    """Return the lines of the table around `number` that set the key which that line sets."""
    if not 0 < number <= len(lines):
        return []
    key = lines[number - 1].partition("=")[0].strip()
    begin = max((n for n in range(1, number) if _header(lines[n - 1])), default=0)
    return [
        n for n in range(begin + 1, number + 1) if lines[n - 1].partition("=")[0].strip() == key
    ]
