"""The last requests in the traffic log; what is known of them has the names of `app.happenings`. Layer: I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from airelays.guard.pagetokens import OWN_ROUTES
from airelays.journal.book import program_of
from airelays.journal.files import list_files, parse_line, read_last_lines
from airelays.journal.verdicts import VERDICTS

# So much of the log is read at most, from its end.
MAX_BYTES = 8 * 1024 * 1024
MAX_TEXT = 600
_WELL = ("ok", "client_left")
_BEGINS = b'{"phase":"inbound_request"'
_ENDS = (b'{"phase":"outbound_response"', b'{"phase":"endpoint_')
_REFUSALS = ("endpoint_auth_failed", "endpoint_rejected")


def last_requests(logs_dir: str, count: int, *, failed: bool = False) -> list[dict[str, Any]]:
    """Return the last `count` requests that ended or were refused, the newest first. Raises OSError.

    `failed` leaves out what ended well or was given up by its client.
    """
    found: list[dict[str, Any]] = []
    left = MAX_BYTES
    for file in reversed(list_files(logs_dir)):
        if left <= 0 or len(found) >= count:
            break
        try:
            lines = read_last_lines(file.path, left)
        except FileNotFoundError:
            continue  # the retention has just removed it
        left -= sum(map(len, lines))
        found += reversed(_ended(lines, count, failed))
    return found[:count]


def _ended(lines: Iterable[bytes], count: int, failed: bool) -> deque[dict[str, Any]]:
    agents: dict[str, tuple[str, str]] = {}
    found: deque[dict[str, Any]] = deque(maxlen=count)
    for line in lines:
        begins = line.startswith(_BEGINS)
        if not begins and not line.startswith(_ENDS):
            continue
        record = parse_line(line)
        if record is None:
            continue
        request_id = str(record.get("request_id"))
        if begins:
            agents[request_id] = (_program(record), str(record.get("path", "")))
            continue
        facts = _facts(record, *agents.pop(request_id, ("", "")))
        if facts is not None and not (failed and _is_well(facts)):
            found.append(facts)
    return found


def _is_well(facts: dict[str, Any]) -> bool:
    return facts["kind"] == "request" and facts["state"] in _WELL and facts["status"] < 400


def _facts(record: dict[str, Any], program: str, path: str) -> dict[str, Any] | None:
    """Return what is told of one record; None for one that is of no interest."""
    refused = record["phase"] in _REFUSALS
    if record["phase"] != "outbound_response" and not refused:
        return None
    usage, times = _table(record.get("usage")), _table(record.get("timings_ms"))
    error = _table(record.get("error"))
    status = record.get("status_code") or (401 if refused else 0)
    if record.get("route") in OWN_ROUTES:
        return None
    facts = {
        "kind": "refused" if refused else "request",
        "at_s": _when(record),
        "state": record.get("outcome") or record.get("reason") or "auth_failed",
        "text": error.get("message") or record.get("message"),
        "why": _why(record, error, refused),
        "id": record.get("request_id"),
        "client": record.get("client_ip"),
        "method": record.get("method"),
        "path": record.get("path") or path,
        "route": record.get("route"),
        "program": _program(record) or program,
        "key": record.get("key"),
        "model": record.get("model"),
        "upstream": record.get("upstream"),
        "status": status,
        "code": error.get("code"),
        "first_ms": times.get("first_token"),
        "took_ms": times.get("total"),
        **{name: usage.get(name) for name in ("input_tokens", "output_tokens", "cached_tokens")},
    }
    return {
        name: value[:MAX_TEXT] if isinstance(value, str) else value
        for name, value in facts.items()
        if value not in ("", None)
    }


def _why(record: dict[str, Any], error: dict[str, Any], refused: bool) -> str:
    """Return the sentence that explains how a request ended."""
    if refused and record["phase"] == "endpoint_auth_failed":
        problem = record.get("key_problem")
        if problem:
            return f"the key {record.get('key') or 'that was presented'} was {problem}"
        if str(record.get("path", "")).endswith("/page-session"):
            return "the code of the page was wrong, used already or too old"
        blocked = "; its address is blocked now" if record.get("blocked") is True else ""
        return f"the relay token was missing or wrong{blocked}"
    if refused:
        return f"the gate refused it: {record.get('reason')}"
    word = str(record.get("outcome"))
    hop = f" (at: {error['hop']})" if error.get("hop") else ""
    return VERDICTS.get(word, word) + hop


def _program(record: dict[str, Any]) -> str:
    agent = _table(record.get("headers")).get("user-agent")
    return program_of(agent.encode()) if isinstance(agent, str) else ""


def _when(record: dict[str, Any]) -> float | None:
    try:
        return datetime.fromisoformat(str(record.get("logged_at"))).timestamp()
    except (ValueError, OverflowError):
        return None


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
