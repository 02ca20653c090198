"""What every upstream offers the app. Layer: I/O.

An upstream speaks the Responses protocol (`respond`), lists its models and says how it is. It raises
`UpstreamFault` for everything that goes wrong before the first byte of an answer, and lets `Answer.pump`
raise it for what goes wrong later. It retries nothing after a byte was fed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from airelays.model import Call, Fields

__all__ = ["Answer", "Upstream"]


class Answer(Protocol):
    """A Responses event stream that has begun with status 200 and is read by whoever pumps it."""

    @property
    def fields(self) -> Fields:
        """Header fields of the upstream that may be shown to the client (an allow-list)."""

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of parameters that the upstream refused and that were left out."""

    async def pump(self, feed: Callable[[bytes], None]) -> None:
        """Hand each read of the body to `feed` until the body has ended; called once.

        Returns at the true end of the body. Raises UpstreamFault when it was cut, stalled or malformed.
        `feed` is called from the event loop, never concurrently; what it raises ends the pump.
        """

    def pause(self) -> None:
        """Stop reading from the upstream; `feed` is not called until `resume` (a few more calls may come)."""

    def resume(self) -> None:
        """Read again."""

    def end_within(self, seconds: float) -> None:
        """Give the rest of the body so long, counted from now, then do as `abort`; to be called by `feed`."""

    def abort(self) -> None:
        """End the upstream request at once; a running `pump` raises UpstreamFault. Safe to call twice."""


class Upstream(Protocol):
    """One configured far side."""

    name: str
    kind: str

    async def respond(self, body: dict[str, Any], call: Call) -> Answer:
        """Send one Responses request (always streamed) and return when its head said 200."""

    async def models(self, *, refresh: bool = False) -> list[dict[str, Any]]:
        """Return the catalogue: objects with at least `slug`; served from cache when there is one."""

    async def status(self) -> dict[str, Any]:
        """Return facts for `/v1/relay/status`: at least `kind` and `ready`; never a secret, no network."""

    async def close(self) -> None:
        """Close idle connections and stop background work."""
