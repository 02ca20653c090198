"""The reply maps: bytes of the upstream's event stream in, bytes for the client out. Layer: rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from airelays.errors import RelayError, UpstreamFault
from airelays.guard.redact import Redactor
from airelays.model import Usage
from airelays.translate.chat_stream import ChatStream
from airelays.translate.chunks import CompletionStream
from airelays.translate.collector import Collector
from airelays.translate.responses_stream import ResponsesStream

__all__ = ["ChatStream", "Collector", "CompletionStream", "ReplyMap", "ResponsesStream"]


class ReplyMap(Protocol):
    """What the app needs of each of them; `frames.EventMap` tells what the fields mean."""

    committed: bool
    terminal: str
    failure: UpstreamFault | None
    stopped: bool
    done: bool
    usage: Usage | None
    model: str
    response_id: str
    first_text: bool
    events: int
    redactor: Callable[[], Redactor]

    def feed(self, data: bytes) -> bytes:
        """Take one read of the upstream's body; return what goes to the client for it."""

    def end(self) -> bytes:
        """Say that the body has ended; return whatever closes the client's stream."""

    def fail(self, fault: RelayError) -> bytes:
        """Return the error event of this dialect, once."""

    def ping(self) -> bytes:
        """Return a keep-alive for this client."""
