"""Where the ChatGPT sign-in is kept: auth.json in the data folder, or the system's keyring.

A write that a crash interrupted after its bytes were on disk is finished by `recover`: the refresh token in
the file itself is used up by then. Blocks; every caller that writes holds `lock()`. Layer: I/O.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator

from airelays.credentials.as_owner import denied
from airelays.credentials.keyring import Keyring, KeyringFailure, find_keyring
from airelays.credentials.lock import FileLock, LockUnsupported
from airelays.credentials.secretfile import read_secret, write_private
from airelays.disk.folder import make_private_dir, stage
from airelays.errors import ConfigError
from airelays.upstream.chatgpt.signin import SignIn

SERVICE = "AIRelays Auth"
# Longer than a refresh may take, so that waiting for somebody else's usually ends with their token.
LOCK_WAIT_S = 45.0
_STAGED = re.compile(r"\.auth\.json\.[0-9a-f]{16}\.staged")

Stamp = tuple[int, ...]


class SignInStore:
    """The one sign-in of a data folder. `mode` is auth.storage: file, keyring or auto."""

    def __init__(
        self, data_dir: str, mode: str = "file", *, warn: Callable[[str], None] | None = None
    ) -> None:
        self.path = os.path.join(data_dir, "auth.json")
        self.mode = mode
        self._data_dir = data_dir
        self._warn = warn or (lambda _: None)
        self._keyring: Keyring | None = None
        if mode != "file":
            self._keyring = find_keyring(SERVICE, _user(data_dir), self.path + ".dpapi")
            if self._keyring is None and mode == "keyring":
                raise ConfigError(
                    'auth.storage is "keyring", but this system has no keyring tool (secret-tool on Linux);'
                    ' install it or set auth.storage = "file"'
                )

    def check(self) -> None:
        """Raise ConfigError when a sign-in could not be stored here, so that nobody signs in for nothing."""
        with contextlib.suppress(TimeoutError), self.lock(0.0):  # who holds it now gives it back
            pass
        if self.mode != "file":
            return
        try:
            os.unlink(os.path.join(self._data_dir, stage(self._data_dir, "probe", b"")))
        except OSError as error:
            raise ConfigError(denied(self.path, error, "written")) from error

    @contextlib.contextmanager
    def lock(self, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
        """Hold the lock between processes. Raises TimeoutError when another one keeps it for `wait_s`."""
        make_private_dir(self._data_dir)
        lock = FileLock(self.path + ".lock")
        try:
            got = lock.acquire(wait_s)
        except LockUnsupported:
            self._warn(
                f"{self._data_dir} is on a file system without locks; run only one relay on it"
            )
            yield
            return
        if not got:
            raise TimeoutError(f"{lock.path} is held by another process")
        try:
            yield
        finally:
            lock.release()

    def stamp(self) -> Stamp:
        """Return a value that changes whenever the sign-in may have; costs two stat calls at most."""
        found = [*_stat(self.path)]
        if self._keyring is not None:
            found += _stat(self.path + ".lock")
        return tuple(found)

    def load(self) -> SignIn | None:
        """Return the stored sign-in, or None. Raises ConfigError when there is one that cannot be used."""
        data = None
        if self._keyring is not None:
            try:
                data = self._keyring.read()
            except KeyringFailure as error:
                if self.mode == "keyring":
                    raise ConfigError(f"{error}; unlock it, or set auth.storage to file") from error
                self._warn(f"{error}; using {self.path}")
            if data is not None:
                return SignIn.from_bytes(data, f"the keyring entry {SERVICE}")
        data = read_secret(self.path, warn=self._warn)
        return None if data is None else SignIn.from_bytes(data, self.path)

    def save(self, sign_in: SignIn) -> None:
        """Store it durably before anybody uses it. Raises ConfigError when the old one is still there."""
        data = sign_in.to_bytes()
        if self._keyring is not None:
            secret = data.rstrip(b"\n")
            try:
                self._keyring.write(secret)
                if self._keyring.read() != secret:
                    raise KeyringFailure(
                        "the keyring returned something other than what was stored"
                    )
            except KeyringFailure as error:
                if self.mode == "keyring":
                    raise ConfigError(f"{error}; unlock it, or set auth.storage to file") from error
                self._warn(f"{error}; the sign-in is kept in {self.path}")
            else:
                self._remove_files()
                with contextlib.suppress(OSError):
                    os.utime(self.path + ".lock")
                return
        try:
            write_private(self.path, data, backup=True)
        except ConfigError:
            # A disk without room for both copies may have it for one.
            write_private(self.path, data)
        self._remove_staged()

    def delete(self) -> bool:
        """Remove the sign-in from everywhere; return whether there was one."""
        there = self._remove_files()
        if self._keyring is not None:
            try:
                there = self._keyring.delete() or there
            except KeyringFailure as error:
                raise ConfigError(f"{error}; remove its entry {SERVICE} by hand") from error
            with contextlib.suppress(OSError):
                os.utime(self.path + ".lock")
        return there

    def recover(self) -> SignIn | None:
        """Finish a write that a crash cut off between its last byte and its rename; return what came of it.

        Only a whole sign-in, newer than the stored one and of the same account, is taken.
        """
        best: SignIn | None = None
        current = read_secret(self.path, warn=self._warn)
        stored = None if current is None else SignIn.from_bytes(current, self.path)
        for name in self._staged():
            try:
                data = read_secret(os.path.join(self._data_dir, name), warn=lambda _: None)
                found = SignIn.from_bytes(data or b"", name)
            except ConfigError:
                continue
            if _is_newer(found, stored) and _is_newer(found, best):
                best = found
        if best is not None:
            write_private(self.path, best.to_bytes(), backup=True)
        self._remove_staged()
        return best

    def describe(self) -> dict[str, str]:
        """Return where the sign-in is kept."""
        facts = {"auth_store_path": self.path, "storage_mode": self.mode}
        if self._keyring is not None:
            facts["keyring_service"] = SERVICE
            facts["keyring_tool"] = self._keyring.name
        return facts

    def _staged(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._data_dir) if _STAGED.fullmatch(name))
        except OSError:
            return []

    def _remove_staged(self) -> None:
        for name in self._staged():
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self._data_dir, name))

    def _remove_files(self) -> bool:
        there = False
        for path in (self.path, self.path + ".bak"):
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise ConfigError(f"{path} cannot be removed: {error.strerror}") from error
            there = there or path == self.path
        self._remove_staged()
        return there


def _is_newer(found: SignIn, than: SignIn | None) -> bool:
    if not found.refresh_token or not found.access_token:
        return False
    if than is None:
        return True
    same_account = found.account_id == than.account_id
    return same_account and (found.last_refresh_s or 0.0) > (than.last_refresh_s or 0.0)


def _stat(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return found.st_mtime_ns, found.st_size, found.st_ino


def _user(data_dir: str) -> str:
    """Return the keyring user name of a data folder, the same as earlier releases made."""
    import hashlib

    return "cli|" + hashlib.sha256(os.path.realpath(data_dir).encode()).hexdigest()[:16]
