"""A stream of a server that speaks this API itself: passed on line by line.

As in `dialects/stream/passed.py` the truths are kept: whole lines only, an end that is believed only with
`"done": true`, an error line as the end. Layer: rules.
"""

from __future__ import annotations

import json
from typing import Any

from airelays.dialects.ollama.errors import line
from airelays.dialects.ollama.stream import CONTENT_TYPE
from airelays.dialects.stream.failure import classify, in_band, incomplete_stream
from airelays.dialects.stream.passed import PassedChunks
from airelays.errors import RelayError, UpstreamFault
from airelays.guard.redact import Redactor
from airelays.model import Usage
from airelays.protocol.sse import MAX_EVENT_BYTES


class PassedLines(PassedChunks):
    """A reply map that changes nothing. A line is parsed only if it may be the last one."""

    content_type = CONTENT_TYPE

    def __init__(self, *, model: str, max_line_bytes: int = MAX_EVENT_BYTES) -> None:
        super().__init__(model=model)
        self._parts: list[bytes] = []
        self._size = 0
        self._most = max_line_bytes

    def feed(self, data: bytes) -> bytes:
        """Return the whole lines that `data` completes."""
        if self.done:
            return b""
        whole, newline, rest = data.rpartition(b"\n")
        if newline:
            whole = b"".join((*self._parts, whole, newline))
            self._parts, self._size = [], 0
        # Joined only when the line is complete: one that comes in many reads is copied once.
        self._parts.append(rest)
        self._size += len(rest)
        if self._size > self._most:
            self._fail(_malformed(f"a line of more than {self._most} bytes"))
            return b""
        return self._look(whole) if newline else b""

    def end(self) -> bytes:
        """The body has ended: a last line may lack its end; without one that says so the answer is cut."""
        if self.done:
            return b""
        rest = b"".join(self._parts)
        out = self._look(rest + b"\n") if object_in(rest) else b""
        if not self.done:
            self._fail(incomplete_stream())
        return out

    def fail(self, fault: RelayError) -> bytes:
        """Return the error line, once; nothing after an end."""
        if self._said or (self.done and self.terminal != "failed"):
            return b""
        self._said = self.committed = True
        if not self.done:
            self._fail(in_band(fault))
        return line(in_band(fault))

    def ping(self) -> bytes:
        """Return white space, which belongs to the next line: an empty line of its own breaks clients."""
        return b" "

    def _look(self, lines: bytes) -> bytes:
        """Note what `lines` say of the answer's state; return what of them goes out."""
        if b'"error"' in lines or b'"done":true' in lines or b'"done": true' in lines:
            lines = self._read_end(lines)
        if lines.strip():
            self.committed = self.first_text = True
            self.events += lines.count(b"\n")
        return lines

    def _read_end(self, lines: bytes) -> bytes:
        out: list[bytes] = []
        for one in lines.split(b"\n")[:-1]:
            value = object_in(one)
            if value.get("error") is not None:
                self._fail(refusal_in(value, self.redactor()))
                break
            out.append(one + b"\n")
            if value.get("done") is True:
                self.usage = usage_in(value)
                self.done, self.terminal = True, "completed"
                break
        return b"".join(out)


def object_in(text: bytes) -> dict[str, Any]:
    """Return the JSON object of one line, {} for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def refusal_in(value: dict[str, Any], redactor: Redactor) -> UpstreamFault:
    """Return the fault for an answer that is an error."""
    said = redactor.told(value)["error"]
    error = said if isinstance(said, dict) else {"message": str(said)[:2000]}
    return classify({"type": "error", "error": error})


def usage_in(value: dict[str, Any]) -> Usage | None:
    """Return the counters of a last line."""
    spent, made = value.get("prompt_eval_count"), value.get("eval_count")
    if type(spent) is not int and type(made) is not int:
        return None
    spent, made = (max(0, n) if type(n) is int else 0 for n in (spent, made))
    return Usage(spent, made, spent + made)


def _malformed(what: str) -> UpstreamFault:
    return UpstreamFault(
        f"the upstream sent {what}", code="upstream_malformed", type="upstream_error"
    )
