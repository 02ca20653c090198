"""`version --digests`: digests listed in SHA256SUMS, the contents, and the age of the certificates. Layer: commands.

A part (this program, h11, certifi) is identified by its list: a line as of `sha256sum` for each file, by name. A
release contains these lists, so SHA256SUMS has the digest of each list; it is the same for a checkout, a wheel, the
Debian package and the one-file edition. That edition and an executable are files of the release themselves. An
executable in a folder is identified by the list of that folder.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from typing import Any

import airelays
import airelays.protocol.http1
from airelays import __version__
from airelays.hints import hint
from airelays.host.form import program_form
from airelays.host.onefile import unpacked_folder
from airelays.net.trust import Trust
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console

PARTS = ("airelays", "h11", "certifi")
CARRIED = (".py", ".md", ".html", ".css", ".js", ".pem")
Read = Callable[[str], bytes]


def run(args: Arguments, console: Console) -> int:
    """Show what this copy is made of. Always 0: whether the digests are right, only a trusted list can say."""
    facts = _facts()
    if args.has("--json"):
        console.json(facts)
        return 0
    console.title("Digests")
    console.section("Program")
    console.field("Version", __version__)
    console.field("Form", facts["form"])
    console.field("Modules", len(facts["modules"]))
    console.section("As in SHA256SUMS")
    for name, digest in facts["digests"].items():
        console.line(f"  {digest}  {name}")
    console.section("Certificates inside")
    for label, name in (("Release", "version"), ("Authorities", "count"), ("SHA-256", "sha256")):
        console.field(label, facts["ca_bundle"][name])
    console.section("Certificates in use")
    for label, name in (("Source", "source"), ("Path", "path"), ("Date", "date")):
        console.field(label, facts["trust"][name])
    console.steps([hint("version --digests --json"), hint("version --verify FILE")])
    return 0


def _facts() -> dict[str, Any]:
    import certifi  # noqa: F401  looked at by name, as h11 is

    form = program_form()
    names, read = _inventory(form)
    parts = {
        part: _digest([n for n in names if n.startswith(part + "/")], read)
        for part in PARTS
        if any(n.startswith(part + "/") for n in names)
    }
    return {
        "version": __version__,
        "form": form,
        "digests": _executable_digests() if form == "executable" else _digests(form, parts),
        "executable_sha256": _file_digest(sys.executable) if form == "executable" else None,
        "parts": {} if form == "executable" else parts,
        "modules": names if form == "executable" else _modules(names),
        "ca_bundle": _ca_bundle(),
        "trust": Trust().describe(),
    }


def _digests(form: str, parts: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return name -> digest as SHA256SUMS has them, of a program whose files are text."""
    found = {}
    path = getattr(airelays.__spec__.loader, "path", None) if airelays.__spec__ else None
    if form == "one-file" and path:
        found["airelays.py"] = _file_digest(path)
    versions = {part: str(sys.modules[part].__version__) for part in PARTS}
    for part, facts in parts.items():
        found[f"{part}-{versions[part]}.files"] = facts["sha256"]
    return found


def _executable_digests() -> dict[str, str]:
    """Return the same of an executable: its own digest, or that of the list of its folder."""
    inside = str(getattr(sys, "_MEIPASS", ""))
    with open(os.path.join(inside, "release.txt"), encoding="utf-8") as file:
        name = dict(line.rstrip().split("=", 1) for line in file)["name"]
    if unpacked_folder():
        suffix = ".exe" if sys.platform == "win32" else ""
        return {name + suffix: _file_digest(sys.executable)}
    folder = os.path.dirname(os.path.realpath(inside))
    program = "airelays.exe" if sys.platform == "win32" else "airelays"
    found = {program: sys.executable}
    for here, _, names in os.walk(os.path.realpath(inside)):
        for path in (os.path.join(here, n) for n in names):
            if not os.path.islink(path):
                found[os.path.relpath(path, folder).replace(os.sep, "/")] = path
    lines = "".join(f"{_file_digest(found[n])}  {n}\n" for n in sorted(found))
    return {f"{name}.tar.gz.files": hashlib.sha256(lines.encode()).hexdigest()}


def _modules(names: list[str]) -> list[str]:
    return [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in names
        if name.endswith(".py")
    ]


def _inventory(form: str) -> tuple[list[str], Read]:
    """Return the names of all files of the three parts, sorted, and how to read one."""
    spec = airelays.__spec__
    loader: Any = spec.loader if spec is not None else None
    if form == "one-file":
        start = os.path.dirname(os.path.dirname(airelays.__file__))
        names = [n for n in loader.names() if n.endswith(CARRIED)]
        return names, lambda name: bytes(loader.get_data(f"{start}/{name}"))
    if form == "executable":
        return sorted(_frozen_modules()), lambda name: b""
    found: dict[str, str] = {}
    # h11 is loaded by the only module that is allowed to import it.
    for module in (airelays, sys.modules["h11"], sys.modules["certifi"]):
        found.update(_walk(os.path.dirname(str(module.__file__))))

    def read(name: str) -> bytes:
        with open(found[name], "rb") as file:
            return file.read()

    return sorted(found), read


def _walk(folder: str) -> dict[str, str]:
    """Return name -> path of what the one-file edition carries of a package's folder."""
    found = {}
    root = os.path.dirname(folder)
    for here, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if f not in ("__pycache__", "tests")]
        for file in files:
            if file.endswith(CARRIED) and (file != "__main__.py" or here == _home()):
                path = os.path.join(here, file)
                found[os.path.relpath(path, root).replace(os.sep, "/")] = path
    return found


def _home() -> str:
    return os.path.dirname(airelays.__file__)


def _frozen_modules() -> list[str]:
    """Return the dotted names of all modules of ours inside an executable."""
    import pkgutil

    found = ["airelays"]
    found += [m.name for m in pkgutil.walk_packages(airelays.__path__, "airelays.")]
    return found


def _digest(names: list[str], read: Read) -> dict[str, Any]:
    lines = "".join(f"{hashlib.sha256(read(name)).hexdigest()}  {name}\n" for name in sorted(names))
    return {"sha256": hashlib.sha256(lines.encode()).hexdigest(), "files": len(names)}


def _file_digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ca_bundle() -> dict[str, Any]:
    from airelays.net.trust import bundled_certificates

    version, text = bundled_certificates()
    return {
        "version": version,
        "count": text.count("-----BEGIN CERTIFICATE-----"),
        "sha256": hashlib.sha256(text.encode("ascii")).hexdigest(),
    }
