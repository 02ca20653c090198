"""Records of the traffic log as happenings: what `logs` and the page show of requests that are over. Layer: app."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from airelays.app.happenings import BLOCK, NOTICE, REFUSED, REQUEST, UPSTREAM, Happening
from airelays.guard.pagetokens import OWN_ROUTES
from airelays.journal.files import list_files, parse_line, read_last_lines
from airelays.journal.verdicts import VERDICTS

_BEGINS = b'{"phase":"inbound_request"'
_ENDS = (b'{"phase":"outbound_response"', b'{"phase":"endpoint_')

# The most that is read of the log, from its end.
MAX_BYTES = 8 * 1024 * 1024
MAX_TEXT = 600


def last_requests(logs_dir: str, count: int, *, failed: bool = False) -> list[dict[str, Any]]:
    """Return the last `count` requests that ended or were refused, the newest first, each with "why". Raises OSError.

    `failed` leaves out what did not fail.
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
    paths: dict[str, str] = {}
    found: deque[dict[str, Any]] = deque(maxlen=count)
    for line in lines:
        begins = line.startswith(_BEGINS)
        record = parse_line(line) if begins or line.startswith(_ENDS) else None
        if record is None:
            continue
        request_id = str(record.get("request_id"))
        if begins:
            paths[request_id] = str(record.get("path", ""))
            continue
        path = paths.pop(request_id, "")
        one = from_record(record, _when(record))
        if one is None or one.kind not in (REQUEST, REFUSED) or one.route in OWN_ROUTES:
            continue
        if one.failed or not failed:
            told = one._replace(text=one.text[:MAX_TEXT], path=one.path or path)
            found.append({**told.facts(), "why": _why(record, told)})
    return found


def _why(record: dict[str, Any], one: Happening) -> str:
    """Return the sentence that explains how a request ended."""
    if record.get("phase") == "endpoint_auth_failed":
        if one.path.endswith("/page-session"):
            return "the code of the page was wrong, already used or too old"
        problem = record.get("key_problem")
        if problem:
            return f"the key {one.key or 'that was presented'} was {problem}"
        blocked = "; its address is blocked now" if record.get("blocked") is True else ""
        return f"the relay token was missing or wrong{blocked}"
    if one.kind == REFUSED:
        return f"the relay refused it: {one.state}"
    hop = _text(_part(record, "error").get("hop"))
    return VERDICTS.get(one.state, one.state) + (f" (at: {hop})" if hop else "")


def _when(record: dict[str, Any]) -> float | None:
    try:
        return datetime.fromisoformat(str(record.get("logged_at"))).timestamp()
    except (ValueError, OverflowError):
        return None


def from_record(record: dict[str, Any], at_s: float | None) -> Happening | None:
    """Return the happening in a record of the traffic log, None if another record describes it better."""
    phase = record.get("phase")
    make = _RECORDS.get(phase) if isinstance(phase, str) else None
    return (
        None if make is None else make(record)._replace(at_s=float("nan") if at_s is None else at_s)
    )


def _of_response(record: dict[str, Any]) -> Happening:
    times, usage, error = (_part(record, name) for name in ("timings_ms", "usage", "error"))
    return _of_any(record, REQUEST)._replace(
        state=_text(record.get("outcome")) or "?",
        text=_text(error.get("message")),
        code=_text(error.get("code")),
        first_ms=_number(times.get("first_token")),
        took_ms=_number(times.get("total")),
        input_tokens=_count(usage.get("input_tokens")),
        output_tokens=_count(usage.get("output_tokens")),
        cached_tokens=_count(usage.get("cached_tokens")),
        reasoning_tokens=_count(usage.get("reasoning_tokens")),
    )


def _of_refusal(record: dict[str, Any]) -> Happening:
    found = _of_any(record, REFUSED)
    state = _text(record.get("reason")) or "auth_failed"
    return found._replace(state=state, status=found.status or 401)


def _of_fallback(record: dict[str, Any]) -> Happening:
    name = _text(record.get("from_upstream"))
    return _of_any(record, UPSTREAM)._replace(
        state="fallback",
        upstream=name,
        model=_text(record.get("to_upstream")),
        code=_text(record.get("reason")),
    )


def _of_unblock(record: dict[str, Any]) -> Happening:
    client = _text(record.get("client_ip"))
    count = record.get("lifted")
    text = f"{_text(count)} {'block' if count == 1 else 'blocks'} lifted for {client}"
    return _of_any(record, BLOCK)._replace(state="lifted", text=text)


def _of_ready(record: dict[str, Any]) -> Happening:
    needed = "yes" if record.get("require_bearer_auth") else "no"
    return Happening(NOTICE, 0.0, text=f"the relay started (token required: {needed})")


def _of_bug(record: dict[str, Any]) -> Happening:
    where = f"{_text(record.get('error'))} at {_text(record.get('place'))}"
    return Happening(
        NOTICE, 0.0, text=f"{_text(record.get('request_id'))}: defect in the relay, {where}"
    )


def _of_withheld(record: dict[str, Any]) -> Happening:
    return Happening(NOTICE, 0.0, text=f"a record was withheld: {_text(record.get('reason'))}")


_RECORDS: dict[str, Callable[[dict[str, Any]], Happening]] = {
    "outbound_response": _of_response,
    "endpoint_rejected": _of_refusal,
    "endpoint_auth_failed": _of_refusal,
    "upstream_fallback": _of_fallback,
    "endpoint_unblocked": _of_unblock,
    "endpoint_security_ready": _of_ready,
    "relay_bug": _of_bug,
    "log_record_withheld": _of_withheld,
}


def _of_any(record: dict[str, Any], kind: str) -> Happening:
    status = record.get("status_code")
    return Happening(
        kind,
        0.0,
        id=_text(record.get("request_id")),
        client=_text(record.get("client_ip")),
        method=_text(record.get("method")),
        path=_text(record.get("path")),
        route=_text(record.get("route")),
        program=_text(record.get("program")),
        key=_text(record.get("key")),
        session=_text(record.get("session")),
        model=_text(record.get("model")),
        upstream=_text(record.get("upstream")),
        status=status if isinstance(status, int) else 0,
    )


def _part(record: dict[str, Any], name: str) -> dict[str, Any]:
    found = record.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _count(value: object) -> int | None:
    return value if type(value) is int else None
