"""Put beside the artefacts what a user checks them with: `python3 build/release.py --write [--tag vX.Y.Z]`.

For everything in `dist/`: a bill of materials each (CycloneDX 1.6), read from the artefact itself; the lists of files
whose digests `airelays version --digests` prints; the notices of third parties; the Homebrew formula with version and
digest filled in; and `SHA256SUMS`, which `sha256sum -c` reads. Prints what each artefact needs, and refuses one that
needs a newer glibc than README says. `--tag` refuses a tag that is not the program's version.

`--check` compares the sums again. `--sign KEY` signs them with an SSH key (a file, or a public key whose private half
is in an agent or a token) and refuses a key that this release does not carry. `--epoch` prints the time of the last
commit, for SOURCE_DATE_EPOCH.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contents import PARTS, Contents, ContentsError, carried, listing, read_contents
from elf_floor import version_key
from freeze import version
from onefile import unpack
from packing import EpochError, commit_epoch, source_epoch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from airelays.commands.release_keys import NAMESPACE  # noqa: E402
from airelays.commands.verify import SUMS, check_signature  # noqa: E402
from airelays.errors import ConfigError  # noqa: E402

DIST = ROOT / "dist"
NOTICES = "THIRD-PARTY-NOTICES.txt"
FORMULA = "airelays.rb"
BILL = ".cdx.json"
LIST = ".files"
# What README and the documentation say. The executables are made on Debian 12, which has it.
GLIBC = "2.36"


class ReleaseError(Exception):
    """The folder cannot be released as it is; the text says why."""


def artefacts(folder: Path) -> list[Path]:
    """Return the files of a release, without what this script makes; refuses an unknown kind."""
    own = {SUMS, f"{SUMS}.sig", NOTICES, FORMULA}
    found = sorted(
        p
        for p in folder.iterdir()
        if p.is_file() and p.name not in own and not p.name.endswith((BILL, LIST))
    )
    for path in found:
        if not path.name.startswith("airelays"):
            raise ReleaseError(f"{path} is not of a release; remove it")
    if not found:
        raise ReleaseError(f"there is nothing in {folder}; build something first")
    return found


def sbom(path: Path, contents: Contents, epoch: int) -> dict[str, Any]:
    """Return the bill of materials of one artefact."""
    release = version()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    components = [part.component(f"{n}:{part.name}") for n, part in enumerate(contents.parts)]
    main = {
        "type": "application",
        "bom-ref": path.name,
        "name": "airelays",
        "version": release,
        "licenses": [{"license": {"id": "MIT"}}],
        # pkg:pypi/airelays is another program.
        "purl": f"pkg:generic/airelays@{release}",
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "properties": [
            {"name": "airelays:file", "value": path.name},
            {"name": "airelays:needs", "value": contents.needs},
        ],
    }
    seed = json.dumps([main, components], sort_keys=True)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # Made from the content, so that the same artefact has the same bill.
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


def lists(path: Path, contents: Contents) -> dict[str, str]:
    """Return name -> text of the lists that `version --digests` makes again in a running copy of this artefact."""
    if path.name == "airelays.py":
        files = unpack(path.read_text(encoding="utf-8"))
        releases = {part.name: part.version for part in contents.parts} | {"airelays": version()}
        return {f"{p}-{releases[p]}{LIST}": listing(carried(files, p)) for p in PARTS}
    if path.name.endswith(".tar.gz") and contents.files:
        return {path.name + LIST: listing(contents.files)}
    return {}


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


def refuse_newer_glibc(name: str, floor: str) -> None:
    """Raise ReleaseError for an executable that would not start where README says that it does."""
    if version_key(floor) > version_key(GLIBC):
        raise ReleaseError(
            f"{name} needs glibc {floor}, and README says {GLIBC}; build it on an older system"
        )


def write(folder: Path) -> list[str]:
    """Write bills, lists, notices and sums into `folder`; return a line for each artefact: what it needs."""
    files, epoch = artefacts(folder), source_epoch()
    made: dict[str, str] = {NOTICES: notices()}
    said = []
    for path in files:
        contents = read_contents(path)
        refuse_newer_glibc(path.name, contents.glibc)
        said.append(f"{path.name}: {contents.needs}")
        made[path.name + BILL] = json.dumps(sbom(path, contents, epoch), indent=2) + "\n"
        made |= lists(path, contents)
        if path.name == "airelays.py":
            made[FORMULA] = formula(path)
    for stale in folder.iterdir():
        if stale.name.endswith((BILL, LIST)) or stale.name == f"{SUMS}.sig":
            stale.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    listed = sorted([*files, *(folder / name for name in made)])
    (folder / SUMS).write_text(sums(listed), encoding="utf-8", newline="\n")
    return said


def check(folder: Path) -> list[str]:
    """Return the names of files that are missing or differ from SHA256SUMS."""
    wrong = []
    for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            wrong.append(name)
    return wrong


def sign(folder: Path, key: Path, signers: Path | None) -> str:
    """Sign SHA256SUMS; return the fingerprint of the key. Raises ReleaseError for a key that nobody could check."""
    signature = folder / f"{SUMS}.sig"
    signature.unlink(missing_ok=True)
    words = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(folder / SUMS)]
    try:
        done = subprocess.run(words)
    except FileNotFoundError as error:
        raise ReleaseError("ssh-keygen is missing; install OpenSSH") from error
    if done.returncode != 0 or not signature.is_file():
        raise ReleaseError(f"ssh-keygen did not sign with {key}, see above")
    try:
        named = None if signers is None else str(signers)
        return check_signature((folder / SUMS).read_bytes(), str(signature), named)
    except ConfigError as error:
        signature.unlink()
        raise ReleaseError(
            f"no user could check this signature: {error}; airelays/commands/release_keys.py has the keys"
        ) from error


def main(arguments: list[str]) -> int:
    """Write, check or sign; return the exit code."""
    parser = argparse.ArgumentParser(prog="build/release.py")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true")
    what.add_argument("--check", action="store_true")
    what.add_argument("--sign", metavar="KEY", type=Path, help="SSH key to sign SHA256SUMS with")
    what.add_argument("--epoch", action="store_true", help="print epoch=SECONDS")
    parser.add_argument("--dist", metavar="DIR", type=Path, default=DIST)
    parser.add_argument("--tag", help="the tag that is released; must be v and the version")
    parser.add_argument("--signers", metavar="FILE", type=Path, help="in place of the keys inside")
    given = parser.parse_args(arguments)
    try:
        if given.tag and given.tag != f"v{version()}":
            raise ReleaseError(f"the tag is {given.tag} and the program is {version()}")
        return _run(given)
    except (ReleaseError, ContentsError, EpochError, OSError) as error:
        sys.stderr.write(f"build/release.py: {error}\n")
    return 1


def _run(given: argparse.Namespace) -> int:
    wrong: list[str] = []
    if given.epoch:
        epoch = commit_epoch()
        if epoch is None:
            raise ReleaseError("there is no history here, so no time of a commit")
        print(f"epoch={epoch}")
    elif given.write:
        print(*write(given.dist), sep="\n")
    else:
        wrong = check(given.dist)
        for name in wrong:
            sys.stderr.write(f"{name} is not what SHA256SUMS says\n")
        if given.sign is not None and not wrong:
            print(f"signed by {sign(given.dist, given.sign, given.signers)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
