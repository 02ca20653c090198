"""Pack bytes so that every Python writes the same ones. Knows no package format."""

from __future__ import annotations

import struct
import zlib


def gzipped(data: bytes, epoch: int = 0) -> bytes:
    """Return `data` as one gzip member (RFC 1952), dated `epoch`; 0 is no date.

    The header is written here: `gzip.compress` of Python 3.11 and of 3.13 disagree about the operating system's byte.
    """
    # 2: the slowest, smallest compression; 255: the system is not named.
    head = struct.pack("<BBBBLBB", 0x1F, 0x8B, zlib.DEFLATED, 0, epoch, 2, 255)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(data) + packer.flush()
    return head + body + struct.pack("<LL", zlib.crc32(data), len(data) & 0xFFFFFFFF)
