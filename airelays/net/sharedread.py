"""The buffer that all connections of a thread read into.

A plain asyncio protocol is handed a bytes object that was allocated for the most that a read may bring and then cut
to what came, mostly a few hundred bytes of 64 KiB. Those that live on for a while leave holes in the heap, which
grows for hours. What is read here has to be copied out, at the size that it has, before the loop goes on. A buffer
a thread: a refresh of the sign-in has a loop of its own beside that of the relay. Layer: I/O.
"""

from __future__ import annotations

import threading

READ_BYTES = 64 * 1024


class _Own(threading.local):
    def __init__(self) -> None:
        self.view = memoryview(bytearray(READ_BYTES))


_OWN = _Own()


def read_view() -> memoryview:
    """Return this thread's buffer, of READ_BYTES."""
    return _OWN.view
