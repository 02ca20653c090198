"""What a Responses request asks for that its answer shows: an output limit that is told, a format that is kept.

Some servers have a Responses API that ignores `text.format`, or that calls an answer complete that they cut at its
limit (llama.cpp does both). What is seen of that is told to `doubt`, so that later requests can go another
way. Layer: rules.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from airelays.dialects.reply import message_texts, read_usage
from airelays.errors import UpstreamFault
from airelays.protocol.sse import Parser

# How much of a stream is held until its first text; reasoning may come before it.
MAX_HELD_BYTES = 256 * 1024
_TEXT = "response.output_text."
_ENDS = ("response.completed", "response.incomplete", "response.failed", "error")
_JSON_STARTS = frozenset('{["-0123456789tfn')


class Watch:
    """Of one request: its limit in tokens, and how the text of its answer has to begin.

    `doubt` is called with "format" or "limit" when the server does not keep, or does not tell, that.
    """

    __slots__ = ("_doubt", "_limit", "_starts")

    def __init__(
        self, limit: int | None, starts: frozenset[str], doubt: Callable[[str], None]
    ) -> None:
        self._limit = limit
        self._starts = starts
        self._doubt = doubt

    @property
    def has_format(self) -> bool:
        """Whether the text has to be JSON."""
        return bool(self._starts)

    def ended(self, response: dict[str, Any]) -> bool:
        """Whether the limit ended an answer that is said to be complete; then `response` says so, too.

        An answer that has exactly as many tokens as were allowed may be complete. Nobody can tell, so it is not.
        """
        usage = read_usage(response.get("usage"))
        if self._limit is None or usage is None or usage.output_tokens < self._limit:
            return False
        if "incomplete_details" not in response:
            self._doubt("limit")  # of a server that has no words for it
        response.update(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
        output = response.get("output")
        last = output[-1] if isinstance(output, list) and output else None
        if isinstance(last, dict) and last.get("status") == "completed":
            last["status"] = "incomplete"
        return True

    def begins(self, text: str) -> bool:
        """Whether the text of an answer that begins with `text` can be what was asked for."""
        text = text.lstrip("\ufeff \t\r\n")
        kept = not (text and self._starts) or text[0] in self._starts
        if not kept:
            self._doubt("format")
        return kept

    def keeps_format(self, response: dict[str, Any]) -> bool:
        """Whether the text of a whole answer is what was asked for, as far as it goes."""
        if not self._starts:
            return True
        output = response.get("output")
        items = [one for one in output if isinstance(one, dict)] if isinstance(output, list) else []
        text = "".join(message_texts(one)[0] for one in items if one.get("type") == "message")
        if not text.strip():
            return True
        if not self.begins(text):
            return False
        if response.get("status", "completed") != "completed":
            return True
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            self._doubt("format")
            return False
        return True


def watch_of(
    body: dict[str, Any], doubt: Callable[[str], None], *, form: bool = True
) -> Watch | None:
    """Return what to look for in the answer to a Responses request, its format if `form`; None for nothing."""
    limit = body.get("max_output_tokens")
    limit = limit if type(limit) is int and limit > 0 else None
    text = body.get("text")
    starts: frozenset[str] = frozenset()
    asked = text.get("format") if isinstance(text, dict) and form else None
    if isinstance(asked, dict) and asked.get("type") in ("json_schema", "json_object"):
        schema = asked.get("schema")
        is_object = not isinstance(schema, dict) or schema.get("type") == "object"
        starts = frozenset("{") if is_object else _JSON_STARTS
    return Watch(limit, starts, doubt) if limit is not None or starts else None


class FirstText:
    """Holds the beginning of a Responses stream until its text shows that the format is kept."""

    def __init__(self, watch: Watch, feed: Callable[[bytes], None]) -> None:
        self._watch = watch
        self._feed = feed
        self._parser = Parser(MAX_HELD_BYTES)
        self._held: list[bytes] = []
        self._size = 0
        self.feed: Callable[[bytes], None] = self._hold

    def _hold(self, data: bytes) -> None:
        """Take one read. Raises UpstreamFault, with `again` set, for text that is not what was asked for."""
        self._held.append(data)
        self._size += len(data)
        if self._size > MAX_HELD_BYTES or any(map(self._decides, self._parser.feed(data))):
            self.end()

    def end(self) -> None:
        """Pass on what is held, and from now on everything at once."""
        held, self._held = b"".join(self._held), []
        self.feed = self._feed
        if held:
            self._feed(held)

    def _decides(self, event: Any) -> bool:
        """Whether an event shows that the format is kept, or that nothing will."""
        try:
            value = json.loads(event.data)
        except (ValueError, RecursionError):
            return False
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str):
            return isinstance(value, dict) and bool(value.get("error"))
        if kind in _ENDS:
            return True
        text = (value.get("delta") or value.get("text")) if kind.startswith(_TEXT) else None
        if not isinstance(text, str) or not text.strip():
            return False
        if not self._watch.begins(text):
            self._held.clear()
            raise format_ignored()
        return True


def format_ignored() -> UpstreamFault:
    """Return the fault of an answer that is not JSON although JSON was asked for."""
    fault = UpstreamFault(
        "the upstream's Responses API ignored text.format: its answer is not JSON; the next request goes to its chat "
        "API",
        hop="stream",
        code="upstream_format_ignored",
        type="upstream_error",
    )
    fault.again = True
    return fault
