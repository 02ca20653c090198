"""Say what is inside an artefact of a release and what it needs, read from its own bytes.

Every kind: the one file, the Debian package, the wheel, the source archive, an executable, an archive of a folder.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import onefile
from elf_floor import ElfError, floor_of
from frozen import FrozenError, is_frozen, read_frozen

CARRIED = (*onefile.CARRIED, ".pem")
PARTS = ("airelays", "h11", "certifi")
_LICENCES = {
    "h11": "MIT", "certifi": "MPL-2.0", "cpython": "PSF-2.0", "openssl": "Apache-2.0", "libffi": "MIT",
    "sqlite": "blessing", "zlib": "Zlib", "expat": "MIT", "bzip2": "bzip2-1.0.6", "xz": "0BSD",
    # With the exception for the loader, which may be part of any program.
    "pyinstaller-loader": "GPL-2.0-or-later WITH Bootloader-exception",
}  # fmt: skip
# How each native library names its version in its own bytes.
_MARKS = {
    "openssl": re.compile(rb"OpenSSL (\d+\.\d+\.\d+[a-z]?) +\d{1,2} [A-Z][a-z]{2} \d{4}"),
    "zlib": re.compile(rb"(?:in|de)flate (\d+\.\d+(?:\.\d+)*) Copyright"),
    "expat": re.compile(rb"expat_(\d+\.\d+\.\d+)"),
    "bzip2": re.compile(rb"(\d+\.\d+\.\d+), \d{1,2}-[A-Z][a-z]{2}-\d{4}"),
}
_SQLITE_SOURCE = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [0-9a-f]{64}")
_NATIVE = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")

_DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, IndexError, ValueError, SyntaxError,
    gzip.BadGzipFile,
)  # fmt: skip


class ContentsError(Exception):
    """The artefact cannot be read; the text says why."""


class Part(NamedTuple):
    """Something inside: a package, the interpreter, a library. `digest` is of its file, where it is one."""

    name: str
    version: str
    digest: str = ""
    purl: str = ""
    note: str = ""

    def component(self, ref: str) -> dict[str, Any]:
        """Return it as a component of CycloneDX 1.6."""
        found: dict[str, Any] = {"type": "library", "bom-ref": ref, "name": self.name}
        if self.version:
            found["version"] = self.version
        licence = _LICENCES.get(self.name)
        if licence is not None:
            key = "expression" if " " in licence else "license"
            found["licenses"] = [{key: licence if " " in licence else {"id": licence}}]
        if self.purl:
            found["purl"] = self.purl
        if self.digest:
            found["hashes"] = [{"alg": "SHA-256", "content": self.digest}]
        if self.note:
            found["properties"] = [{"name": "airelays:note", "value": self.note}]
        return found


class Contents(NamedTuple):
    """What is inside an artefact; `needs` is one line for people, `glibc` the lowest version or ""."""

    parts: tuple[Part, ...]
    needs: str
    glibc: str = ""
    files: Mapping[str, bytes] = {}


def read_contents(path: Path) -> Contents:
    """Return what an artefact holds and needs. Raises ContentsError."""
    data = path.read_bytes()
    try:
        if path.name.endswith(".whl"):
            return _wheel(data)
        if path.suffix == ".deb":
            return _deb(data)
        if path.suffix == ".py":
            return _one_file(data.decode())
        if is_frozen(data):
            return _executable(data)
        if path.name.endswith(".tar.gz"):
            return _archive(data)
    except (ElfError, FrozenError, onefile.BuildError) as error:
        raise ContentsError(f"{path.name} {error}") from error
    except _DAMAGED as error:
        raise ContentsError(f"{path.name} is damaged: {error}") from error
    raise ContentsError(f"{path.name} is of no kind that is released; remove it")


def listing(files: Mapping[str, bytes]) -> str:
    """Return the lines of `sha256sum` for files, in the order of their names."""
    return "".join(f"{_sha256(files[name])}  {name}\n" for name in sorted(files))


def carried(files: Mapping[str, str], part: str) -> dict[str, bytes]:
    """Return the files of one of PARTS that `airelays version --digests` looks at."""
    return {
        name: text.encode()
        for name, text in files.items()
        if name.startswith(part + "/") and name.endswith(CARRIED)
    }


# ---- one function per kind


def _one_file(text: str) -> Contents:
    files = onefile.unpack(text)
    needed = re.search(r"sys\.version_info < \((\d+), (\d+)\)", text)
    if needed is None:
        raise ValueError("no check of Python's version at its start")
    python = ".".join(needed.groups())
    parts = (
        _package("h11", _assigned(files["h11/_version.py"]), files),
        _package("certifi", _assigned(files["certifi/__init__.py"]), files),
    )
    return Contents(
        parts, f"Python {python} or newer", files={n: t.encode() for n, t in files.items()}
    )


def _assigned(source: str) -> str:
    found = re.search(r'^__version__ = "([^"]+)"', source, re.MULTILINE)
    if found is None:
        raise ValueError("a package does not say its version")
    return found[1]


def _package(name: str, version: str, files: Mapping[str, str]) -> Part:
    digest = _sha256(listing(carried(files, name)).encode())
    return Part(name, version, digest, f"pkg:pypi/{name}@{version}", "digest of its list of files")


def _deb(data: bytes) -> Contents:
    members = ar_members(data)
    with tarfile.open(fileobj=io.BytesIO(members["data.tar.gz"])) as archive:
        program = archive.extractfile("./usr/share/airelays/airelays.py")
        text = program.read().decode() if program is not None else ""
    with tarfile.open(fileobj=io.BytesIO(members["control.tar.gz"])) as archive:
        control = archive.extractfile("./control")
        fields = control.read().decode() if control is not None else ""
    depends = re.findall(r"^Depends: (.+)$", fields, re.MULTILINE)
    return _one_file(text)._replace(needs=f"Debian with {depends[0]}")


def ar_members(data: bytes) -> dict[str, bytes]:
    """Return the members of an ar archive, as a Debian package is one. Raises ValueError."""
    if data[:8] != b"!<arch>\n":
        raise ValueError("not an ar archive")
    found, at = {}, 8
    while at < len(data):
        size = int(data[at + 48 : at + 58])
        found[data[at : at + 16].decode().strip()] = data[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
    return found


def _wheel(data: bytes) -> Contents:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        return _from_metadata(archive.read(names[0]).decode())


def _from_metadata(text: str) -> Contents:
    """A wheel and the source archive carry neither package: pip brings them, within these bounds."""
    (python,) = re.findall(r"^Requires-Python: >=(\S+)$", text, re.MULTILINE)
    asked = re.findall(r"^Requires-Dist: (\w+)(.*)$", text, re.MULTILINE)
    parts = [
        Part(name, "", purl=f"pkg:pypi/{name}", note=f"not inside; installed as {name}{bounds}")
        for name, bounds in asked
    ]
    needs = ", ".join(f"{name}{bounds}" for name, bounds in asked)
    return Contents(tuple(parts), f"Python {python} or newer, {needs}")


def _archive(data: bytes) -> Contents:
    files = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for entry in archive:
            file = archive.extractfile(entry) if entry.isreg() else None
            if file is not None:
                files[entry.name.partition("/")[2]] = file.read()
    if "PKG-INFO" in files:
        return _from_metadata(files["PKG-INFO"].decode())
    program = next((d for n, d in files.items() if "/" not in n and is_frozen(d)), None)
    if program is None:
        raise ValueError("neither a source archive nor the folder of an executable")
    inner = _executable(program, {n: d for n, d in files.items() if "/" in n})
    return inner._replace(needs=_system(inner), files=files)


# ---- executables


def _executable(data: bytes, beside: Mapping[str, bytes] | None = None) -> Contents:
    """Return what an executable holds inside, or `beside` it in its folder."""
    frozen = read_frozen(data)
    files = frozen.files if beside is None else beside
    natives = {n: d for n, d in files.items() if d.startswith(_NATIVE)}
    release = _release_of(files)
    parts = [_frozen_package(name, frozen.modules) for name in ("h11", "certifi")]
    parts.append(_interpreter(frozen.python, natives))
    parts.append(
        Part(
            "pyinstaller-loader", release.get("pyinstaller", ""), _sha256(frozen.loader),
            f"pkg:pypi/pyinstaller@{release.get('pyinstaller', '')}",
        )
    )  # fmt: skip
    parts += _libraries(natives)
    floor, _ = floor_of({**natives, "the loader": data})
    musl = any(b"libc.musl-" in d for d in [frozen.loader, *natives.values()])
    found = Contents(tuple(parts), "musl 1.2" if musl else "", floor, files)
    if beside is None:
        return found._replace(needs=f"{_system(found)}; a temporary folder that may hold programs")
    return found


def _system(contents: Contents) -> str:
    return f"glibc {contents.glibc} or newer" if contents.glibc else contents.needs or "nothing"


def _release_of(files: Mapping[str, bytes]) -> dict[str, str]:
    found = [d for n, d in files.items() if n.rpartition("/")[2] == "release.txt"]
    lines = found[0].decode().splitlines() if found else []
    return {key: value for key, _, value in (line.partition("=") for line in lines)}


def _frozen_package(name: str, modules: Mapping[str, bytes]) -> Part:
    """The version stands as a constant in the byte code of the module that says it."""
    code = modules.get("h11._version" if name == "h11" else name, b"")
    found = re.search(rb"\d+\.\d+\.\d+", code)
    if found is None:
        raise ValueError(f"no version of {name} is inside")
    version = found[0].decode()
    version = ".".join(str(int(p)) for p in version.split(".")) if name == "certifi" else version
    return Part(name, version, purl=f"pkg:pypi/{name}@{version}")


def _interpreter(python: tuple[int, int], natives: Mapping[str, bytes]) -> Part:
    # The linker may have made one text the tail of another ("/usr/lib/3.13.9"), so nothing is asked of what is before.
    pattern = re.compile(rb"(?<![\d.])(%d\.%d\.\d+(?:(?:a|b|rc)\d+)?\+?)\0" % python)
    for name, data in natives.items():
        if re.search(r"(?i)python", name.rpartition("/")[2]) and (
            seen := set(pattern.findall(data))
        ):
            version = max(seen, key=len).decode()
            return Part("cpython", version, _sha256(data), f"pkg:generic/cpython@{version}")
    raise ValueError(f"no interpreter of Python {python[0]}.{python[1]} is inside")


def _libraries(natives: Mapping[str, bytes]) -> list[Part]:
    """Return the libraries that are not Python's own, each with its version where its bytes tell."""
    found: dict[str, Part] = {}
    for name, data in sorted(natives.items()):
        base = name.rpartition("/")[2]
        for part in known_parts(base, data):
            found.setdefault(part.name, part)
        # Python's own, and the other half of OpenSSL.
        own = re.search(r"cpython-|\.pyd$|\.abi3\.|^libssl|(?i:^(lib)?python)", base)
        if not own and not list(known_parts(base, data)):
            found.setdefault(base, Part(base, "", _sha256(data)))
    return list(found.values())


def known_parts(base: str, data: bytes) -> list[Part]:
    """Return the libraries that the bytes of a native file say they are, with their versions."""
    found = []
    for name, mark in _MARKS.items():
        seen = mark.search(data)
        if seen is not None:
            found.append(_named(name, seen[1].decode(), data))
    if _SQLITE_SOURCE.search(data) and (seen := re.search(rb"\0(3\.\d+\.\d+)\0", data)):
        found.append(_named("sqlite", seen[1].decode(), data))
    if seen_ffi := re.match(r"libffi(?:\.so\.|[-.])(\d+)", base):
        note = "its bytes name no release; this is the number of its interface"
        found.append(_named("libffi", seen_ffi[1], data)._replace(note=note))
    if base.startswith("liblzma") and (seen := re.search(rb"\0(5\.\d+\.\d+)\0", data)):
        found.append(_named("xz", seen[1].decode(), data))
    return found


def _named(name: str, version: str, data: bytes) -> Part:
    return Part(name, version, _sha256(data), f"pkg:generic/{name}@{version}")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
