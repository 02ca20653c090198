"""Put beside the artefacts what a user checks them with: `python3 build/release.py --write [--tag vX.Y.Z]`.

For everything in `dist/`: an SBOM (CycloneDX 1.6), the notices of third parties, the Homebrew formula with version and
digest filled in, and `SHA256SUMS`, which `sha256sum -c` reads. `--tag` refuses a tag that is not the program's version.
`--check` compares the sums again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sqlite3
import ssl
import sys
import uuid
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from freeze import version
from onefile import locked
from packing import EpochError, source_epoch

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
SUMS = "SHA256SUMS"
NOTICES = "THIRD-PARTY-NOTICES.txt"
FORMULA = "airelays.rb"


class ReleaseError(Exception):
    """The folder cannot be released as it is; the text says why."""


def artefacts(folder: Path) -> list[Path]:
    """Return the files of a release, without what this script makes; refuses an unknown kind."""
    own = {SUMS, NOTICES, FORMULA, sbom_name()}
    found = sorted(p for p in folder.iterdir() if p.is_file() and p.name not in own)
    for path in found:
        if not path.name.startswith("airelays"):
            raise ReleaseError(f"{path} is not of a release; remove it")
    if not found:
        raise ReleaseError(f"there is nothing in {folder}; build something first")
    return found


def sbom_name() -> str:
    """Return the name of the SBOM."""
    return f"airelays-{version()}.cdx.json"


def sbom(files: list[Path], epoch: int) -> dict[str, Any]:
    """Return the bill of materials: the two packages in every form, and what an executable adds."""
    components = [_package("h11", "MIT"), _package("certifi", "MPL-2.0")]
    frozen = any(_is_frozen(p) for p in files)
    if frozen:
        components += _interpreter()
    main = {
        "type": "application",
        "bom-ref": f"airelays@{version()}",
        "name": "airelays",
        "version": version(),
        "licenses": [{"license": {"id": "MIT"}}],
        "purl": f"pkg:pypi/airelays@{version()}",
        "components": [_artefact(path) for path in files],
    }
    seed = json.dumps([main, components], sort_keys=True)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # Made from the content, so that the same artefacts have the same bill.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, seed)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": main,
        },
        "components": components,
        "dependencies": [
            {"ref": main["bom-ref"], "dependsOn": [c["bom-ref"] for c in components]},
            *({"ref": c["bom-ref"]} for c in components),
        ],
    }


def _is_frozen(path: Path) -> bool:
    """Executables and archives are named for their system: airelays-VERSION-SYSTEM-MACHINE."""
    if path.suffix in (".whl", ".deb"):
        return False
    return path.name in ("airelays", "airelays.exe") or path.name.count("-") >= 3


def _artefact(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {
        "type": "file",
        "bom-ref": f"file:{path.name}",
        "name": path.name,
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }


def _package(name: str, license_id: str) -> dict[str, Any]:
    release, digests = locked(name)
    return {
        "type": "library",
        "bom-ref": f"{name}@{release}",
        "name": name,
        "version": release,
        "licenses": [{"license": {"id": license_id}}],
        "purl": f"pkg:pypi/{name}@{release}",
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in sorted(digests)],
    }


def _interpreter() -> list[dict[str, Any]]:
    """Return what PyInstaller takes from the Python that this runs on."""
    openssl = ssl.OPENSSL_VERSION.split()[1]
    rows = [
        ("cpython", platform.python_version(), "PSF-2.0", "pkg:generic/cpython@{}"),
        ("openssl", openssl, "Apache-2.0", "pkg:generic/openssl@{}"),
        ("sqlite", sqlite3.sqlite_version, "blessing", "pkg:generic/sqlite@{}"),
        ("zlib", zlib.ZLIB_RUNTIME_VERSION, "Zlib", "pkg:generic/zlib@{}"),
    ]
    return [
        {
            "type": "library",
            "bom-ref": f"{name}@{release}",
            "name": name,
            "version": release,
            "licenses": [{"license": {"id": license_id}}],
            "purl": purl.format(release),
        }
        for name, release, license_id, purl in rows
    ]


def notices() -> str:
    """Return all licences of third parties in one text."""
    page = (ROOT / "airelays" / "docs" / "licenses.md").read_text(encoding="utf-8")
    parts = [page]
    for path in sorted((ROOT / "packaging" / "licenses").glob("*.txt")):
        parts.append(
            f"{'=' * 78}\n{path.stem} (in executables)\n\n{path.read_text(encoding='utf-8')}"
        )
    parts.append(
        f"{'=' * 78}\nCPython (in executables)\n\n"
        "The licence of the Python interpreter is in the folder `licenses` of the archive, as python.txt.\n"
    )
    return "\n".join(parts)


def formula(one_file: Path) -> str:
    """Return the Homebrew formula for this one-file edition."""
    text = (ROOT / "packaging" / "homebrew" / FORMULA).read_text(encoding="utf-8")
    digest = hashlib.sha256(one_file.read_bytes()).hexdigest()
    filled = text.replace("@VERSION@", version()).replace("@SHA256@", digest)
    return filled.partition("\n")[2]


def sums(files: list[Path]) -> str:
    """Return the lines that `sha256sum -c` reads."""
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files
    )


def write(folder: Path) -> None:
    """Write bill, notices and sums into `folder`."""
    files = artefacts(folder)
    bill = json.dumps(sbom(files, source_epoch()), indent=2) + "\n"
    (folder / sbom_name()).write_text(bill, encoding="utf-8")
    (folder / NOTICES).write_text(notices(), encoding="utf-8")
    listed = [*files, folder / sbom_name(), folder / NOTICES]
    if (folder / "airelays.py").is_file():
        (folder / FORMULA).write_text(formula(folder / "airelays.py"), encoding="utf-8")
        listed.append(folder / FORMULA)
    (folder / SUMS).write_text(sums(sorted(listed)), encoding="utf-8")


def check(folder: Path) -> list[str]:
    """Return the names of files that are missing or differ from SHA256SUMS."""
    wrong = []
    for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            wrong.append(name)
    return wrong


def main(arguments: list[str]) -> int:
    """Write or check; return the exit code."""
    parser = argparse.ArgumentParser(prog="build/release.py")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true")
    what.add_argument("--check", action="store_true")
    parser.add_argument("--dist", metavar="DIR", type=Path, default=DIST)
    parser.add_argument("--tag", help="the tag that is released; must be v and the version")
    given = parser.parse_args(arguments)
    try:
        if given.tag and given.tag != f"v{version()}":
            raise ReleaseError(f"the tag is {given.tag} and the program is {version()}")
        if given.write:
            write(given.dist)
            return 0
        wrong = check(given.dist)
    except (ReleaseError, EpochError, OSError) as error:
        sys.stderr.write(f"build/release.py: {error}\n")
        return 1
    for name in wrong:
        sys.stderr.write(f"{name} is not what SHA256SUMS says\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
