"""`explain [REQUEST_ID]`: one request as a timeline, hop by hop, and where and why it ended. Layer: commands."""

from __future__ import annotations

import re
from typing import Any

from airelays.app.happenings import REFUSED, REQUEST
from airelays.app.records import from_record
from airelays.commands.logs import seconds_text, tokens_a_second, when
from airelays.credentials.as_owner import denied
from airelays.errors import ConfigError, FlagError
from airelays.hints import hint
from airelays.journal.files import Tail, check_folders, list_files, parse_line, read_lines
from airelays.journal.verdicts import VERDICTS
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console
from airelays.terminal.context import find_context
from airelays.terminal.running import logs_dir

MIN_DIGITS = 6
MAX_RECORDS = 10_000
_ID = re.compile(r"(?:req_)?([0-9a-f]{1,32})")
_BEGINS = ("inbound_request", "endpoint_rejected", "endpoint_auth_failed")

Step = tuple[float, str]


def run(args: Arguments, console: Console) -> int:
    """Find the records of a request and print its timeline."""
    session = args.get("--session")
    if session is not None:
        from airelays.commands.session import list_session

        return list_session(logs_dir(find_context(args, console)), session, args, console)
    if args.words and args.has("--failed"):
        raise FlagError("--failed and a request id cannot be combined; use one of them")
    folder = logs_dir(find_context(args, console))
    name = args.words[0] if args.words else last_request(folder, failed=args.has("--failed"))
    records = _find(folder, name)
    steps, (ended, why) = timeline(records), verdict(records)
    if args.has("--json"):
        told = [{"at_ms": round(at_ms, 3), "what": what} for at_ms, what in steps]
        console.json(
            {
                "request_id": records[0]["request_id"],
                "outcome": ended,
                "why": why,
                "timeline": told,
                "records": records,
            }
        )
        return 0
    _print(console, records, steps, ended, why)
    return 0


def _print(
    console: Console, records: list[dict[str, Any]], steps: list[Step], ended: str, why: str
) -> None:
    end = _of(records, "outbound_response")
    console.title("Explain")
    console.section("Request")
    console.field("Id", records[0]["request_id"])
    console.field("At", records[0].get("logged_at"))
    keys = [record["key"] for record in records if record.get("key")]
    if keys:
        console.field("Key", keys[0])
    if end.get("session"):
        console.field("Session", end["session"])
    if end.get("model"):
        console.field("Model", end["model"])
        console.field("Upstream", end.get("upstream"))
    usage = end.get("usage")
    if isinstance(usage, dict):
        said = ", ".join(f"{name.removesuffix('_tokens')} {n}" for name, n in usage.items() if n)
        console.field("Tokens", said)
        rate = tokens_a_second(end)
        console.field("Speed", f"{rate:,.1f} tokens/s" if rate else None)
    console.section("Timeline")
    for at_ms, what in steps:
        console.field(seconds_text(at_ms / 1000), what)
    console.section("End")
    console.field("Outcome", ended)
    console.field("Why", why)


def last_request(logs_dir: str, *, failed: bool) -> str:
    """Return the id of the last request that has ended, or of the last that has `failed`. Raises ConfigError."""
    check_folders(logs_dir)
    for line in Tail(logs_dir).back():
        record = parse_line(line)
        told = None if record is None else from_record(record, None)
        if told is None or told.kind not in (REQUEST, REFUSED) or _ID.fullmatch(told.id) is None:
            continue
        if told.failed or not failed:
            return told.id
    kind = "failed request" if failed else "request"
    raise ConfigError(
        f"{logs_dir} contains no {kind}; it may be older than the logs that are kept (`{hint('logs')}`)"
    )


def _find(logs_dir: str, name: str) -> list[dict[str, Any]]:
    """Return the records of one request, the oldest first. A beginning of the id will do when it is unique."""
    match = _ID.fullmatch(name.strip())
    if match is None or len(match[1]) < MIN_DIGITS:
        raise FlagError(
            f"{name[:80]!r} is not a request id; expected req_ and 32 hexadecimal digits, or at least the "
            f"first {MIN_DIGITS} digits"
        )
    needle = b'"request_id":"req_' + match[1].encode()
    found: list[dict[str, Any]] = []
    check_folders(logs_dir)
    files, unread = list_files(logs_dir), ""
    for file in reversed(files):
        try:
            lines = [line for line in read_lines(file.path) if needle in line[:200]]
        except OSError as error:
            unread = unread or denied(file.path, error)
            continue
        records = [record for line in lines if (record := parse_line(line)) is not None]
        found = [*records, *found][:MAX_RECORDS]
        if any(record["phase"] in _BEGINS for record in records):
            break
    ids = sorted({str(record["request_id"]) for record in found})
    if not ids and unread:
        raise ConfigError(f"req_{match[1]} was not found, but not every file was read: {unread}")
    if not ids:
        raise ConfigError(
            f"{logs_dir} contains no record of req_{match[1]} in its {len(files)} "
            f"file{'s' if len(files) != 1 else ''}; it may be older "
            f"than the logs that are kept (`{hint('logs')}`) or belong to another relay"
        )
    if len(ids) > 1:
        raise ConfigError(
            f"several request ids begin with these digits: {', '.join(ids[:5])}; add more digits"
        )
    return found


def timeline(records: list[dict[str, Any]]) -> list[Step]:
    """Return what happened, each with its milliseconds since the head of the request."""
    begin, end = _of(records, *_BEGINS), _of(records, "outbound_response")
    times: dict[str, Any] = {}
    for record in (_of(records, "upstream_response"), end):
        found = record.get("timings_ms")
        times |= found if isinstance(found, dict) else {}
    steps = [(0.0, _arrival(begin))]
    if begin.get("phase") != "inbound_request":
        return steps
    gate_ms = float(times.get("gate", 0.0))
    if times:
        steps.append((gate_ms, "the relay accepted it"))
    start_s = (when(begin) or 0.0) - gate_ms / 1000
    for record in records:
        told = _aside(record)
        if told:
            # The clock of a record is coarser than the times: nothing is shown before the gate or after the end.
            at_ms = ((when(record) or start_s) - start_s) * 1000
            steps.append((min(max(gate_ms, at_ms), float(times.get("total", at_ms))), told))
    models_ms = float(times.get("models", 0.0))
    if models_ms:
        told = f"the model list of {end.get('upstream')} took {models_ms:,.1f} ms"
        steps.append((gate_ms + models_ms, told))
    steps += _upstream_steps(end, times)
    if "total" in times:
        sent = (
            f"the relay finished: status {end.get('status_code')}, {end.get('bytes_out'):,} bytes"
        )
        steps.append((float(times["total"]), sent))
    return sorted(steps, key=lambda step: step[0])


def _arrival(begin: dict[str, Any]) -> str:
    headers = begin.get("headers")
    agent = headers.get("user-agent") if isinstance(headers, dict) else None
    what = " ".join(str(begin.get(name)) for name in ("method", "path") if begin.get(name))
    by = f" ({agent})" if agent else ""
    return f"{what or 'a request'} came from {begin.get('client_ip', 'an unknown address')}{by}"


def _upstream_steps(end: dict[str, Any], times: dict[str, Any]) -> list[Step]:
    steps: list[Step] = []
    name = end.get("upstream")
    first_ms = times.get("first_byte")
    if "head" in times and first_ms is not None:
        dial_ms, tls_ms = float(times.get("dial", 0.0)), float(times.get("tls", 0.0))
        how = (
            f"connected in {dial_ms:.1f} ms" + (f", TLS in {tls_ms:.1f} ms" if tls_ms else "")
            if dial_ms
            else "on an open connection"
        )
        head = f"{name} answered {float(times['head']):.1f} ms after the request was sent, {how}"
        steps.append((float(first_ms), head))
    if first_ms is not None:
        steps.append((float(first_ms), f"first byte of the answer from {name}"))
    if "first_token" in times:
        steps.append((float(times["first_token"]), "first token sent to the client"))
    gap_ms = float(times.get("longest_gap", 0.0))
    if gap_ms >= 1 and "total" in times:
        steps.append((float(times["total"]), f"longest pause of {name}: {gap_ms:,.1f} ms"))
    return steps


def _aside(record: dict[str, Any]) -> str:
    """Return the sentence of a record that is neither the beginning nor the end."""
    phase = record.get("phase")
    error = record.get("error")
    if phase == "upstream_fallback" and record.get("skipped"):
        return (
            f"{record.get('from_upstream')} was skipped ({record.get('reason')}); "
            f"{record.get('to_upstream')} was used instead"
        )
    if phase == "upstream_fallback":
        return (
            f"{record.get('from_upstream')} failed ({record.get('reason')}); "
            f"{record.get('to_upstream')} took over"
        )
    if phase in ("upstream_response_error", "upstream_stream_error") and isinstance(error, dict):
        return (
            f"{record.get('upstream')} failed at {record.get('hop')}{_after(record)}: {error.get('message')} "
            f"({error.get('code')})"
        )
    if phase == "relay_bug":
        return f"the relay failed: {error} at {record.get('place')}"
    return ""


def _after(record: dict[str, Any]) -> str:
    """Return how long the step took that failed, where the record says so."""
    took_ms = record.get("step_ms")
    return f" after {seconds_text(took_ms / 1000)}" if isinstance(took_ms, (int, float)) else ""


def verdict(records: list[dict[str, Any]]) -> tuple[str, str]:
    """Return how a request ended, in one word and in a sentence."""
    end = _of(records, "outbound_response")
    if end:
        word = str(end.get("outcome"))
        error = end.get("error")
        said = f": {error.get('message')}" if isinstance(error, dict) else ""
        hop = error.get("hop") if isinstance(error, dict) else None
        after = _after(_of(records, "upstream_response_error", "upstream_stream_error"))
        return word, VERDICTS.get(word, word) + (f" (at: {hop}{after})" if hop else "") + said
    begin = _of(records, *_BEGINS)
    if begin.get("phase") == "endpoint_auth_failed":
        key, problem = begin.get("key"), begin.get("key_problem")
        if problem:
            return "refused", f"the key {key or 'that was presented'} was {problem}"
        return "refused", "the relay token was missing or wrong"
    if begin.get("phase") == "endpoint_rejected":
        said = f"the relay refused it: {begin.get('reason')}, status {begin.get('status_code')}"
        return "refused", said + (f"; {begin['message']}" if begin.get("message") else "")
    return "open", "no end was logged: the request is still running, or the relay was killed"


def _of(records: list[dict[str, Any]], *phases: str) -> dict[str, Any]:
    return next((record for record in records if record.get("phase") in phases), {})
