"""The listeners of one relay: `server.host` and those of `[[listen]]`, bound. Layer: app."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

from airelays.credentials.keys import read_keys
from airelays.errors import ConfigError
from airelays.guard.keys import Key, KeyTable
from airelays.hints import hint
from airelays.model import Door
from airelays.net.listener import bind, claim
from airelays.settings.values import ListenSettings, Settings


def open_doors(
    settings: Settings, passed: Sequence[socket.socket] = ()
) -> dict[socket.socket, Door]:
    """Return every socket that is listened on, that of `server.host` first.

    Sockets of `passed` are used where the settings name their address; one that they do not name is refused, since
    it would let in others than the settings say. Raises ConfigError, and opens nothing.
    """
    left = list(passed)
    doors: dict[socket.socket, Door] = {}
    listeners = (ListenSettings(settings.host, settings.port), *settings.listeners)
    try:
        keys = {one: bound_key(one, settings) for one in listeners if one.key}
        # All of them before anything is bound: what is wrong with the others is then the answer.
        claimed = [claim(left, one.host, one.port) for one in listeners]
        _refuse_others(left, listeners)
        for one, sockets in zip(listeners, claimed, strict=True):
            key = keys.get(one)
            for listening in sockets or bind(one.host, one.port):
                doors[listening] = _door(
                    listening, "" if key is None else key.id, "" if key is None else key.name
                )
    except BaseException:
        for listening in (*doors, *passed):
            listening.close()
        raise
    return doors


def _refuse_others(left: Sequence[socket.socket], listeners: Sequence[ListenSettings]) -> None:
    if not left:
        return
    found = ", ".join(_place(*one.getsockname()[:2]) for one in left)
    wanted = ", ".join(_place(one.host, one.port) for one in listeners)
    raise ConfigError(
        f"systemd listens on {found} for the relay, but the relay is configured to listen on {wanted}; change "
        "ListenStream= in airelays.socket (systemctl edit airelays.socket), or server.host and server.port"
    )


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _door(listening: socket.socket, key: str, name: str) -> Door:
    host, port = listening.getsockname()[:2]
    return Door(host, port, key, name)


def bound_key(one: ListenSettings, settings: Settings) -> Key:
    """Return the key that a listener is bound to. Raises ConfigError for one that is not fit for that."""
    where = f"the listener on {one.host} port {one.port}"
    key, name = KeyTable(read_keys(settings.data_dir)).named(one.key), one.key[:60]
    if key is None:
        raise ConfigError(
            f"{where} uses the key {name}, which does not exist; create it: "
            + hint(f"key create {name} --requests-per-minute 60")
        )
    state = key.state(time.time())
    if state != "live":
        raise ConfigError(f"{where} uses the key {key.name}, which is {state}; create a new one")
    if key.routes != "text" or not (key.models or key.requests_per_minute):
        raise ConfigError(
            f"{where} is open to every program on this machine, so its key needs --routes text and --models or "
            f"--requests-per-minute; the key {key.name} has --routes {key.routes}"
            f"{'' if key.models or key.requests_per_minute else ' and neither of the other two'}"
        )
    return key
