"""The usage in a JSON answer that is passed on as it comes, such as embeddings, without reading all of it.

Servers put it first or last: what is looked at are the ends. Layer: rules.
"""

from __future__ import annotations

import json
import re

from airelays.dialects.reply import read_usage
from airelays.model import Usage

KEPT_BYTES = 4096
_USAGE = re.compile(rb'"usage"\s*:\s*(\{[^{}]{0,1024}(?:\{[^{}]{0,512}\}[^{}]{0,512}){0,4}\})')


class Ends:
    """The first and the last KEPT_BYTES of a body."""

    __slots__ = ("head", "tail")

    def __init__(self) -> None:
        self.head = b""
        self.tail = b""

    def feed(self, data: bytes) -> None:
        """Take one read."""
        if len(self.head) < KEPT_BYTES:
            self.head += data[: KEPT_BYTES - len(self.head)]
        self.tail = (self.tail + data[-KEPT_BYTES:])[-KEPT_BYTES:]


def usage_in(part: bytes) -> Usage | None:
    """Return the usage in the ends of `part` of a JSON body; None when there is none, or none that can be read."""
    for piece in (part[-KEPT_BYTES:], part[:KEPT_BYTES]):
        for found in reversed(_USAGE.findall(piece)):
            try:
                usage = read_usage(json.loads(found))
            except (ValueError, RecursionError):
                continue
            if usage is not None:
                return usage
    return None
