"""The state on disk, for asyncio: one thread does all of SQLite's work, the event loop never waits for it.

Opened when it is first needed. The quota of uploads is kept here under a lock: the event loop reserves bytes as they
come, the thread turns them into stored ones together with the row. Layer: I/O.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from airelays.errors import RelayError
from airelays.state.quota import Quota, Reservation

if TYPE_CHECKING:
    from airelays.state.database import State
    from airelays.state.files import FileRow
    from airelays.state.spool import Spool

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Store:
    """The relay's one way to its state. Faults are RelayErrors: 507 for a full disk, else 503."""

    def __init__(self, data_dir: str, *, max_file_bytes: int, max_total_bytes: int) -> None:
        self.data_dir = data_dir
        self.quota = Quota(max_file_bytes, max_total_bytes)
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._state: State | None = None

    @property
    def in_use(self) -> bool:
        """Whether anything was asked of it yet."""
        return self._thread is not None

    @property
    def may_hold(self) -> bool:
        """Whether anything may be stored, now or by an earlier run."""
        return self.in_use or _is_there(os.path.join(self.data_dir, "state.sqlite3"))

    # ---- work in the thread

    async def run(
        self, work: Callable[Concatenate[State, _P], _T], *args: _P.args, **named: _P.kwargs
    ) -> _T:
        """Call `work(state, ...)` in the thread and return what it returns. Cancelling does not stop the work."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_T] = loop.create_future()

        def job() -> None:
            try:
                result = work(self._opened(), *args, **named)
            except BaseException as error:
                loop.call_soon_threadsafe(_fail, done, _translated(error))
            else:
                loop.call_soon_threadsafe(_settle, done, result)

        self._begin(job)
        return await done

    def _begin(self, job: Callable[[], None]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="store", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        if self._state is not None:
            self._state.close()

    def _opened(self) -> State:
        if self._state is None:
            from airelays.state.database import State

            self._state = State(self.data_dir, recover=True)
            self._recount(self._state)
        return self._state

    def warm(self) -> None:
        """At start: remove what a crash left behind. Without uploads nothing is opened, SQLite not even loaded."""
        staging, uploads = (os.path.join(self.data_dir, name) for name in ("tmp", "uploads"))
        if any(map(_has_entries, (staging, uploads))):
            self._begin(lambda: _ignore(self._opened))

    def close(self) -> None:
        """Finish what is queued and close the database. Blocks for as long as that takes."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(5.0)
            self._thread = None

    async def facts(self) -> dict[str, Any]:
        """Return what is counted for the relay's status; nothing is opened where nothing was ever stored."""
        names = ("file_count", "total_bytes", "conversation_count", "response_count")
        if not self.may_hold:
            return dict.fromkeys(names, 0)
        from airelays.state import conversations, files

        def count(state: State) -> tuple[int, int, int, int]:
            size, number = files.totals(state)
            chats, _, responses = conversations.totals(state)
            return number, size, chats, responses

        try:
            return dict(zip(names, await self.run(count), strict=True))
        except RelayError as error:
            return {**dict.fromkeys(names), "problem": error.message}

    # ---- uploads

    async def begin_upload(self, at_least: int) -> Reservation:
        """Return a reservation for a file of `at_least` bytes. Raises ClientFault 413, RelayError 507."""
        await self.run(self._refresh, at_least)
        with self._lock:
            return self.quota.begin(at_least)

    def grow(self, reservation: Reservation, count: int) -> None:
        """Reserve `count` more bytes. Raises ClientFault 413."""
        with self._lock:
            reservation.grow(count)

    def release(self, reservation: Reservation) -> None:
        """Give back what was reserved and did not become a file."""
        with self._lock:
            reservation.release()

    async def add_file(self, row: FileRow, spool: Spool, reservation: Reservation) -> None:
        """Store an upload: its bytes, its row, its share of the quota."""
        from airelays.state import files

        def add(state: State) -> None:
            files.add(state, row, spool)
            self._recount(state, reservation)

        await self.run(add)

    async def remove_file(self, file_id: str, viewer: str) -> bool:
        """Delete a file; False when there is none that `viewer` may see."""
        from airelays.state import files

        def remove(state: State) -> bool:
            found = files.remove(state, file_id, time.time(), viewer)
            self._recount(state)
            return found

        return await self.run(remove)

    def _refresh(self, state: State, at_least: int) -> None:
        """Before an upload: let go of what has expired, see what other processes did, and whether there is room."""
        import errno

        from airelays.state import files
        from airelays.state.database import RESERVE_BYTES
        from airelays.state.spool import free_bytes

        changed = files.expire(state, time.time())
        version = state.data_version()
        if changed or version != state.seen_version:
            state.seen_version = version
            self._recount(state)
        if at_least and free_bytes(state.staging) < at_least + RESERVE_BYTES:
            raise OSError(errno.ENOSPC, "no space")

    def _recount(self, state: State, settled: Reservation | None = None) -> None:
        from airelays.state import files

        stored, count = files.totals(state)
        with self._lock:
            self.quota.stored, self.quota.files = stored, count
            if settled is not None:
                settled.release()


def _has_entries(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


def _is_there(path: str) -> bool:
    return os.path.lexists(path)


def _ignore(work: Callable[[], object]) -> None:
    """The first request that needs the store is told what is wrong with it."""
    with contextlib.suppress(Exception):
        work()


def _settle(done: asyncio.Future[Any], result: Any) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[Any], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)


def _translated(error: BaseException) -> BaseException:
    if isinstance(error, RelayError):
        return error
    import sqlite3

    if isinstance(error, OSError | sqlite3.Error):
        from airelays.state.database import storage_fault

        fault = storage_fault(error)
        fault.__cause__ = error
        return fault
    return error
