"""Opens the control listener of a serving process, and leaves `running.json` for the commands. Layer: app."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from airelays import __version__
from airelays.app.control import MAX_CONNECTIONS, About, Control
from airelays.app.relay import Relay
from airelays.errors import ConfigError, RelayError
from airelays.guard.control import SECRET_BYTES
from airelays.host.form import program_form
from airelays.host.running import Running, began_before, remove_running, write_running
from airelays.net.listener import Listener, bind
from airelays.settings.values import Settings, client_base_url

HOST = "127.0.0.1"


class ControlListener:
    """The open control listener of one relay; it accepts from `open` to `close`."""

    def __init__(self, listener: Listener, data_dir: str) -> None:
        self._listener = listener
        self._data_dir = data_dir

    @classmethod
    def open(
        cls,
        relay: Relay,
        sockets: list[socket.socket],
        config_path: str,
        *,
        on_stop: Callable[[], None],
        read_again: Callable[[], Settings] | None,
    ) -> ControlListener | None:
        """Accept on a free port and write the file; None, with a complaint, where one of both is impossible."""
        settings = relay.desk.settings
        secret = os.urandom(SECRET_BYTES).hex()
        started = f"{relay.desk.started_wall_s:.6f}"
        about = About(config_path, program_form(), started, os.getpid())
        control = Control(relay, about, secret, on_stop=on_stop, read_again=read_again)
        opened: list[socket.socket] = []
        try:
            opened = bind(HOST, 0)
            control.port = opened[0].getsockname()[1]
            urls = [client_base_url(settings.host, s.getsockname()[1]) for s in sockets]
            running = Running(
                pid=about.pid,
                started=started,
                version=__version__,
                base_urls=tuple(dict.fromkeys(urls)),
                form=about.form,
                config_path=config_path,
                upstream=settings.upstream_kind,
                control_port=control.port,
                secret=secret,
            )
            killed_s = began_before(settings.data_dir)
            write_running(settings.data_dir, running)
        except ConfigError as error:
            for one in opened:
                one.close()
            relay.complain(f"commands cannot find this relay unless you add --url: {error}")
            return None
        if killed_s is not None:
            relay.accounts.count_interrupted(killed_s)
        return cls(_accept(relay, control, opened), settings.data_dir)

    async def close(self, last_word: RelayError) -> None:
        """Take the file away and end what still runs."""
        remove_running(self._data_dir)
        await self._listener.stop_accepting()
        await self._listener.drain(0.0, last_word)


def _accept(relay: Relay, control: Control, opened: list[socket.socket]) -> Listener:
    listener = Listener(
        opened,
        control.make_session,
        max_connections=MAX_CONNECTIONS,
        max_per_address=MAX_CONNECTIONS,
        write_stall_s=relay.desk.settings.write_stall_seconds,
        complain=relay.complain,
        on_bug=relay.note_bug,
    )
    listener.start()
    return listener
