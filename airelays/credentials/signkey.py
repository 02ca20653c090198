"""The key that signs what clients bring back: one per installation, made when first needed. Layer: I/O.

It is not the relay token: with a new token the conversations of clients go on.
"""

from __future__ import annotations

import os

from airelays.credentials.secretfile import create_private, read_secret
from airelays.errors import ConfigError

NAME = "thinking-key"
_BYTES = 32


def load_signing_key(data_dir: str) -> bytes:
    """Return the key of this installation; its file is made (0600) when there is none. Blocks.

    Raises ConfigError when the file cannot be made, trusted or read, or holds no key.
    """
    path = os.path.join(data_dir, NAME)
    found = read_secret(path, warn=lambda _: None)
    if found is None:
        create_private(path, os.urandom(_BYTES).hex().encode() + b"\n", keep_owner=True)
        found = read_secret(path, warn=lambda _: None)
    try:
        key = bytes.fromhex((found or b"").decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != _BYTES:
        raise ConfigError(
            f"{path} does not contain a key; remove it, and a new one will be created"
        )
    return key
