from __future__ import annotations

import os
from pathlib import Path

import pytest

from airelays.credentials.signkey import NAME, load_signing_key
from airelays.errors import ConfigError


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    key = load_signing_key(str(folder))
    assert len(key) == 32 and load_signing_key(str(folder)) == key
    if os.name == "posix":
        assert (folder / NAME).stat().st_mode & 0o777 == 0o600
    assert load_signing_key(str(tmp_path / "other")) != key


@pytest.mark.parametrize("content", [b"", b"abcd\n", b"zz" * 32, b"\xff" * 64])
def test_a_file_without_a_key_is_an_error_that_says_what_to_do(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / NAME
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="remove it, and a new one will be created"):
        load_signing_key(str(tmp_path))
    assert path.read_bytes() == content
