"""Say which C library a folder of programs needs: `python3 build/elf_floor.py FOLDER`.

Reads the version needs of every ELF file below the folder. Asking the one-file executable would not do: it is only
the loader, and its libraries are packed inside.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_SHT_GNU_VERNEED = 0x6FFFFFFE
_VERSION = re.compile(r"GLIBC_(\d+(?:\.\d+)*)")


class ElfError(Exception):
    """The file begins like an ELF file and cannot be read as one."""


class _Section(NamedTuple):
    kind: int
    offset: int
    size: int
    link: int
    info: int


def needed_versions(data: bytes) -> list[str]:
    """Return the symbol versions that an ELF file needs ("GLIBC_2.34"...). Raises ElfError.

    Layout: ELF gABI "Section Header"; LSB 10.7 "Symbol Versioning" for the version needs.
    """
    try:
        order = {1: "<", 2: ">"}[data[5]]
        sections = _sections(data, order, wide=data[4] == 2)
        found = []
        for section in sections:
            if section.kind == _SHT_GNU_VERNEED:
                names = sections[section.link]
                found += _needs(data, order, section, data[names.offset :][: names.size])
    except (struct.error, IndexError, KeyError) as error:
        raise ElfError("is cut or damaged") from error
    return found


def _sections(data: bytes, order: str, *, wide: bool) -> list[_Section]:
    if wide:
        at = struct.unpack_from(order + "Q", data, 40)[0]
        size, count = struct.unpack_from(order + "HH", data, 58)
        layout, pick = order + "IIQQQQIIQQ", (1, 4, 5, 6, 7)
    else:
        at = struct.unpack_from(order + "I", data, 32)[0]
        size, count = struct.unpack_from(order + "HH", data, 46)
        layout, pick = order + "IIIIIIIIII", (1, 4, 5, 6, 7)
    rows = [struct.unpack_from(layout, data, at + n * size) for n in range(count)]
    return [_Section(*(row[i] for i in pick)) for row in rows]


def _needs(data: bytes, order: str, section: _Section, names: bytes) -> list[str]:
    found, need = [], section.offset
    for _ in range(section.info):
        _, count, _, aux, following = struct.unpack_from(order + "HHIII", data, need)
        entry = need + aux
        for _ in range(count):
            _, _, _, name, step = struct.unpack_from(order + "IHHII", data, entry)
            found.append(names[name : names.index(b"\0", name)].decode("ascii"))
            entry += step
        need += following
    return found


def glibc_floor(folder: Path) -> tuple[str, dict[str, str]]:
    """Return the highest glibc version that any ELF file below `folder` needs, and each file's own."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_symlink() and path.is_file():
            files[path.relative_to(folder).as_posix()] = path.read_bytes()
    return floor_of(files)


def floor_of(files: Mapping[str, bytes]) -> tuple[str, dict[str, str]]:
    """Return the highest glibc version that any ELF file of these needs, and each file's own."""
    by_file = {}
    for name, data in files.items():
        if data[:4] != b"\x7fELF":
            continue
        try:
            found = [m.group(1) for v in needed_versions(data) if (m := _VERSION.fullmatch(v))]
        except ElfError as error:
            raise ElfError(f"{name} {error}") from error
        by_file[name] = max(found, key=version_key, default="")
    return max(by_file.values(), key=version_key, default=""), by_file


def version_key(version: str) -> tuple[int, ...]:
    """Return what versions are ordered by: numbers, not text."""
    return tuple(int(part) for part in version.split(".") if part)


def main(arguments: list[str]) -> int:
    """Print what each file needs, then the highest."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        sys.stderr.write("usage: python3 build/elf_floor.py FOLDER\n")
        return 2
    try:
        floor, by_file = glibc_floor(Path(arguments[0]))
    except ElfError as error:
        sys.stderr.write(f"build/elf_floor.py: {error}\n")
        return 1
    for name, version in sorted(by_file.items(), key=lambda item: version_key(item[1])):
        print(f"{version or 'none':>8}  {name}")
    print(f"glibc floor: {floor or 'none'} ({len(by_file)} ELF files)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
