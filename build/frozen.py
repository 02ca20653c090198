"""Read what PyInstaller has put into an executable, without running it. Knows no bill of materials.

Layout: PyInstaller's `archive/writers.py`, CArchiveWriter and ZlibArchiveWriter: a loader, the packed members, their
table, and a cookie of 88 bytes. All of that may be a section of the loader (ELF), or be followed by a signature.
"""

from __future__ import annotations

import marshal
import struct
import zlib
from typing import NamedTuple

_MAGIC = b"MEI\014\013\012\013\016"
_COOKIE = struct.Struct("!8sIIII64s")
_ENTRY = struct.Struct("!IIIIBc")
_MODULES = "PYZ.pyz"


class FrozenError(Exception):
    """The file is not an executable of PyInstaller, or a damaged one."""


class Frozen(NamedTuple):
    """`loader` is the program around it; `files` what it unpacks; `modules` the byte code of each module."""

    loader: bytes
    python: tuple[int, int]
    files: dict[str, bytes]
    modules: dict[str, bytes]


def is_frozen(data: bytes) -> bool:
    """Whether the bytes have a cookie of PyInstaller."""
    return _MAGIC in data


def read_frozen(data: bytes) -> Frozen:
    """Return what an executable holds. Raises FrozenError."""
    at = data.rfind(_MAGIC)
    if at < 0:
        raise FrozenError("is not an executable made by PyInstaller")
    try:
        _, length, table, table_size, number, _ = _COOKIE.unpack_from(data, at)
        end = at + _COOKIE.size
        start = end - length
        if start < 0:
            raise ValueError("its beginning is missing")
        members = _members(data, start, start + table, table_size)
        packed = members.pop(_MODULES, None)
        modules = {} if packed is None else _modules(packed)
    except (struct.error, zlib.error, ValueError, EOFError, TypeError, IndexError) as error:
        raise FrozenError("is damaged") from error
    return Frozen(data[:start] + data[end:], (number // 100, number % 100), members, modules)


def _members(data: bytes, start: int, table: int, table_size: int) -> dict[str, bytes]:
    found, at = {}, table
    while at < table + table_size:
        step, offset, size, _, packed, kind = _ENTRY.unpack_from(data, at)
        if step <= _ENTRY.size:
            raise ValueError("an entry without a name")
        name = data[at + _ENTRY.size : at + step].rstrip(b"\0").decode()
        body = data[start + offset : start + offset + size]
        # o: an option of the interpreter; n: a symbolic link.
        if kind not in (b"o", b"n"):
            key = _MODULES if kind == b"z" else name.replace("\\", "/")
            found[key] = zlib.decompress(body) if packed else body
        at += step
    return found


def _modules(archive: bytes) -> dict[str, bytes]:
    """Return module -> marshalled code; it is not loaded, as it may be of another Python."""
    if archive[:4] != b"PYZ\0":
        raise ValueError("not a PYZ archive")
    (at,) = struct.unpack_from("!i", archive, 8)
    table = dict(marshal.loads(archive[at:]))
    return {name: zlib.decompress(archive[o : o + n]) for name, (_, o, n) in table.items() if n}
