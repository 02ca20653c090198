"""How `airelays unblock` reaches a running relay: a file that only the owner can write, and an answer.

No door of the relay is used, so it works for an operator whose own address is the blocked one. Layer: I/O.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import NamedTuple

from airelays.credentials.secretfile import read_secret, write_private
from airelays.errors import ConfigError

MAX_BYTES = 4096
_WISH = "unblock.json"
_ANSWER = "unblocked.json"


class Wish(NamedTuple):
    """Whose block is to be lifted; `client` "" means everybody's."""

    id: str
    client: str


def hears_unblock(pid: int) -> bytes:
    """Return what a relay notes in its lock file: the process `pid` may be sent SIGUSR1, which ends most others."""
    return b"hears airelays unblock: %d\n" % pid


def ask(data_dir: str, client: str) -> str:
    """Leave a wish for the relay and return its id. Raises ConfigError."""
    wish = Wish(os.urandom(8).hex(), client)
    _remove(os.path.join(data_dir, _ANSWER))
    told = json.dumps(wish._asdict()).encode() + b"\n"
    write_private(os.path.join(data_dir, _WISH), told, keep_owner=True)
    return wish.id


def take(data_dir: str) -> Wish | None:
    """Return the wish that waits, once; None when there is none. Raises ConfigError for one of a stranger."""
    path = os.path.join(data_dir, _WISH)
    found = _read(path)
    if found is None:
        return None
    _remove(path)
    return Wish(str(found.get("id", ""))[:64], str(found.get("client", ""))[:64])


def answer(data_dir: str, wish: Wish, lifted: int) -> None:
    """Tell the command how many blocks were lifted. Raises ConfigError."""
    told = {"id": wish.id, "lifted": lifted}
    write_private(os.path.join(data_dir, _ANSWER), json.dumps(told).encode() + b"\n")


def read_answer(data_dir: str, wish_id: str) -> int | None:
    """Return how many blocks were lifted, None while the relay has not said so. Raises ConfigError."""
    path = os.path.join(data_dir, _ANSWER)
    found = _read(path)
    lifted = None if found is None or found.get("id") != wish_id else found.get("lifted")
    if not isinstance(lifted, int):
        return None
    _remove(path)
    return lifted


def withdraw(data_dir: str) -> None:
    """Take the wish back."""
    _remove(os.path.join(data_dir, _WISH))


def _read(path: str) -> dict[str, object] | None:
    data = read_secret(path, warn=lambda _: None, max_bytes=MAX_BYTES)
    if data is None:
        return None
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConfigError(f"{path} was not written by `airelays unblock`; remove it")
    return found


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
