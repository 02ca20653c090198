"""`selfcheck`: digests of this copy of the program, what is inside, the age of its certificates. Layer: commands.

The digest of a part is one SHA-256 over its files in the order of their names, each as `NAME SIZE\\n` and its bytes.
It is the same for a checkout, a wheel and the one-file edition of one release. An executable holds compiled code, so
there it is the digest of the file that was started, as SHA256SUMS lists it.
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
from airelays.host.form import program_form
from airelays.net.trust import Trust
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console

PARTS = ("airelays", "h11", "certifi")
CARRIED = (".py", ".md", ".pem")
Read = Callable[[str], bytes]


def run(args: Arguments, console: Console) -> int:
    """Show what this copy is made of. Always 0: whether the digests are right, only a trusted list can say."""
    facts = _facts()
    if args.has("--json"):
        console.json(facts)
        return 0
    console.title("Selfcheck")
    console.section("Program")
    console.field("Version", __version__)
    console.field("Form", facts["form"])
    if facts["executable_sha256"]:
        console.field("Executable", facts["executable_sha256"])
    for part in PARTS:
        found = facts["parts"].get(part)
        if found is not None:
            console.field(part, f"{found['sha256']} ({found['files']} files)")
    console.field("Modules", len(facts["modules"]))
    console.section("Certificates inside")
    for label, name in (("Release", "version"), ("Authorities", "count"), ("SHA-256", "sha256")):
        console.field(label, facts["ca_bundle"][name])
    console.section("Certificates in use")
    for label, name in (("Source", "source"), ("Path", "path"), ("Date", "date")):
        console.field(label, facts["trust"][name])
    console.steps(["airelays selfcheck --json", "compare with SHA256SUMS of the release"])
    return 0


def _facts() -> dict[str, Any]:
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
        "executable_sha256": _file_digest(sys.executable) if form == "executable" else None,
        "parts": parts,
        "modules": names if form == "executable" else _modules(names),
        "ca_bundle": _ca_bundle(),
        "trust": Trust().describe(),
    }


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
    import certifi

    found: dict[str, str] = {}
    # h11 is brought in by the one module that may import it.
    for module in (airelays, sys.modules["h11"], certifi):
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
    whole = hashlib.sha256()
    for name in names:
        data = read(name)
        whole.update(b"%s %d\n" % (name.encode(), len(data)) + data)
    return {"sha256": whole.hexdigest(), "files": len(names)}


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
