"""What puts the errors of a request into Anthropic's form; made with the first request that needs it. Layer: app."""

from __future__ import annotations

from airelays.dialects.anthropic.errors import Words
from airelays.net.request import Request


def words_of(request: Request) -> Words:
    """Return what puts the errors of this request into words; from then on they have Anthropic's form."""
    if not isinstance(request.words, Words):
        request.words = Words(request.id)
    return request.words
