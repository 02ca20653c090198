"""Make the one-file edition: `python3 build/onefile.py --write | --check | --unpack DIR`.

`--write` makes `dist/airelays.py`: the package, h11 and certifi with the CA bundle, each file verbatim in a raw
string literal, below a short head that imports from them. `--check` says whether that file is what would be
written now. `--unpack DIR` puts the files back into a folder, for `diff -r`; it reads the file and runs nothing of it.
Each takes another place with `--file PATH`.

h11 and certifi come from the wheels in `--wheels DIR`, whose digests the locked list must name; else from this
Python, when it has the locked releases and every file has the digest that its RECORD names; else from the private
environment of the launcher.
"""

from __future__ import annotations

import argparse
import ast
import base64
import csv
import hashlib
import io
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from private import run_privately

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "dist" / "airelays.py"
LOCK = ROOT / "build" / "requirements" / "run.txt"
PACKAGES = ("h11", "certifi")
CARRIED = (".py", ".md", ".html", ".css", ".js")
FENCE = "'" * 3
# The bundle is one file in both packages' wheels; what else lies in them is not needed to run.
LEFT_OUT = re.compile(r"(^|/)(tests/|__pycache__/|__main__\.py$|py\.typed$)")

HEAD = ROOT / "build" / "onefile_head.py"
TAIL = """
if __name__ == "__main__":
    sys.exit(main())
"""


class BuildError(Exception):
    """The file cannot be made; the text says why and what to do."""


def compose(files: dict[str, str]) -> str:
    """Return the text of the one file that carries `files` (name -> text)."""
    digest = digest_of(files)
    head = (
        HEAD.read_text(encoding="utf-8")
        .replace("@VERSION@", _version(files["airelays/__init__.py"]))
        .replace("@H11@", _version(files["h11/_version.py"]))
        .replace("@CERTIFI@", _version(files["certifi/__init__.py"]))
        .replace("@DIGEST@", digest)
    )
    parts, line = [head], head.count("\n") + 1
    for name in sorted(files, key=_order):
        text = files[name]
        if FENCE in text or "\r" in text or "\0" in text:
            raise BuildError(f"{name} cannot stand in a raw literal; change that text")
        if text.endswith(("\\", "'")):
            raise BuildError(f"{name} does not end in a line break; add one")
        # The literal begins on the line of its name, so that its first line is that line.
        parts.append(f'FILES["{name}"] = ({line}, r{FENCE}{text}{FENCE})\n')
        line += text.count("\n") + 1
    return "".join(parts) + TAIL


def digest_of(files: dict[str, str]) -> str:
    """Return one SHA-256 over all names and texts: what `version --digests` computes from the running program."""
    whole = hashlib.sha256()
    for name in sorted(files):
        data = files[name].encode()
        whole.update(b"%s %d\n" % (name.encode(), len(data)) + data)
    return whole.hexdigest()


def _order(name: str) -> tuple[bool, bool, str]:
    """Modules first, ours before theirs; the long bundle last."""
    return (not name.endswith(".py"), not name.startswith("airelays/"), name)


def _version(source: str) -> str:
    found = re.search(r'^__version__ = "([^"]+)"', source, re.MULTILINE)
    if found is None:
        raise BuildError("a package does not say its version")
    return found.group(1)


def collect(wheels: Path | None = None) -> dict[str, str]:
    """Return everything that the file carries: name -> text. Raises BuildError."""
    files = {}
    for path in sorted((ROOT / "airelays").rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in CARRIED and "__pycache__" not in name:
            files[name] = path.read_text(encoding="utf-8")
    files["LICENSE"] = (ROOT / "LICENSE").read_text(encoding="utf-8")
    for package in PACKAGES:
        files.update(_package(package, wheels))
    return files


def _package(package: str, wheels: Path | None) -> dict[str, str]:
    version, digests = locked(package)
    source = _wheel_files if wheels is not None else _installed_files
    found = {}
    for name, data in source(package, version, digests, wheels):
        if re.match(rf"{package}/", name) and not LEFT_OUT.search(name):
            found[name] = data.decode()
        elif re.search(r"\.dist-info/(licenses/)?LICEN[CS]E(\.\w+)?$", name):
            found[f"{package}/LICENSE"] = data.decode()
    if f"{package}/__init__.py" not in found or f"{package}/LICENSE" not in found:
        raise BuildError(f"{package} {version} is not whole: module or licence is missing")
    return found


def locked(package: str) -> tuple[str, set[str]]:
    """Return the release that the locked list names, and the digests of its archives."""
    found = re.search(
        rf"^{package}==(\S+)((?: \\\n    --hash=sha256:\w+)+)", LOCK.read_text(), re.MULTILINE
    )
    if found is None:
        raise BuildError(f"{LOCK.relative_to(ROOT)} does not name {package}")
    return found.group(1), set(re.findall(r"sha256:(\w+)", found.group(2)))


def _wheel_files(
    package: str, version: str, digests: set[str], wheels: Path | None
) -> Iterator[tuple[str, bytes]]:
    for path in sorted((wheels or Path()).glob(f"{package}-{version}-*.whl")):
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() not in digests:
            raise BuildError(f"{path} is not the archive that the locked list names; get it again")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name, archive.read(name)
        return
    raise BuildError(f"there is no {package}-{version}-*.whl in {wheels}; put it there")


def _installed_files(
    package: str, version: str, digests: set[str], wheels: Path | None
) -> Iterator[tuple[str, bytes]]:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = distribution(package)
    except PackageNotFoundError as error:
        raise MissingError(f"{package} is not installed") from error
    if found.version != version:
        raise MissingError(f"{package} is {found.version}; the locked list names {version}")
    for name, digest, _ in csv.reader((found.read_text("RECORD") or "").splitlines()):
        if not digest or name.startswith(".."):
            continue
        data = Path(str(found.locate_file(name))).read_bytes()
        made = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        if digest != f"sha256={made}":
            raise MissingError(f"{name} was changed after it was installed")
        yield name, data


class MissingError(BuildError):
    """This Python does not have a locked release, unchanged; a private environment will."""


def unpack(text: str) -> dict[str, str]:
    """Return the files that a one-file text carries, without running it. Raises BuildError."""
    files = {}
    for node in ast.parse(text).body:
        match node:
            case ast.Assign(
                targets=[ast.Subscript(value=ast.Name(id="FILES"), slice=ast.Constant(value=name))],
                value=ast.Tuple(elts=[_, ast.Constant(value=content)]),
            ):
                files[str(name)] = str(content)
    if not files:
        raise BuildError("this is not a one-file edition of AIRelays")
    return files


def _safe_target(folder: Path, name: str) -> Path:
    if name.startswith("/") or ".." in name.split("/") or "\\" in name:
        raise BuildError(f"the file names {name!r}, which would lie outside {folder}")
    return folder / name


def main(arguments: list[str]) -> int:
    """Do one of the three; return the exit code."""
    parser = argparse.ArgumentParser(prog="build/onefile.py")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="make the file")
    what.add_argument("--check", action="store_true", help="exit 1 if it is not current")
    what.add_argument("--unpack", metavar="DIR", type=Path, help="put its files into DIR")
    parser.add_argument("--file", metavar="PATH", type=Path, default=TARGET)
    parser.add_argument("--wheels", metavar="DIR", type=Path, help="folder with the two wheels")
    given = parser.parse_args(arguments)
    try:
        if given.unpack is not None:
            return _unpack(given.file, given.unpack)
        text = compose(collect(given.wheels))
    except MissingError as error:
        return run_privately(
            str(error), __file__, arguments, name=".venv", lock="run.txt", wheels=None
        )
    except (BuildError, OSError) as error:
        sys.stderr.write(f"build/onefile.py: {error}\n")
        return 1
    if given.write:
        given.file.parent.mkdir(parents=True, exist_ok=True)
        given.file.write_text(text, encoding="utf-8", newline="\n")
        given.file.chmod(0o755)
        print(f"{given.file}: {len(text.encode()):,} bytes")
        return 0
    if given.file.is_file() and given.file.read_bytes() == text.encode():
        return 0
    sys.stderr.write(f"{given.file} is not current: python3 build/onefile.py --write\n")
    return 1


def _unpack(file: Path, folder: Path) -> int:
    if folder.exists() and any(folder.iterdir()):
        raise BuildError(f"{folder} is not empty; name a new folder")
    for name, content in unpack(file.read_text(encoding="utf-8")).items():
        target = _safe_target(folder, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
