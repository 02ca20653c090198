"""Errors in Ollama's form: one text, which its clients print as it is. Layer: rules."""

from __future__ import annotations

from airelays.dialects.stream.events import encode
from airelays.errors import RelayError


class Words:
    """Puts errors into Ollama's form."""

    __slots__ = ()

    def answer(self, error: RelayError) -> tuple[int, bytes]:
        """Return status and body for `error`."""
        return error.status, line(error)


def line(error: RelayError) -> bytes:
    """Return the error as one line: the body of an answer, or the end of a stream."""
    return encode({"error": error.message}) + b"\n"
