"""What is inside an executable, read from bytes that PyInstaller would write."""

from __future__ import annotations

import hashlib
import io
import marshal
import struct
import sys
import tarfile
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "build"))

import contents  # noqa: E402
import frozen  # noqa: E402

LOADER = b"MZ the loader"
NATIVES = {
    "python313.dll": b"MZ /opt/3.13.9\0 3.13 \0",
    "libcrypto-3.dll": b"MZ OpenSSL 3.0.19 27 Jan 2026\0",
    "libssl-3.dll": b"MZ",
    "libffi-8.dll": b"MZ",
    "sqlite3.dll": b"MZ 2022-12-28 14:03:47 " + b"0a" * 32 + b"\0" + b"3.40.1\0",
    "zlib1.dll": b"MZ deflate 1.3.1 Copyright 1995-2024 Jean-loup Gailly",
    "vcruntime140.dll": b"MZ",
    "_socket.pyd": b"MZ",
}
DATA = {"release.txt": b"name=airelays-1.0.0-windows-amd64\npyinstaller=6.22.3\n", "a.txt": b"text"}
MODULES = {"h11._version": b"\xe3\x00 0.16.0 \x00", "certifi": b"\xe3 2026.10.18 "}


def modules_archive(modules: dict[str, bytes]) -> bytes:
    body, table = b"", []
    for name, code in modules.items():
        packed = zlib.compress(code)
        table.append((name, (0, 12 + len(body), len(packed))))
        body += packed
    return b"PYZ\0" + b"mag\0" + struct.pack("!i", 12 + len(body)) + body + marshal.dumps(table)


def archive(
    loader: bytes, files: dict[str, bytes], modules: dict[str, bytes], after: bytes
) -> bytes:
    members = [(name, b"b", data) for name, data in files.items()]
    members += [("PYZ.pyz", b"z", modules_archive(modules)), ("X utf8", b"o", b"")]
    body, table = b"", b""
    for name, kind, data in members:
        packed = zlib.compress(data)
        text = name.encode() + b"\0"
        size = 18 + len(text)
        table += struct.pack("!IIIIBc", size, len(body), len(packed), len(data), 1, kind) + text
        body += packed
    length = len(body) + len(table) + 88
    cookie = struct.pack(
        "!8sIIII64s",
        b"MEI\014\013\012\013\016",
        length,
        len(body),
        len(table),
        313,
        b"python313.dll",
    )
    return loader + body + table + cookie + after


def parts_of(path: Path) -> dict[str, str]:
    return {part.name: part.version for part in contents.read_contents(path).parts}


INSIDE = {
    "h11": "0.16.0",
    "certifi": "2026.10.18",
    "cpython": "3.13.9",
    "pyinstaller-loader": "6.22.3",
    "openssl": "3.0.19",
    "libffi": "8",
    "sqlite": "3.40.1",
    "zlib": "1.3.1",
    "vcruntime140.dll": "",
}


@pytest.mark.parametrize("after", [b"", b" a signature"])
def test_everything_inside_one_file_is_named(tmp_path: Path, after: bytes) -> None:
    path = tmp_path / "airelays-1.0.0-windows-amd64.exe"
    path.write_bytes(archive(LOADER, {**NATIVES, **DATA}, MODULES, after))
    assert parts_of(path) == INSIDE
    found = contents.read_contents(path)
    assert found.needs.endswith("a temporary folder that may hold programs")
    digests = {part.name: part.digest for part in found.parts}
    assert digests["pyinstaller-loader"] == hashlib.sha256(LOADER + after).hexdigest()
    assert digests["openssl"] == hashlib.sha256(NATIVES["libcrypto-3.dll"]).hexdigest()


def test_everything_in_a_folder_is_named_and_listed(tmp_path: Path) -> None:
    path = tmp_path / "airelays-1.0.0-windows-amd64.tar.gz"
    program = archive(LOADER, {}, MODULES, b"")
    files = {"airelays.exe": program}
    files |= {f"_internal/{name}": data for name, data in {**NATIVES, **DATA}.items()}
    with tarfile.open(path, "w:gz") as packed:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"airelays-1.0.0/{name}")
            entry.size = len(data)
            packed.addfile(entry, io.BytesIO(data))
    assert parts_of(path) == INSIDE
    lines = contents.listing(contents.read_contents(path).files).splitlines()
    assert lines == [f"{hashlib.sha256(files[n]).hexdigest()}  {n}" for n in sorted(files)]


def test_an_executable_without_its_interpreter_is_refused(tmp_path: Path) -> None:
    natives = {n: d for n, d in NATIVES.items() if not n.startswith("python")}
    path = tmp_path / "airelays-1.0.0-windows-amd64.exe"
    path.write_bytes(archive(LOADER, natives, MODULES, b""))
    with pytest.raises(contents.ContentsError, match=r"no interpreter of Python 3\.13 is inside"):
        contents.read_contents(path)


def test_every_cut_is_refused_and_none_breaks_the_reader() -> None:
    whole = archive(LOADER, DATA, MODULES, b"")
    for size in range(len(LOADER) + 1, len(whole), 7):
        with pytest.raises(frozen.FrozenError):
            frozen.read_frozen(whole[size:])
    for at in range(len(LOADER), len(whole), 5):
        changed = whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]
        try:
            frozen.read_frozen(changed)
        except frozen.FrozenError:
            continue
