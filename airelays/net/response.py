"""An answer of an upstream whose head is in: read whole, pumped as it comes, or given up. Layer: I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from airelays.errors import RelayBug, UpstreamFault
from airelays.model import ResponseHead
from airelays.net.exchange import Exchange

MAX_JSON_BYTES = 16 * 1024 * 1024


class Response:
    """An answer whose head is in. Exactly one of `read`, `pump` or `abort` must follow.

    `timings_ms` holds "dial" (0 on a pooled connection), "head", and "tls" when there was a handshake.
    """

    __slots__ = ("_connection", "_done", "_raw", "head", "timings_ms")

    def __init__(
        self, connection: Exchange, head: ResponseHead, timings_ms: dict[str, float]
    ) -> None:
        self._connection: Exchange | None = connection
        self._done: asyncio.Future[None] | None = None
        self._raw: Callable[[bytes], bool] | None = None
        self.head = head
        self.timings_ms = timings_ms

    @property
    def status(self) -> int:
        """The final status; 3xx is given to the caller as it is."""
        return self.head.status

    async def pump(self, feed: Callable[[bytes], None]) -> None:
        """Give each read of the body to `feed`, in the event loop, until the body has truly ended.

        Raises UpstreamFault when it was cut, stalled, malformed or compressed, and whatever `feed` raises.
        """
        coding = self.head.get(b"content-encoding")
        if coding is not None and coding.lower() != b"identity":
            self.abort()
            raise UpstreamFault(
                "the upstream compressed its answer although the relay did not ask for that; a proxy in "
                "between may be the cause: exclude the upstream from it",
                hop="upstream",
                code="upstream_malformed",
                type="upstream_error",
            )
        # A stream can last an hour, and the 1.5 KiB of its head need not.
        self.head = ResponseHead(self.head.status, (), *self.head[2:])
        await self._pump(feed)

    async def read(
        self, limit_bytes: int = MAX_JSON_BYTES, *, within_s: float | None = 60.0
    ) -> bytes:
        """Return the whole body, decoded if it is gzip or deflate, of at most `limit_bytes` either way.

        Nothing of a longer one is read when its head says so. `within_s` None: only its pauses are bounded.
        """
        if self.head.content_length is not None and self.head.content_length > limit_bytes:
            self.abort()
            raise _too_large(limit_bytes)
        parts: list[bytes] = []
        size = 0

        def keep(data: bytes) -> None:
            nonlocal size
            size += len(data)
            if size > limit_bytes:
                raise _too_large(limit_bytes)
            parts.append(data)

        try:
            async with asyncio.timeout(within_s):
                await self._pump(keep)
        except TimeoutError:
            raise UpstreamFault(
                f"the upstream's answer was not complete within {within_s:g} s",
                hop="stream",
                status=504,
                code="upstream_timeout",
                type="upstream_error",
            ) from None
        return _decode(self.head.get(b"content-encoding"), b"".join(parts), limit_bytes)

    async def _pump(self, feed: Callable[[bytes], None]) -> None:
        if self._connection is None or self._done is not None:
            raise RelayBug("an upstream answer was read twice")
        self._done = self._connection.start(feed, self._raw)
        try:
            await self._done
        finally:
            self.abort()
            self._connection = self._done = None

    def _own(self) -> Exchange | None:
        """Return the connection while it is ours: once the body is over it may serve somebody else."""
        connection = self._connection
        if connection is None or self._done is None or connection.serves(self._done):
            return connection
        return None

    def offer_raw(self, take: Callable[[bytes], bool]) -> None:
        """Show `take` each read before it is unframed; see Exchange.start. Called before `pump`."""
        self._raw = take

    def pause(self) -> None:
        """Stop reading from the upstream; a few more calls of `feed` may come."""
        connection = self._own()
        if connection is not None:
            connection.pause()

    def resume(self) -> None:
        """Read again."""
        connection = self._own()
        if connection is not None:
            connection.resume()

    def end_within(self, seconds: float) -> None:
        """Give the rest of the body so long, counted from now, then do as `abort`; to be called by `feed`."""
        connection = self._own()
        if connection is not None:
            connection.end_within(seconds)

    def abort(self) -> None:
        """End the exchange and drop its connection. Safe to call at any time and twice."""
        connection = self._own()
        if connection is not None:
            connection.abort()

    def tls_issuer(self) -> str:
        """Return the organisation or name that issued the upstream's certificate; "" without TLS."""
        connection = self._connection
        found = None if connection is None else connection.transport.get_extra_info("peercert")
        names = {key: value for part in (found or {}).get("issuer", ()) for key, value in part}
        return str(names.get("organizationName") or names.get("commonName") or "")


def _too_large(limit_bytes: int) -> UpstreamFault:
    return UpstreamFault(
        f"the upstream's answer is larger than {limit_bytes:,} bytes, which is the limit",
        hop="upstream",
        code="upstream_too_large",
        type="upstream_error",
    )


def _decode(coding: bytes | None, data: bytes, limit_bytes: int) -> bytes:
    name = (coding or b"identity").lower()
    if name == b"identity" or not data:
        return data
    if name not in (b"gzip", b"x-gzip", b"deflate"):
        raise UpstreamFault(
            "the upstream's answer has a content coding that was not requested",
            code="upstream_malformed",
            type="upstream_error",
        )
    import zlib

    decoder = zlib.decompressobj(wbits=15 if name == b"deflate" else 31)
    try:
        plain = decoder.decompress(data, limit_bytes + 1)
    except zlib.error as error:
        raise UpstreamFault(
            "the upstream's answer is not valid in its own content coding",
            code="upstream_malformed",
            type="upstream_error",
        ) from error
    if len(plain) > limit_bytes:
        raise _too_large(limit_bytes)
    if not decoder.eof:
        raise UpstreamFault(
            "the upstream's compressed answer ends too early",
            hop="stream",
            code="incomplete_stream",
            type="upstream_error",
        )
    return plain
