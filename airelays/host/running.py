"""`running.json`: the file in the data folder by which commands find the running relay. Layer: app.

Written (0600) while `relay.lock` is held, removed at the end. A relay that is killed leaves it behind. That misleads
no command, because the reader requires proof that the relay knows the secret (`guard/control.py`).
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from airelays.credentials.secretfile import read_secret, write_private
from airelays.errors import ConfigError
from airelays.settings.record import Record

NAME = "running.json"
FORMAT = 1
MAX_BYTES = 64 * 1024


class Running(Record, hidden=("secret",)):
    """One serving process. `base_urls` are for clients, the first is the one that hints name."""

    pid: int
    started: str
    version: str
    base_urls: tuple[str, ...]
    form: str
    config_path: str
    upstream: str
    control_port: int
    secret: str


def path_of(data_dir: str) -> str:
    """Return where the relay of `data_dir` leaves its file."""
    return os.path.join(data_dir, NAME)


def write_running(data_dir: str, running: Running) -> None:
    """Leave `running` in `data_dir`. Raises ConfigError when it cannot be written."""
    told = {"format": FORMAT, **running.as_dict()}
    write_private(path_of(data_dir), json.dumps(told, indent=1).encode() + b"\n")


def remove_running(data_dir: str) -> None:
    """Remove the file, if it exists."""
    with contextlib.suppress(OSError):
        os.unlink(path_of(data_dir))


def read_running(data_dir: str) -> Running | None:
    """Return what the last relay of `data_dir` has left, None when nothing.

    Raises ConfigError for a file that cannot be read or trusted, or that this version does not know.
    """
    path = path_of(data_dir)
    data = read_secret(path, warn=lambda _: None, max_bytes=MAX_BYTES, refuse_open=True)
    if data is None:
        return None
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConfigError(f"{path} was not written by a relay; restart the relay to replace it")
    if found.get("format") != FORMAT:
        raise ConfigError(
            f"{path} was written by another version of AIRelays (format {str(found.get('format'))[:20]!r}; this "
            f"version supports {FORMAT}); use that version, or restart the relay with this one"
        )
    return _parsed(path, found)


def began_before(data_dir: str) -> float | None:
    """Return when the last relay of `data_dir` began, a Unix time, if it was killed; None if it ended normally."""
    try:
        left = read_running(data_dir)
        return None if left is None else float(left.started)
    except (ConfigError, ValueError):
        return None


def _parsed(path: str, found: dict[str, Any]) -> Running:
    kinds = {"int": int, "str": str, "tuple[str, ...]": list}
    values: dict[str, Any] = {}
    for name, kind in Running.fields.items():
        value = found.get(name)
        if type(value) is not kinds[kind]:
            raise ConfigError(f"{path} has no valid {name}; restart the relay to write it again")
        values[name] = tuple(map(str, value)) if isinstance(value, list) else value
    if not 0 < values["control_port"] < 65536 or not values["secret"] or not values["base_urls"]:
        raise ConfigError(f"{path} does not say how to reach the relay; restart the relay")
    return Running(**values)
