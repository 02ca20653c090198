"""A secret in the operating system's own keeper: secret-tool, macOS `security`, or Windows DPAPI.

The secret goes through standard input or memory, never through an argument list. Blocks: call it in a
thread. Layer: I/O.
"""

from __future__ import annotations

import os
import sys

from airelays.errors import ConfigError

CALL_S = 30.0


class KeyringFailure(Exception):
    """The keeper is locked, absent or broken. The text is one sentence without the secret."""


class Keyring:
    """One entry, named by service and user."""

    name = ""

    def __init__(self, service: str, user: str) -> None:
        self.service, self.user = service, user

    def read(self) -> bytes | None:
        """Return the secret, or None when there is no entry. Raises KeyringFailure."""
        raise NotImplementedError

    def write(self, secret: bytes) -> None:
        """Make or replace the entry. Raises KeyringFailure."""
        raise NotImplementedError

    def delete(self) -> bool:
        """Remove the entry; return whether there was one. Raises KeyringFailure."""
        raise NotImplementedError


def find_keyring(service: str, user: str, dpapi_path: str) -> Keyring | None:
    """Return the keeper of this system, or None when it has none that we know."""
    if sys.platform == "win32":
        return _Dpapi(service, user, dpapi_path)
    from shutil import which

    if sys.platform == "darwin":
        return _MacKeychain(service, user) if which("security") else None
    return _SecretTool(service, user) if which("secret-tool") else None


def _run(argv: list[str], data: bytes = b"") -> tuple[int, bytes, str]:
    """Run a tool; return (exit code, output, first line of its complaint)."""
    import subprocess

    # A frozen program's loader variables must not reach other programs.
    env = {
        k: v
        for k, v in os.environ.items()
        if k != "LD_LIBRARY_PATH" and not k.startswith("_MEIPASS")
    }
    try:
        done = subprocess.run(
            argv, input=data, capture_output=True, timeout=CALL_S, check=False, env=env
        )
    except subprocess.TimeoutExpired:
        raise KeyringFailure(
            f"{argv[0]} did not answer within {CALL_S:g} s; is the keyring locked?"
        ) from None
    except OSError as error:
        raise KeyringFailure(f"{argv[0]} could not be run: {error.strerror}") from error
    said = done.stderr.decode(errors="replace").strip().split("\n")[0][:200]
    return done.returncode, done.stdout, "".join(c if c.isprintable() else "?" for c in said)


class _SecretTool(Keyring):
    """libsecret (GNOME Keyring, KWallet, KeePassXC) through its command-line tool."""

    name = "secret-tool"

    def _attributes(self) -> list[str]:
        return ["service", self.service, "username", self.user]

    def read(self) -> bytes | None:
        code, out, said = _run(["secret-tool", "lookup", *self._attributes()])
        if code == 0:
            return out.rstrip(b"\n") or None
        if code == 1 and not said:
            return None
        raise KeyringFailure(f"the keyring could not be read ({said or f'exit {code}'})")

    def write(self, secret: bytes) -> None:
        label = f"--label={self.service}"
        code, _, said = _run(["secret-tool", "store", label, *self._attributes()], secret)
        if code:
            raise KeyringFailure(f"the keyring did not store the entry ({said or f'exit {code}'})")

    def delete(self) -> bool:
        there = self.read() is not None
        code, _, said = _run(["secret-tool", "clear", *self._attributes()])
        if code and there:
            raise KeyringFailure(f"the keyring did not remove the entry ({said or f'exit {code}'})")
        return there


class _MacKeychain(Keyring):
    """The login keychain. Commands go through `security -i` on standard input: argv is visible to all.

    One line there may hold 4,096 bytes, so the secret is cut into entries of their own; the main entry,
    written last, names their generation and number. A crash in between leaves the old generation in force.
    """

    name = "security"
    NOT_FOUND = 44
    PART_CHARS = 3000

    def read(self) -> bytes | None:
        from base64 import b64decode

        head = self._get(self.user)
        if head is None:
            return None
        generation, _, count = head.partition(" ")
        if not count.isdigit():
            raise KeyringFailure("the keychain entry was not written by this program")
        parts = [self._get(f"{self.user}#{generation}.{n}") for n in range(int(count))]
        try:
            return b64decode("".join(part or "?" for part in parts), validate=True)
        except ValueError:
            raise KeyringFailure("the keychain entry is not complete; sign in again") from None

    def write(self, secret: bytes) -> None:
        from base64 import b64encode

        old = self._get(self.user)
        generation = os.urandom(4).hex()
        text = b64encode(secret).decode()
        parts = [text[at : at + self.PART_CHARS] for at in range(0, len(text), self.PART_CHARS)]
        for n, part in enumerate(parts):
            self._put(f"{self.user}#{generation}.{n}", part)
        self._put(self.user, f"{generation} {len(parts)}")
        self._drop_parts(old)

    def delete(self) -> bool:
        head = self._get(self.user)
        if head is None:
            return False
        self._drop(self.user)
        self._drop_parts(head)
        return True

    def _get(self, user: str) -> str | None:
        argv = ["security", "find-generic-password", "-s", self.service, "-a", user, "-w"]
        code, out, said = _run(argv)
        if code == self.NOT_FOUND:
            return None
        if code:
            raise KeyringFailure(f"the keychain could not be read ({said or f'exit {code}'})")
        return out.decode("ascii", "replace").rstrip("\n")

    def _put(self, user: str, value: str) -> None:
        line = f'add-generic-password -U -s "{self.service}" -a "{user}" -w "{value}"\n'
        code, _, said = _run(["security", "-i"], line.encode("ascii"))
        if code or self._get(user) != value:
            raise KeyringFailure(f"the keychain did not store the entry ({said or f'exit {code}'})")

    def _drop(self, user: str) -> None:
        code, _, said = _run(
            ["security", "delete-generic-password", "-s", self.service, "-a", user]
        )
        if code not in (0, self.NOT_FOUND):
            raise KeyringFailure(
                f"the keychain did not remove the entry ({said or f'exit {code}'})"
            )

    def _drop_parts(self, head: str | None) -> None:
        generation, _, count = (head or "").partition(" ")
        for n in range(int(count) if count.isdigit() else 0):
            self._drop(f"{self.user}#{generation}.{n}")


class _Dpapi(Keyring):
    """Windows: a file that only this user on this machine can decrypt."""

    name = "dpapi"

    def __init__(self, service: str, user: str, path: str) -> None:
        super().__init__(service, user)
        self.path = path

    def read(self) -> bytes | None:
        from airelays.credentials.secretfile import read_secret

        try:
            data = read_secret(self.path, warn=lambda _: None)
        except ConfigError as error:
            raise KeyringFailure(str(error)) from error
        return None if data is None else _crypt(data, unprotect=True)

    def write(self, secret: bytes) -> None:
        from airelays.credentials.secretfile import write_private

        try:
            write_private(self.path, _crypt(secret, unprotect=False))
        except ConfigError as error:
            raise KeyringFailure(str(error)) from error

    def delete(self) -> bool:
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise KeyringFailure(f"{self.path} could not be removed: {error.strerror}") from error
        return True


def _crypt(data: bytes, *, unprotect: bool) -> bytes:
    """Encrypt for, or decrypt as, the present Windows user."""
    import ctypes

    class Blob(ctypes.Structure):
        _fields_ = (("size", ctypes.c_uint32), ("data", ctypes.POINTER(ctypes.c_char)))

    windll = getattr(ctypes, "windll", None)
    if windll is None:
        raise KeyringFailure("DPAPI exists on Windows only")
    given = Blob(
        len(data), ctypes.cast(ctypes.create_string_buffer(data, len(data)), Blob._fields_[1][1])
    )
    made = Blob()
    call = windll.crypt32.CryptUnprotectData if unprotect else windll.crypt32.CryptProtectData
    # 1 = CRYPTPROTECT_UI_FORBIDDEN: a service has no desktop to ask on.
    if not call(ctypes.byref(given), None, None, None, None, 1, ctypes.byref(made)):
        raise KeyringFailure("Windows could not encrypt or decrypt the sign-in for this user")
    try:
        return ctypes.string_at(made.data, made.size)
    finally:
        windll.kernel32.LocalFree(made.data)
