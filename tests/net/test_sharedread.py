"""The buffer that the connections of a thread share: what one read brought is not what the next one brings."""

from __future__ import annotations

import asyncio
import threading

from airelays.model import Peer
from airelays.net.connection import Connection
from airelays.net.sharedread import READ_BYTES, read_view


def put(connection: Connection, data: bytes) -> None:
    """Deliver one read as the loop does."""
    view = connection.get_buffer(-1)
    view[: len(data)] = data
    connection.buffer_updated(len(data))


def test_a_thread_has_one_buffer_and_another_thread_another() -> None:
    found = []
    worker = threading.Thread(target=lambda: found.append(read_view()))
    worker.start()
    worker.join()
    assert read_view().obj is read_view().obj
    assert found[0].obj is not read_view().obj
    assert len(found[0]) == len(read_view()) == READ_BYTES


def test_what_was_read_does_not_change_with_the_next_read() -> None:
    async def go() -> list[bytes]:
        loop = asyncio.get_running_loop()
        both = [Connection(loop, Peer("127.0.0.1", 1), "127.0.0.1", 1.0) for _ in range(2)]
        for data in (b"first", b" and third"):
            put(both[0], data)
            put(both[1], data.upper())
        got = [await one.read(loop.time() + 1) for one in both]
        for connection in both:
            connection.deadline.close()
        return got

    assert asyncio.run(go()) == [b"first and third", b"FIRST AND THIRD"]
