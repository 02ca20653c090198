"""The serving process: bind, say that it is ready, run until told to stop, drain. Layer: app."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from airelays.app.control import MAX_CONNECTIONS as CONTROL_CONNECTIONS
from airelays.app.doors import open_doors
from airelays.app.happenings import Happenings
from airelays.app.pages import keep_code
from airelays.app.relay import Relay
from airelays.credentials.token import TokenSource
from airelays.errors import ConfigError, RelayError
from airelays.host.control import ControlListener
from airelays.host.looplag import LagWatch
from airelays.host.onefile import clean_up_after, follow_loader
from airelays.host.systemd import passed_sockets, stopping, tell_manager
from airelays.model import Door
from airelays.net.listener import Listener
from airelays.settings.values import Settings

SETTLE_S = 0.02
# The most that a stop takes after its announcement and the drain: final answers, upstreams, store and log.
CLOSE_S = 15.0
WORKERS = 4
# Neither a request nor a client that went leaves a cycle of ours (test_cycles.py): Python's 700 would have the
# collector look through the live ones a hundred times a second for nothing. asyncio's transports do leave some, and
# what outlives the first look at it waits for the last: 5_000, 20, 50 had the relay grow by a fifth in an hour.
GC_THRESHOLDS = (5_000, 5, 5)


def run(
    settings: Settings,
    token: TokenSource,
    *,
    on_ready: Callable[[list[Door]], None],
    config_path: str = "",
    read_again: Callable[[], Settings] | None = None,
    check: Callable[[Iterable[Door]], None] = lambda doors: None,
    happenings: Happenings,
) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code.

    `on_ready` is given the listeners. `check` may refuse them before anything is accepted. `read_again` reads the
    settings again, for SIGHUP and `airelays reload`; `config_path` is the file that they come from. Everything that
    happens is reported to the watchers of `happenings`.
    Raises ConfigError when one of the addresses cannot be listened on, or systemd has passed other sockets.
    """
    doors = open_doors(settings, passed_sockets(os.environ, os.getpid()))
    try:
        check(doors.values())
    except BaseException:
        for listening in doors:
            listening.close()
        raise
    _raise_descriptor_limit(settings.max_connections + CONTROL_CONNECTIONS)
    return asyncio.run(
        _serve(settings, token, doors, on_ready, config_path, read_again, happenings)
    )


async def _serve(
    settings: Settings,
    token: TokenSource,
    doors: dict[socket.socket, Door],
    on_ready: Callable[[list[Door]], None],
    config_path: str,
    read_again: Callable[[], Settings] | None,
    happenings: Happenings,
) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    force = asyncio.Event()

    def stop_or_force() -> None:
        (force if stop.is_set() else stop).set()

    relay = Relay(settings, token, complain=lambda text: None, happenings=happenings)
    _catch_signals(loop, stop_or_force, lambda: _reload(relay, read_again))
    listener = listen(relay, doors)
    relay.start()
    listener.start()
    control = ControlListener.open(
        relay, list(doors), config_path, on_stop=stop_or_force, read_again=read_again
    )
    on_ready(list(doors.values()))
    tell_manager("READY=1")
    await _settle(relay)
    loader_pid = follow_loader()
    lag = LagWatch(relay.complain)
    await stop.wait()
    lag.close()
    await _end(relay, listener, control, force)
    clean_up_after(loader_pid)
    return 0


async def _end(
    relay: Relay, listener: Listener, control: ControlListener | None, force: asyncio.Event
) -> None:
    """Stop accepting clients, let running answers end, close what is open; commands can reach the relay until the
    end."""
    settings = relay.desk.settings
    tell_manager(stopping(settings.announce_seconds + settings.drain_seconds + CLOSE_S))
    relay.desk.leaving = True
    relay.teller.stopping(relay.notes.open_requests)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(settings.announce_seconds):
            await force.wait()
    relay.begin_to_stop(shutting_down())
    await listener.stop_accepting()
    await _drain(listener, force, settings.drain_seconds)
    await relay.close()
    if control is not None:
        await control.close(shutting_down())
    await asyncio.to_thread(relay.notes.close)


async def _settle(relay: Relay) -> None:
    """Do what can wait until the first clients have been served. What fails is done by the first request that needs
    it."""
    # Each thread has its own heap, and asyncio's default would be up to 32 threads on a large machine.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(WORKERS))
    # What exists now stays until the end, so the collector need not check it again.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()
    await asyncio.sleep(SETTLE_S)
    try:
        relay.desk.upstreams.warm()
        relay.desk.store.warm()
        await asyncio.to_thread(keep_code)
    except OSError as error:
        relay.complain(f"the relay started, but could not prepare everything: {error.strerror}")


def listen(relay: Relay, doors: dict[socket.socket, Door]) -> Listener:
    """Return the relay's listener on the sockets of `doors`, the first one first; it does not accept yet."""
    settings = relay.desk.settings
    relay.desk.doors = list(doors.values())
    relay.desk.port = relay.desk.doors[0].port
    relay.desk.listener = Listener(
        list(doors),
        relay.make_session,
        max_connections=settings.max_connections,
        max_per_address=settings.max_connections_per_ip,
        write_stall_s=settings.write_stall_seconds,
        complain=relay.complain,
        on_bug=relay.note_bug,
        doors=doors,
    )
    return relay.desk.listener


def shutting_down() -> RelayError:
    """Return the answer to a request that can no longer be completed."""
    return RelayError(
        "the relay is shutting down; send the request again once it is running",
        status=503,
        code="relay_shutting_down",
        retry_after_s=1.0,
    )


async def _drain(listener: Listener, force: asyncio.Event, seconds: float) -> None:
    """Let running requests finish for `seconds`, or until a second signal; then end each with a typed error."""
    last_word = shutting_down()
    draining = asyncio.create_task(listener.drain(seconds, last_word), name="drain")
    forcing = asyncio.create_task(force.wait(), name="force")
    await asyncio.wait([draining, forcing], return_when=asyncio.FIRST_COMPLETED)
    if not draining.done():
        draining.cancel()
        await listener.drain(0.0, last_word)
    forcing.cancel()


def _reload(relay: Relay, read_again: Callable[[], Settings] | None) -> None:
    """Read the settings again; a file that cannot be used changes nothing."""
    if read_again is not None:
        with contextlib.suppress(ConfigError):
            relay.reload_from(read_again)


def _catch_signals(
    loop: asyncio.AbstractEventLoop,
    on_stop: Callable[[], None],
    on_reload: Callable[[], None],
) -> None:
    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, on_reload)
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, on_stop)
        except NotImplementedError:  # Windows: asyncio has no signal handlers there
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(on_stop))


def _raise_descriptor_limit(connections: int) -> None:
    """Request two descriptors per connection and a reserve, as far as the system allows."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + 128
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
