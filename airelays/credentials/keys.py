"""`keys.json`: the named keys on disk, read by a running relay and changed by the `key` commands.

One `stat` for each request that presents a key; the file is read again when it changed. It holds digests, never a
key. A file that others can read, or of a later version, lets no key in; `problem` says why. Layer: I/O.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

from airelays.credentials.lock import FileLock, LockUnsupported
from airelays.credentials.secretfile import read_secret, write_private
from airelays.credentials.token import TICK_NS
from airelays.disk.folder import make_private_dir
from airelays.errors import ConfigError
from airelays.guard.keys import (
    MAX_CONCURRENT,
    MAX_PER_MINUTE,
    MAX_TOKENS,
    ROUTES,
    Key,
    KeyTable,
    Secret,
    digest_of,
    is_id,
    is_name,
    make_key,
)
from airelays.hints import hint

FILE = "keys.json"
FORMAT = 1
MAX_KEYS = 10_000
MAX_BYTES = 16 * 1024 * 1024
LOCK_WAIT_S = 5.0
# Of a key that the relay makes for a listener of its own.
OWN_PER_MINUTE = 60
# A revoked or expired key is listed for so long; its id is random, so nothing later gets it.
FORGET_S = 90 * 86_400.0
_POSIX = os.name == "posix"
_FIELDS = {
    "id", "name", "secrets", "created_at", "expires_at", "revoked_at", "routes", "models", "upstreams",
    "requests_per_minute", "concurrent", "tokens_per_day", "no_tools",
}  # fmt: skip
_EMPTY = KeyTable()


class KeyFile:
    """The keys of a data folder, now. `problem` says why none is let in although the file is there."""

    __slots__ = ("_data", "_seen", "_table", "path", "problem")

    def __init__(self, data_dir: str) -> None:
        self.path = os.path.join(data_dir, FILE)
        self.problem = ""
        self._table = _EMPTY
        self._data: bytes | None = None
        self._seen: tuple[int, ...] = ()

    def current(self) -> KeyTable:
        """Return the keys; the same object until the file changes. One `stat`; never raises."""
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            self._forget("" if missing else f"{self.path} cannot be read: {error.strerror}")
            return self._table
        seen = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_mode)
        if seen != self._seen:
            self._read(seen)
        return self._table

    def _read(self, seen: tuple[int, ...]) -> None:
        try:
            data = _read_file(self.path)
            if data is None or data != self._data:
                self._table = _EMPTY if data is None else KeyTable(parse(data, self.path))
                self._data = data
        except ConfigError as error:
            self._forget(str(error))
            self._seen = seen
            return
        self.problem = ""
        self._seen = seen if time.time_ns() - seen[0] > TICK_NS else ()

    def _forget(self, problem: str) -> None:
        if len(self._table):
            self._table = _EMPTY
        self._data, self._seen, self.problem = None, (), problem


def read_keys(data_dir: str) -> tuple[Key, ...]:
    """Return the keys of a data folder. Raises ConfigError."""
    path = os.path.join(data_dir, FILE)
    data = _read_file(path)
    return () if data is None else parse(data, path)


def change_keys(
    data_dir: str, change: Callable[[tuple[Key, ...]], tuple[Key, ...]], note: Callable[[str], None]
) -> tuple[Key, ...]:
    """Replace the keys by what `change` makes of them, under a lock between processes; return the new ones.

    Whatever `change` raises leaves the file as it was. Raises ConfigError.
    """
    if not os.path.isdir(data_dir):
        make_private_dir(data_dir)
    lock = FileLock(os.path.join(data_dir, "keys.lock"))
    try:
        if not lock.acquire(LOCK_WAIT_S):
            raise ConfigError(
                f"{os.path.join(data_dir, FILE)} is being changed by another command; try again"
            )
    except LockUnsupported:
        note(f"{lock.path}: this file system has no locks; change keys from one place at a time")
    try:
        keys = _without_old(change(read_keys(data_dir)), time.time())
        if len(keys) > MAX_KEYS:
            raise ConfigError(
                f"there are {len(keys) - 1:,} keys, which is the limit; revoke some, or use another data folder"
            )
        write_private(os.path.join(data_dir, FILE), encoded(keys), keep_owner=True)
    finally:
        lock.release()
    return keys


def ensure_key(data_dir: str, name: str, note: Callable[[str], None]) -> None:
    """Make a key for a listener that is bound to it, unless there is one of this name, also one that has ended.

    Nobody is told its secret: the listener asks for none. Raises ConfigError.
    """

    def add(keys: tuple[Key, ...]) -> tuple[Key, ...]:
        if any(one.name == name for one in keys):
            return keys
        secret = Secret(digest_of(make_key(os.urandom(32)).encode()))
        made = Key(
            "key_" + os.urandom(8).hex(),
            name,
            (secret,),
            round(time.time(), 3),
            requests_per_minute=OWN_PER_MINUTE,
        )
        return (*keys, made)

    if not any(one.name == name for one in read_keys(data_dir)):
        change_keys(data_dir, add, note)
        note(f"created the key {name} for the listener; `{hint('key list')}` shows what it can do")


def _without_old(keys: tuple[Key, ...], wall_s: float) -> tuple[Key, ...]:
    """Forget who ended long ago, and digests that opened a key before it was rotated."""
    kept = [
        key
        for key in keys
        if wall_s - min(key.revoked_s or wall_s, key.expires_s or wall_s) < FORGET_S
    ]
    return tuple(
        key._replace(
            secrets=tuple(
                s for s in key.secrets if s.until_s is None or wall_s - s.until_s < FORGET_S
            )
        )
        for key in kept
    )


def _read_file(path: str) -> bytes | None:
    """Return the bytes of the file, None without one. Raises ConfigError; others must not be able to read it."""
    if _POSIX:
        try:
            mode = os.stat(path, follow_symlinks=False).st_mode & 0o777
        except OSError:
            mode = 0
        if mode & 0o077:
            raise ConfigError(
                f"{path} can be read or changed by other users (mode {mode:04o}), so no named key is "
                "accepted; run: chmod 600 {path}"
            )
    return read_secret(path, warn=lambda _: None, max_bytes=MAX_BYTES)


# ---- the file's text


def encoded(keys: tuple[Key, ...]) -> bytes:
    """Return the text of a file with these keys."""
    made = [
        {
            "id": key.id,
            "name": key.name,
            "secrets": [{"sha256": s.digest.hex(), "until": s.until_s} for s in key.secrets],
            "created_at": key.created_s,
            "expires_at": key.expires_s,
            "revoked_at": key.revoked_s,
            "routes": key.routes,
            "models": key.models,
            "upstreams": key.upstreams,
            "requests_per_minute": key.requests_per_minute,
            "concurrent": key.concurrent,
            "tokens_per_day": key.tokens_per_day,
            "no_tools": key.no_tools,
        }
        for key in keys
    ]
    lines = ",\n".join(json.dumps(one) for one in made)
    return f'{{"format": {FORMAT}, "keys": [\n{lines}\n]}}\n'.encode()


def parse(data: bytes, path: str) -> tuple[Key, ...]:
    """Return the keys in the text of a file. Raises ConfigError.

    A field that is unknown is refused with the whole file: it may be a limit, and a limit must not be overlooked.
    """
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        raise _damaged(path, "it is not JSON") from None
    found = tree.get("format") if isinstance(tree, dict) else None
    if type(found) is int and found > FORMAT:
        raise ConfigError(
            f"{path} was written by a newer AIRelays (format {found}, this version supports {FORMAT}); "
            "use that one, or another --data-dir"
        )
    entries = tree.get("keys") if isinstance(tree, dict) else None
    if found != FORMAT or not isinstance(entries, list):
        raise _damaged(path, f'it has no "format": {FORMAT} with a list of keys')
    keys = tuple(_key(entry, path) for entry in entries)
    if len({key.id for key in keys}) != len(keys):
        raise _damaged(path, "two keys have the same id")
    return keys


def _key(entry: object, path: str) -> Key:
    if not isinstance(entry, dict) or not entry.keys() <= _FIELDS:
        raise _damaged(path, "a key in it has an unknown field")
    try:
        key = Key(
            id=_checked(entry["id"], is_id),
            name=_checked(entry["name"], is_name),
            secrets=tuple(_secret(one) for one in entry["secrets"]),
            created_s=_number(entry["created_at"]),
            expires_s=_time(entry["expires_at"]),
            revoked_s=_time(entry["revoked_at"]),
            routes=_checked(entry["routes"], ROUTES.__contains__),
            models=_texts(entry["models"]),
            upstreams=_texts(entry["upstreams"]),
            requests_per_minute=_count(entry["requests_per_minute"], MAX_PER_MINUTE),
            concurrent=_count(entry["concurrent"], MAX_CONCURRENT),
            tokens_per_day=_count(entry["tokens_per_day"], MAX_TOKENS),
            no_tools=entry["no_tools"] is not False,
        )
    except (KeyError, TypeError, ValueError):
        raise _damaged(path, "a key in it is incomplete or has a wrong value") from None
    return key


def _secret(entry: Any) -> Secret:
    digest = bytes.fromhex(entry["sha256"])
    if len(digest) != 32:
        raise ValueError
    return Secret(digest, _time(entry["until"]))


def _checked(value: Any, is_good: Callable[[str], bool]) -> str:
    if not isinstance(value, str) or not is_good(value):
        raise ValueError
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(_checked(one, bool) for one in value)


def _time(value: Any) -> float | None:
    return None if value is None else _number(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return value


def _count(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError
    return value


def _damaged(path: str, why: str) -> ConfigError:
    return ConfigError(
        f"{path} cannot be used: {why}; move it away and create new keys with `{hint('key create')}`, or restore it"
    )
