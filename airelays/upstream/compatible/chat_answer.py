"""The answer of a server that speaks chat only, read as Responses events while it arrives. Layer: I/O."""

from __future__ import annotations

import time
from collections.abc import Callable

from airelays.dialects.chat_server.events import ChatEvents
from airelays.upstream.base import NetworkAnswer, PassedAnswer
from airelays.upstream.compatible.recall import Recall


class ChatAnswer(NetworkAnswer):
    """The answer of a server that speaks chat only, as Responses events."""

    __slots__ = ("_answered", "_events", "_recall")

    def __init__(
        self, answered: PassedAnswer, events: ChatEvents, ignored: tuple[str, ...], recall: Recall
    ) -> None:
        super().__init__(answered.response, answered.fields, ignored)
        self._recall = recall
        self._answered = answered
        self._events = events

    async def pump(self, feed: Callable[[bytes], None]) -> None:
        """Hand each read to `feed`, translated."""
        events = self._events

        def translate(data: bytes) -> None:
            out = events.feed(data)
            if events.thoughts:
                self._recall.keep(events.thoughts, time.monotonic())
                events.thoughts = {}
            if out:
                feed(out)

        await self._answered.pump(translate)
        out = events.end()
        self._recall.keep(events.thoughts, time.monotonic())
        if out:
            feed(out)

    def offer_raw(self, take: Callable[[bytes], bool]) -> None:
        """Chat chunks are not what `take` knows."""
