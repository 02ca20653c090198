"""What `run` takes its relay from: a lease in the relay that runs, or a relay inside this process. Layer: commands."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Coroutine
from typing import Any

from airelays.errors import ConfigError, RelayError
from airelays.guard.keys import Key
from airelays.host.contact import Contact, find
from airelays.terminal.console import Console
from airelays.terminal.context import Context

OPEN_S = 15.0
RETRY_S = 0.5


MEMORY = "/dev/shm"
PREFIX = "airelays-run-"


def _own_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a folder for one run, in memory where the system has a place for it; remove those of killed runs."""
    usable = os.path.isdir(MEMORY) and os.access(MEMORY, os.W_OK | os.X_OK)
    place = MEMORY if usable else tempfile.gettempdir()
    if hasattr(os, "geteuid"):
        _remove_left(place)
    return tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", dir=place)


def _remove_left(place: str) -> None:
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            pid = entry.name.removeprefix(PREFIX).partition("-")[0]
            if not entry.name.startswith(PREFIX) or not pid.isdigit():
                continue
            about = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and not _runs(int(pid)):
                shutil.rmtree(entry.path, ignore_errors=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


class _Loop:
    """An event loop in its own thread; `done` is set when the work there has ended."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.problem: Exception | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` there; return when it has set `ready`. Raises what it failed with before."""
        self._thread = threading.Thread(target=self._run, args=(work,), name="run", daemon=True)
        self._thread.start()
        if not self.ready.wait(OPEN_S):
            raise ConfigError(f"the relay was not ready within {OPEN_S:g} s")
        if self.problem is not None:
            raise self.problem

    def stop(self) -> None:
        """Cancel the work and wait for its end."""
        if self.loop is not None and self.task is not None:
            with contextlib.suppress(RuntimeError):  # it has ended on its own
                self.loop.call_soon_threadsafe(self.task.cancel)
        if self._thread is not None:
            self._thread.join(OPEN_S)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        async def main() -> None:
            self.loop, self.task = asyncio.get_running_loop(), asyncio.current_task()
            await work

        try:
            asyncio.run(main())
        except asyncio.CancelledError:
            pass
        except (RelayError, ConfigError, OSError) as error:
            self.problem = error
        finally:
            self.ready.set()


class Lease:
    """A key in the relay that runs, for as long as a connection to it is open; registered again after a restart."""

    def __init__(
        self, data_dir: str, contact: Contact, body: bytes, key_id: str, console: Console
    ) -> None:
        self._data_dir = data_dir
        self._contact = contact
        self._body = body
        self._key_id = key_id
        self._console = console
        self._loop = _Loop()

    def open(self) -> str:
        """Register the key; return the base URL for clients."""
        self._loop.start(self._hold())
        return self._contact.base_url

    def close(self) -> None:
        """End the key."""
        self._loop.stop()

    def facts(self) -> dict[str, Any] | None:
        """Return what was used, None when the relay does not say."""
        try:
            return self._contact.ask("GET", f"/leased?id={self._key_id}")
        except ConfigError as error:
            self._console.note(f"the usage of the command is not known: {error}")
            return None

    async def _hold(self) -> None:
        while True:
            await self._hold_once()
            while True:
                await asyncio.sleep(RETRY_S)
                try:
                    found = await asyncio.to_thread(find, self._data_dir)
                except ConfigError:
                    continue
                if found is not None:
                    self._contact = found
                    break

    async def _hold_once(self) -> None:
        """Return when the connection has ended. Raises ConfigError when the first try is refused."""
        url, fields = self._contact.lease_at()
        from airelays.net.client import Client

        client = Client([url], head_s=OPEN_S, connect_s=OPEN_S)
        kind = (b"content-type", b"application/json")
        try:
            response = await client.request(
                method="POST", url=url, fields=(*fields, kind), body=self._body
            )
            if response.status != 200:
                raw = await response.read(65_536)
                raise ConfigError(f"the relay refused the lease: {raw[:300].decode('latin-1')}")
            self.ready()
            await response.pump(lambda data: None)
        except RelayError as error:
            if not self._loop.ready.is_set():
                raise ConfigError(f"the relay did not answer: {error.local}") from error
        finally:
            await client.close()

    def ready(self) -> None:
        """The key is known now."""
        self._loop.ready.set()


class Inside:
    """A relay in this process, on a free port of 127.0.0.1, for one key.

    Files, conversations and answers end with it: they are in memory where the system has a folder for that, else in a
    temporary one. Of the data folder it uses the sign-in and the log, and a file of the book that is its own.
    """

    def __init__(self, context: Context, key: Key, console: Console) -> None:
        settings = context.settings
        self._context = context
        self._settings = settings.replace(
            host="127.0.0.1", port=0, listeners=(), require_bearer_auth=True
        )
        self._key = key
        self._console = console
        self._loop = _Loop()
        self._base_url = ""
        self._folder = _own_folder()
        self._facts: dict[str, Any] | None = None

    def open(self) -> str:
        """Start it; return its base URL."""
        from airelays.disk.folder import make_private_dir

        try:
            with contextlib.suppress(ConfigError, OSError):  # then the book says so, once
                make_private_dir(self._settings.data_dir)
            self._loop.start(self._serve())
        except BaseException:
            self._folder.cleanup()
            raise
        return self._base_url

    def facts(self) -> dict[str, Any] | None:
        """Return what was used; running requests are ended first."""
        self._loop.stop()
        return self._facts

    def close(self) -> None:
        """End it."""
        self._loop.stop()
        self._folder.cleanup()

    async def _serve(self) -> None:
        from airelays.app.doors import open_doors
        from airelays.app.relay import Relay
        from airelays.host.process import listen, shutting_down
        from airelays.settings.values import client_base_url

        relay = Relay(
            self._settings,
            self._context.token,
            complain=self._console.note,
            own_dir=self._folder.name,
        )
        listener = listen(relay, open_doors(self._settings))
        relay.start()
        relay.desk.keys.lease(self._key)
        listener.start()
        self._base_url = client_base_url("127.0.0.1", relay.desk.port)
        self._loop.ready.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            relay.begin_to_stop(shutting_down())
            await listener.stop_accepting()
            await listener.drain(0.0, shutting_down())
            self._facts = relay.desk.keys.leases[self._key.id].sums.facts()
            await relay.close()
            await asyncio.to_thread(relay.notes.close)
