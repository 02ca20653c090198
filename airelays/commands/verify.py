"""`version --verify FILE`: whether a file is one of a release, by its signed SHA256SUMS. Layer: commands.

The signature is checked by ssh-keygen, the digest here. Refuses to know: where the files came from, and any key that
this copy does not carry and that was not named.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile

from airelays.commands.release_keys import ALLOWED_SIGNERS, NAMESPACE, SIGNER
from airelays.disk.regular import open_regular, read_regular
from airelays.errors import ConfigError
from airelays.hints import hint
from airelays.settings.record import Record

SUMS = "SHA256SUMS"
MAX_SUMS_BYTES = 1024 * 1024
MAX_SIGNATURE_BYTES = 64 * 1024
KEYGEN_TIMEOUT_S = 30.0
_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")


class Verified(Record):
    """`files` were found as listed; `key` is the fingerprint of the key that signed the list."""

    files: tuple[str, ...]
    key: str


def verify(path: str, signers: str | None) -> Verified:
    """Check the signature of the SHA256SUMS next to `path`, then `path`; or SHA256SUMS itself and the files next to
    it.

    `signers` names a file of allowed signers; None means the keys in this copy. Raises ConfigError.
    """
    whole = os.path.basename(path) == SUMS
    sums_path = path if whole else os.path.join(os.path.dirname(path), SUMS)
    sums = _read(sums_path, MAX_SUMS_BYTES)
    # What was signed is what is read below: the bytes, not the name of a file that could be replaced meanwhile.
    key = check_signature(sums, sums_path + ".sig", signers)
    listed = _listed(sums, sums_path)
    if not whole:
        name = os.path.basename(path)
        if name not in listed:
            raise ConfigError(
                f"{sums_path} is signed but does not list {name}, so it is not part of a release"
            )
        _compare(path, listed[name])
        return Verified(files=(name,), key=key)
    folder = os.path.dirname(path)
    here = [name for name in listed if os.path.lexists(os.path.join(folder, name))]
    for name in here:
        _compare(os.path.join(folder, name), listed[name])
    return Verified(files=tuple(here), key=key)


def check_signature(sums: bytes, signature: str, signers: str | None) -> str:
    """Return the fingerprint of the key that signed `sums`. Raises ConfigError when none that is allowed did."""
    # Read for its size and kind; ssh-keygen reads it again.
    _read(signature, MAX_SIGNATURE_BYTES)
    if signers is not None:
        _read(signers, MAX_SUMS_BYTES)
        return _keygen(sums, signature, signers)
    if not ALLOWED_SIGNERS.strip():
        raise ConfigError(
            "this copy does not contain a release key; name a file of allowed signers with --signers FILE, "
            f"see `{hint('docs releases')}`"
        )
    with tempfile.TemporaryDirectory(prefix="airelays-") as folder:
        kept = os.path.join(folder, "allowed_signers")
        with open(kept, "w", encoding="utf-8") as file:
            file.write(ALLOWED_SIGNERS)
        return _keygen(sums, signature, kept)


def _keygen(sums: bytes, signature: str, signers: str) -> str:
    words = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", SIGNER, "-n", NAMESPACE]
    try:
        done = subprocess.run(
            [*words, "-s", signature],
            input=sums,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},
            timeout=KEYGEN_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise ConfigError(
            "ssh-keygen, which checks the signature, is missing; install OpenSSH (on Debian: apt install "
            f"openssh-client). Until then, `sha256sum -c --ignore-missing {SUMS}` compares the files, but "
            f"does not show who made the list"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"ssh-keygen cannot check the signature: {error}") from error
    said = done.stdout.decode("utf-8", "replace").strip()
    key = re.search(r"SHA256:[A-Za-z0-9+/=]+", said)
    if done.returncode != 0 or key is None:
        last = " ".join(said.split())[:200] or f"exit {done.returncode}"
        raise ConfigError(
            f"{signature} is not a signature of this {SUMS} by an allowed key (ssh-keygen: {last}); do not "
            f"use these files, download them again"
        )
    return key[0]


def _listed(sums: bytes, path: str) -> dict[str, str]:
    """Return name -> digest. Raises ConfigError for what is not a plain name."""
    found: dict[str, str] = {}
    for line in sums.decode("utf-8", "replace").splitlines():
        match = _LINE.fullmatch(line)
        if match is None or "/" in match[2] or "\\" in match[2] or found.get(match[2]):
            raise ConfigError(
                f"{path} contains the line {line[:100]!r}, which is not a digest and a name"
            )
        found[match[2]] = match[1]
    return found


def _compare(path: str, listed: str) -> None:
    try:
        with open(open_regular(path), "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if digest != listed:
        raise ConfigError(
            f"{path} has the SHA-256 {digest}, but {SUMS} lists {listed}; do not use it, download it again"
        )


def _read(path: str, most: int) -> bytes:
    try:
        data = read_regular(path, most + 1)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} is missing; put {SUMS} and {SUMS}.sig of the release in the folder of the file"
            if os.path.basename(path).startswith(SUMS)
            else f"{path} is missing"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > most:
        raise ConfigError(
            f"{path} is larger than {most:,} bytes, which is more than in any release"
        )
    return data
