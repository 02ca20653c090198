"""The relay token: where it comes from, whether it changed, how a new one is made. Layer: I/O.

The environment wins over the file. The file is looked at (one `stat`) each time the token is asked for and
read again when it changed, so that a rotation counts from the next request on. A file that cannot be
trusted or read gives no token: nobody gets in, and `problem` says why.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from airelays.credentials.secretfile import create_private, read_secret, write_private
from airelays.errors import ConfigError
from airelays.hints import hint

TOKEN_ENV = ("AIRELAYS_BEARER_TOKEN", "AIRELAY_BEARER_TOKEN")
MAX_TOKEN_BYTES = 4096
# File times tick as slowly as this (a jiffy at HZ=100 is 10 ms; FAT has 2 s): a file read so soon after
# it was written could change again without a visible change of its times, so it is read once more.
TICK_NS = 2_000_000_000


class TokenSource:
    """The token that clients must present, now. Never shows it in its repr.

    `created` says that the running process made the token file.
    """

    __slots__ = (
        "_cached",
        "_env",
        "_seen",
        "_variable",
        "_warn",
        "created",
        "path",
        "problem",
        "weak_is",
    )

    def __init__(
        self,
        path: str,
        env: Mapping[str, str] | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`path` is the token file. Raises ConfigError when the environment's token cannot be one."""
        self.path = path
        self.problem = ""
        self.created = False
        # What becomes of a weak token that a running relay finds in the file: "told", "refused", or "" for nothing.
        self.weak_is = ""
        self._warn = warn
        self._env, self._variable = _from_env(env or {})
        self._cached: bytes | None = None
        self._seen: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"TokenSource({self.path!r}, source={self.source!r})"

    def lack(self) -> str:
        """Return why there is no token now, "" while there is one. One `stat`."""
        if self.current() is not None:
            return ""
        if self.problem:
            return self.problem
        return f"{self.path} is {'empty' if os.path.lexists(self.path) else 'missing'}"

    @property
    def place(self) -> str:
        """The name of the environment variable or the path of the file that the token is in."""
        return self.path if self._env is None else self._variable

    @property
    def source(self) -> str | None:
        """ "env", "file", or None when there is no token."""
        if self._env is not None:
            return "env"
        return "file" if self.current() is not None else None

    def current(self) -> bytes | None:
        """Return the token's bytes, or None when there is none. One `stat`; never raises."""
        if self._env is not None:
            return self._env
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except OSError as error:
            self._forget("" if isinstance(error, FileNotFoundError) else _denied(self.path, error))
            return None
        seen = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
        if seen != self._seen:
            self._read(seen)
        return self._cached

    def _read(self, seen: tuple[int, ...]) -> None:
        try:
            data = read_secret(self.path, warn=self._warn, max_bytes=MAX_TOKEN_BYTES)
            token = None if data is None else checked_token(data, self.path)
            if token != self._cached:
                self._look_at(token)
            self._cached = token
        except ConfigError as error:
            self._forget(str(error))
            self._seen = seen
            return
        self.problem = ""
        self._seen = seen if time.time_ns() - seen[0] > TICK_NS else ()

    def _look_at(self, token: bytes | None) -> None:
        if token is None or not self.weak_is:
            return
        from airelays.guard.auth import weakness

        weak = weakness(token)
        if weak and self.weak_is == "refused":
            raise ConfigError(
                f"the relay token in {self.path} {weak}, and other machines can reach this relay"
            )
        if weak:
            self._warn(weak_sentence(weak, self.path))

    def _forget(self, problem: str) -> None:
        self._cached, self._seen, self.problem = None, (), problem


def _denied(path: str, error: OSError) -> str:
    from airelays.credentials.as_owner import denied

    return denied(path, error)


def generate_token() -> str:
    """Return a new token: 32 random bytes as 43 characters of URL-safe base64."""
    import base64

    return base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()


def write_token(path: str, token: str) -> None:
    """Put `token` into its file, in one step. Raises ConfigError."""
    write_private(path, token.encode() + b"\n", keep_owner=True)


def create_token(path: str) -> bool:
    """Make a token file unless one with content is there; return whether this call made it."""
    token = generate_token().encode() + b"\n"
    present = read_secret(path, warn=lambda _: None)
    if present is not None and not present.strip():
        write_private(path, token, keep_owner=True)
        return True
    return create_private(path, token, keep_owner=True)


def weak_sentence(weak: str, where: str) -> str:
    """Return the warning about a weak token; `weak` are the words of `guard.auth.weakness`."""
    return f"the relay token in {where} {weak}, so it can be guessed; {remedy(where)}"


def remedy(where: str) -> str:
    """Return what to type for a better token."""
    if where in TOKEN_ENV:
        return f"put a better one there, or unset {where} and run: {hint('init')}"
    return f"run `{hint('token rotate')}`"


def fingerprint(token: bytes) -> str:
    """Return what may be shown of a token: the first 12 hex digits of its SHA-256."""
    import hashlib

    return hashlib.sha256(token).hexdigest()[:12]


def checked_token(data: bytes, where: str) -> bytes | None:
    """Return `data` without surrounding white space, or None when nothing is left.

    Raises ConfigError when no client could send it in a header field.
    """
    token = data.strip()
    # What a header field can carry (RFC 9110 section 5.5) and every client library sends as it is.
    if len(token) > MAX_TOKEN_BYTES or any(not 0x21 <= byte <= 0x7E for byte in token):
        raise ConfigError(
            f"{where} does not contain exactly one token; expected one line of visible ASCII characters without "
            f"spaces, at most {MAX_TOKEN_BYTES:,} bytes; `{hint('token rotate')}` creates a good one"
        )
    return token or None


def _from_env(env: Mapping[str, str]) -> tuple[bytes | None, str]:
    for name in TOKEN_ENV:
        if env.get(name):
            return checked_token(os.fsencode(env[name]), f"environment variable {name}"), name
    return None, ""
