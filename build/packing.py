"""Bytes that are the same from every Python, and the time that they are dated. Knows no package format."""

from __future__ import annotations

import functools
import os
import struct
import subprocess
import sys
import zlib
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# 2026-01-01: for a copy of the sources without a history.
EPOCH_WITHOUT_GIT = 1767225600
# What the 32 bits of a gzip header can hold.
LAST_EPOCH = 2**32 - 1


class EpochError(ValueError):
    """SOURCE_DATE_EPOCH is not a time; the text says what is allowed."""


def gzipped(data: bytes, epoch: int = 0) -> bytes:
    """Return `data` as one gzip member (RFC 1952), dated `epoch`; 0 is no date.

    The header is written here: `gzip.compress` of Python 3.11 and of 3.13 disagree about the operating system's byte.
    """
    # 2: the slowest, smallest compression; 255: the system is not named.
    head = struct.pack("<BBBBLBB", 0x1F, 0x8B, zlib.DEFLATED, 0, epoch, 2, 255)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(data) + packer.flush()
    return head + body + struct.pack("<LL", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def source_epoch() -> int:
    """Return the time that everything is dated: SOURCE_DATE_EPOCH, else a guess, which is said on stderr.

    Raises EpochError.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not given:
        return _guessed(ROOT)
    if not given.isascii() or not given.isdigit() or int(given) > LAST_EPOCH:
        raise EpochError(
            f"SOURCE_DATE_EPOCH is {given!r}; expected whole seconds since 1970, 0 to {LAST_EPOCH}"
        )
    return int(given)


@functools.cache
def _guessed(root: Path) -> int:
    epoch, source = commit_epoch(root), "the last commit"
    if epoch is None:
        epoch, source = EPOCH_WITHOUT_GIT, "a fixed date, since there is no history here"
    date = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    sys.stderr.write(f"build: SOURCE_DATE_EPOCH is not set; dated {date}, {source}\n")
    return epoch


def commit_epoch(root: Path = ROOT) -> int | None:
    """Return the time of the last commit; None without a history."""
    words = ["git", "log", "-1", "--format=%ct"]
    try:
        done = subprocess.run(words, cwd=root, capture_output=True, text=True)
    except OSError:
        return None
    return int(done.stdout) if done.stdout.strip().isdigit() else None
