"""A file system that is soon full."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def tiny_disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a tmpfs of `size` (as mount(8) takes it) on `folder` until the block ends; skip where none can be."""
    folder.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("a small file system cannot be mounted here: no mount(8)")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode()[:80]}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
