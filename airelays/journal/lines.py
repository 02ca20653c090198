"""The lines of the traffic log: what the event loop handed over, as JSON without secrets.

Runs in the journal's thread. Usual records are built from remembered parts (a user agent or a path repeats often), so
that a line costs a few microseconds. Owns: the contents of a line. Layer: app.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from airelays.errors import RelayError, UpstreamFault
from airelays.journal.book import program_in
from airelays.model import Fields, Outcome, RequestHead, Usage

if TYPE_CHECKING:
    from airelays.guard.redact import Redactor

# The third element of a record names its kind; see the methods of Encoder.
INBOUND, OUTBOUND, UPSTREAM, LINES, EVENT = range(5)
MAX_PARSED_BYTES = 1024 * 1024
MAX_LINE_BYTES = 60 * 1024
_MAX_REDACTORS = 256
# Lengths of the way upstream; the other times count from the head of the request.
_NETWORK = frozenset({"dial", "tls", "head"})


class Encoder:
    """`encode` for the Journal. `secrets` is asked before each batch for all that the process knows."""

    def __init__(self, secrets: Callable[[], frozenset[bytes]]) -> None:
        self._redactor: Redactor | None = None
        self._used: Redactor | None = None
        self.withheld = 0
        self._secrets = secrets
        self._by_fields: dict[Fields, Redactor] = {}
        self._last_fields: Fields | None = None
        self._last: Redactor | None = None
        self._second = -1
        self._stamp = ""

    @property
    def redactor(self) -> Redactor:
        """What is used now. Its patterns take 2 ms to compile: not while the relay starts, but in the thread."""
        if self._redactor is None:
            from airelays.guard.redact import Redactor

            self._redactor = Redactor()
        return self._redactor

    def current(self) -> Redactor:
        """Return the redactor with all secrets known so far. Any thread can call this."""
        self._redactor = found = self.redactor.extended(self._secrets())
        return found

    def __call__(self, records: Sequence[tuple[Any, ...]]) -> list[bytes]:
        """Return for each record its line or lines, each ended."""
        # A former secret stays secret: a rotated token can still be in a late record.
        current = self.current()
        if current is not self._used:
            self._used = current
            self._by_fields.clear()
            self._last_fields = None
        lines = [self._encode(record) for record in records]
        if not self.redactor.is_clean(b"".join(lines)):
            lines = [self._withhold(line) for line in lines]
        return lines

    def _encode(self, record: tuple[Any, ...]) -> bytes:
        kind = record[2]
        if kind == INBOUND:
            text = self._inbound(*record)
        elif kind == OUTBOUND:
            text = self._outbound(*record)
        elif kind == EVENT:
            text = self._event(*record)
        elif kind == UPSTREAM:
            text = self._upstream_request(*record)
        else:
            text = self._stream_lines(*record)
        return text.encode("ascii")

    def _withhold(self, line: bytes) -> bytes:
        """Return `line`, or a substitute if a secret got into it in an unexpected way."""
        if self.redactor.is_clean(line):
            return line
        self.withheld += 1
        return b'{"phase":"log_record_withheld","reason":"a secret was found in it"}\n'

    # ---- kinds

    def _inbound(
        self,
        at_s: float,
        weight: int,
        kind: int,
        request_id: str,
        head: RequestHead,
        client: str,
        route: str,
        body: bytes | None,
        key: str = "",
    ) -> str:
        to = self._redactor_of(head.fields)
        query = f',"query":{json.dumps(to.query(head.query))}' if head.query else ""
        start = (
            f"{self._start('inbound_request', request_id, at_s)},"
            f'"method":{to.literal(head.method)},"path":{to.literal(head.path)}{query},'
            f'"route":"{route}"{_key(key)},"client_ip":{to.literal(client)},"headers":{to.fields(head.fields)}'
        )
        if body is not None:
            return _with_body(start, _snapshot(body, to))
        size = f',"body":{{"bytes":{head.content_length}}}' if head.content_length else ""
        return f"{start}{size}}}\n"

    def _outbound(
        self,
        at_s: float,
        weight: int,
        kind: int,
        request_id: str,
        head: RequestHead,
        client: str,
        outcome: Outcome,
        ended: str,
        total_ms: float,
    ) -> str:
        to = self._redactor_of(head.fields)
        error = outcome.error
        text = ""
        if outcome.upstream:
            text = self._upstream(at_s, request_id, outcome, to)
        usage = f',"usage":{_usage(outcome.usage)}' if outcome.usage is not None else ""
        times = "".join(
            [
                f'"{name}":{ms:.2f},'
                for name, ms in outcome.timings_ms.items()
                if name not in _NETWORK
            ]
        )
        line = (
            f"{self._start('outbound_response', request_id, at_s)},"
            f'"status_code":{outcome.status},"outcome":"{ended}","method":{to.literal(head.method)},'
            f'"route":"{outcome.route}"{_key(outcome.key)}{_session(outcome.session)},"client_ip":{to.literal(client)},'
            f'"program":{to.literal(program_in(head.fields))},'
            f'"model":{to.literal(outcome.model)},"upstream":{to.literal(outcome.upstream)},'
            f'"stream":{"true" if outcome.events else "false"},"events":{outcome.events},'
            f'"bytes_in":{outcome.bytes_in},"bytes_out":{outcome.bytes_out}{usage},'
            f'"timings_ms":{{{times}"total":{total_ms:.2f}}}'
        )
        if error is not None:
            line += f',"error":{_error(error, to)}'
        if outcome.sent is not None:
            return text + _with_body(line, _snapshot(bytes(outcome.sent), to, outcome.bytes_out))
        return f"{text}{line}}}\n"

    def _upstream(self, at_s: float, request_id: str, outcome: Outcome, to: Redactor) -> str:
        """Return the line about the upstream: it answered, refused, or stopped in the middle."""
        error = outcome.error
        names = f'"upstream":{to.literal(outcome.upstream)},"model":{to.literal(outcome.model)}'
        if isinstance(error, UpstreamFault):
            broke = error.hop == "stream" or outcome.status == 200
            phase = "upstream_stream_error" if broke else "upstream_response_error"
            start = self._start(phase, request_id, at_s)
            took = "" if error.step_s is None else f'"step_ms":{error.step_s * 1000:.2f},'
            return (
                f'{start},{names},"status_code":{error.status},"hop":"{error.hop}",{took}'
                f'"error":{_error(error, to)}}}\n'
            )
        if "head" not in outcome.timings_ms and "first_byte" not in outcome.timings_ms:
            return ""  # it was chosen and never answered: the client left, or the relay failed
        times = ",".join(
            [f'"{name}":{ms:.2f}' for name, ms in outcome.timings_ms.items() if name in _NETWORK]
        )
        start = self._start("upstream_response", request_id, at_s)
        return f'{start},{names},"status_code":200,"timings_ms":{{{times}}}}}\n'

    def _upstream_request(
        self,
        at_s: float,
        weight: int,
        kind: int,
        request_id: str,
        fields: Fields,
        upstream: str,
        body: dict[str, Any],
    ) -> str:
        to = self._redactor_of(fields)
        start = (
            f'{self._start("upstream_request", request_id, at_s)},"upstream":{to.literal(upstream)}'
        )
        return _with_body(start, {"kind": "json", "json": to.value(body)})

    def _stream_lines(
        self, at_s: float, weight: int, kind: int, request_id: str, fields: Fields, data: bytes
    ) -> str:
        """One line for each line of the upstream's stream that has anything in it."""
        to = self._redactor_of(fields)
        start = self._start("upstream_stream_line", request_id, at_s)
        return "".join(
            f'{start},"line":{json.dumps(_line_text(line, to))}}}\n'
            for line in data.replace(b"\r", b"\n").split(b"\n")
            if line
        )

    def _event(
        self,
        at_s: float,
        weight: int,
        kind: int,
        phase: str,
        request_id: str,
        fields: dict[str, Any],
    ) -> str:
        """Anything else: the names are ours, the values are not."""
        headers = fields.get("headers", ())
        to = self._redactor_of(headers)
        parts = [self._start(phase, request_id, at_s)]
        for name, value in fields.items():
            if name == "headers":
                shown = to.fields(value)
            elif isinstance(value, str):
                shown = to.literal(value)
            else:
                shown = json.dumps(to.value(value))
            parts.append(f'"{name}":{shown}')
        line = ",".join(parts)
        return f"{line}}}\n" if len(line) < MAX_LINE_BYTES else f'{parts[0]},"omitted":true}}\n'

    # ---- parts

    def _redactor_of(self, fields: Fields) -> Redactor:
        """Return the redactor that also knows what this request presented as its own credentials."""
        if fields is self._last_fields and self._last is not None:
            return self._last  # a kept connection sends the same head again and again
        found = self._by_fields.get(fields)
        if found is None:
            from airelays.guard.redact import presented_secrets

            if len(self._by_fields) >= _MAX_REDACTORS:
                self._by_fields.clear()
            found = self.redactor.extended(presented_secrets(fields))
            self._by_fields[fields] = found
        self._last_fields, self._last = fields, found
        return found

    def _start(self, phase: str, request_id: str, at_s: float) -> str:
        second = int(at_s)
        if second != self._second:
            t = time.gmtime(second)
            self._second = second
            self._stamp = (
                f"{t.tm_year:04}-{t.tm_mon:02}-{t.tm_mday:02}"
                f"T{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}"
            )
        return (
            f'{{"phase":"{phase}","request_id":"{request_id}",'
            f'"logged_at":"{self._stamp}.{int((at_s - second) * 1000):03}Z"'
        )


def _key(name: str) -> str:
    """Return the name of the key that asked; a name needs no escapes (`guard.keys.is_name`)."""
    return f',"key":"{name}"' if name else ""


def _session(session: str) -> str:
    return f',"session":"{session}"' if session else ""


def _usage(usage: Usage) -> str:
    more = ""
    if usage.cached_tokens:
        more += f',"cached_tokens":{usage.cached_tokens}'
    if usage.cache_write_tokens:
        more += f',"cache_write_tokens":{usage.cache_write_tokens}'
    if usage.reasoning_tokens:
        more += f',"reasoning_tokens":{usage.reasoning_tokens}'
    return (
        f'{{"input_tokens":{usage.input_tokens},"output_tokens":{usage.output_tokens},'
        f'"total_tokens":{usage.total_tokens}{more}}}'
    )


def _error(error: RelayError, to: Redactor) -> str:
    hop = f',"hop":"{error.hop}"' if isinstance(error, UpstreamFault) else ""
    code = to.literal(error.code) if error.code else "null"
    return f'{{"message":{to.literal(error.local)},"type":{to.literal(error.type)},"code":{code}{hop}}}'


def _with_body(start: str, body: dict[str, Any]) -> str:
    line = f'{start},"body":{json.dumps(body, separators=(",", ":"))}}}\n'
    if len(line) <= MAX_LINE_BYTES:
        return line
    left = {name: value for name, value in body.items() if name in ("kind", "bytes", "sha256")}
    return f'{start},"body":{json.dumps({**left, "omitted": True}, separators=(",", ":"))}}}\n'


def _snapshot(body: bytes, to: Redactor, size: int | None = None) -> dict[str, Any]:
    """Return what is logged of a body: its JSON or its texts without secrets, or only its digest."""
    import hashlib

    about: dict[str, Any] = {"kind": "empty", "bytes": len(body) if size is None else size}
    if not body:
        return about
    about["sha256"] = hashlib.sha256(body).hexdigest()
    if len(body) > MAX_PARSED_BYTES:
        return {**about, "kind": "large"}
    if body.startswith((b"data:", b"event:", b":")):
        return {**about, "kind": "stream", "text": to.value(_stream_texts(body))}
    try:
        return {**about, "kind": "json", "json": to.value(json.loads(body))}
    except (ValueError, RecursionError):
        return {**about, "kind": "binary_summary"}


def _stream_texts(data: bytes) -> dict[str, str]:
    """Return the texts of an event stream, each joined, so that a secret in two deltas is found."""
    found: dict[str, list[str]] = {}
    for line in data.replace(b"\r", b"\n").split(b"\n"):
        if not line.startswith(b"data: {"):
            continue
        try:
            event = json.loads(line[6:])
        except (ValueError, RecursionError):
            continue
        for name, text in _deltas(event):
            found.setdefault(name, []).append(text)
    return {name: "".join(parts) for name, parts in found.items()}


def _deltas(event: dict[str, Any]) -> list[tuple[str, str]]:
    delta = event.get("delta")
    if isinstance(delta, str):
        return [(str(event.get("type", "delta")), delta)]
    found = []
    for choice in event.get("choices") or ():
        if not isinstance(choice, dict):
            continue
        parts = choice.get("delta") or {"text": choice.get("text")}
        found += [(k, v) for k, v in parts.items() if isinstance(v, str)]
        for call in parts.get("tool_calls") or ():
            function = call.get("function") or {} if isinstance(call, dict) else {}
            found += [(f"function.{k}", v) for k, v in function.items() if isinstance(v, str)]
    if "error" in event:
        found.append(("error", json.dumps(event["error"])))
    return found


def _line_text(line: bytes, to: Redactor) -> str:
    """Return one line of an event stream: JSON by key and value, anything else by value."""
    mark, colon, data = line.partition(b"data: ")
    if not mark and colon:
        try:
            return "data: " + json.dumps(to.value(json.loads(data)), separators=(",", ":"))
        except (ValueError, RecursionError):
            pass
    return to.text(line[:8192].decode("utf-8", "replace"))
