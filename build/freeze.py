"""Make the executable and the archive: `python3 build/freeze.py --write [--twice] [--wheels DIR]`.

Makes `dist/airelays`, one file that runs by itself, with a copy that is named for a release, and
`dist/airelays-VERSION-SYSTEM-MACHINE.tar.gz`, a folder, which starts faster: for services, packages. With PyInstaller
from `packaging/pyinstaller/airelays.spec`, in a private environment from `build/requirements/build.txt`. Prints
size, SHA-256 and the C library that is needed.

The same sources, Python and C library give the same bytes; `--twice` builds a second time and compares. With
`--wheels DIR` no index is asked: the folder must hold what build.txt lists.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from importlib.util import find_spec
from pathlib import Path

from elf_floor import glibc_floor
from packing import EpochError, source_epoch
from private import run_privately

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
SPEC = ROOT / "packaging" / "pyinstaller" / "airelays.spec"
LICENSES = ROOT / "packaging" / "licenses"


class FreezeError(Exception):
    """The executable cannot be made; the text says why and what to do."""


def version() -> str:
    """Return the program's version, read without importing it."""
    text = (ROOT / "airelays" / "__init__.py").read_text(encoding="utf-8")
    return text.split('__version__ = "')[1].split('"')[0]


def target_name() -> str:
    """Return VERSION-SYSTEM-MACHINE as the archive is called."""
    system = {"Darwin": "macos"}.get(platform.system(), platform.system().lower())
    if system == "linux" and "musl" in (sysconfig.get_config_var("MULTIARCH") or ""):
        system = "linux-musl"
    return f"{version()}-{system}-{platform.machine().lower()}"


def take_sources(folder: Path) -> None:
    """Copy what is frozen into `folder`: nothing that is edited meanwhile gets in between, nor a stray file."""
    clean = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("airelays", "packaging"):
        shutil.copytree(ROOT / name, folder / name, ignore=clean)


def write_notices(folder: Path) -> None:
    """Put every licence that an executable needs beside it into `folder`."""
    from importlib.metadata import distribution

    folder.mkdir(parents=True)
    shutil.copy(ROOT / "LICENSE", folder / "airelays.txt")
    for path in LICENSES.glob("*.txt"):
        shutil.copy(path, folder)
    for package in ("h11", "certifi", "pyinstaller"):
        files = distribution(package).files or []
        found = [f for f in files if f.name.upper().startswith(("LICENSE", "LICENCE", "COPYING"))]
        if not found:
            raise FreezeError(f"the licence of {package} is missing in this environment")
        shutil.copy(str(found[0].locate()), folder / f"{package}.txt")
    stdlib = Path(sysconfig.get_path("stdlib"))
    for place in (stdlib / "LICENSE.txt", Path(sys.base_prefix) / "LICENSE.txt"):
        if place.is_file():
            shutil.copy(place, folder / "python.txt")
            return
    raise FreezeError(f"the licence of Python is not in {stdlib}; use a Python that brings it")


def write_release(path: Path) -> None:
    """Write what the executable says of itself: its name in a release, and the loader that it was made with."""
    from importlib.metadata import version as version_of

    text = f"name=airelays-{target_name()}\npyinstaller={version_of('pyinstaller')}\n"
    path.write_text(text, encoding="utf-8", newline="\n")


def freeze(sources: Path, out: Path, epoch: int) -> None:
    """Run PyInstaller; `out` then holds `airelays` and `airelays-folder/`."""
    with tempfile.TemporaryDirectory(prefix="airelays-freeze-") as scratch:
        notices = Path(scratch) / "licenses"
        write_notices(notices)
        write_release(Path(scratch) / "release.txt")
        environment = {
            **os.environ,
            "AIRELAYS_ROOT": str(sources),
            "AIRELAYS_NOTICES": str(notices),
            "AIRELAYS_RELEASE": str(Path(scratch) / "release.txt"),
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "SOURCE_DATE_EPOCH": str(epoch),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            # Its own cache of stripped libraries would outlive this build.
            "PYINSTALLER_CONFIG_DIR": str(Path(scratch) / "config"),
        }
        words = [sys.executable, "-m", "PyInstaller", "--clean", "--noconfirm", "--log-level=WARN"]
        spec = sources / SPEC.relative_to(ROOT)
        words += [f"--distpath={out}", f"--workpath={Path(scratch) / 'work'}", str(spec)]
        if subprocess.call(words, env=environment, cwd=ROOT) != 0:
            raise FreezeError("PyInstaller failed, see above")
    folder = out / "airelays-folder"
    suffix = ".exe" if os.name == "nt" else ""
    (folder / f"airelays-folder{suffix}").rename(folder / f"airelays{suffix}")
    refuse_pth(folder)


def refuse_pth(folder: Path) -> None:
    """Raise FreezeError for a .pth file: it runs code whenever Python starts (LiteLLM 1.82.8, March 2026)."""
    stray = [p.name for p in folder.rglob("*.pth")]
    if stray:
        raise FreezeError(f"the folder holds {', '.join(stray)}, which nothing of ours needs")


def write_archive(folder: Path, target: Path, root: str, epoch: int) -> None:
    """Pack `folder` as `root/` so that the same files give the same bytes."""
    with (
        open(target, "wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=9, fileobj=raw, mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in [folder, *sorted(folder.rglob("*"))]:
            name = root if path == folder else f"{root}/{path.relative_to(folder).as_posix()}"
            entry = archive.gettarinfo(path, name)
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = "root"
            entry.mtime = epoch
            entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
            if entry.isreg():
                with open(path, "rb") as file:
                    archive.addfile(entry, file)
            else:
                archive.addfile(entry)


def sha256(path: Path) -> str:
    """Return the digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def build(sources: Path, out: Path, epoch: int) -> tuple[Path, Path]:
    """Make both forms in `out`; return the executable and the archive."""
    freeze(sources, out, epoch)
    archive = out / f"airelays-{target_name()}.tar.gz"
    write_archive(out / "airelays-folder", archive, f"airelays-{version()}", epoch)
    return out / ("airelays.exe" if os.name == "nt" else "airelays"), archive


def _write(twice: bool) -> int:
    os.umask(0o022)
    epoch = source_epoch()
    with tempfile.TemporaryDirectory(prefix="airelays-dist-") as scratch:
        sources = Path(scratch) / "sources"
        take_sources(sources)
        made = build(sources, Path(scratch) / "first", epoch)
        if twice:
            moved = sources.rename(Path(scratch) / "sources of the second")
            again = build(moved, Path(scratch) / "second", epoch)
            for one, other in zip(made, again, strict=True):
                if sha256(one) != sha256(other):
                    raise FreezeError(f"{one.name} came out different the second time")
            print("built twice: the same bytes")
        DIST.mkdir(exist_ok=True)
        suffix = ".exe" if os.name == "nt" else ""
        shutil.copy(made[0], DIST / made[0].name)
        for path, name in zip(
            made, (f"airelays-{target_name()}{suffix}", made[1].name), strict=True
        ):
            shutil.copy(path, DIST / name)
            print(f"dist/{name}: {path.stat().st_size:,} bytes, sha256 {sha256(path)}")
        floor, by_file = glibc_floor(Path(scratch) / "first" / "airelays-folder")
        if by_file:
            print(f"glibc floor: {floor} (over {len(by_file)} ELF files of the folder)")
    return 0


def main(arguments: list[str]) -> int:
    """Build; return the exit code."""
    parser = argparse.ArgumentParser(prog="build/freeze.py")
    parser.add_argument("--write", action="store_true", required=True)
    parser.add_argument("--twice", action="store_true", help="build again and compare")
    parser.add_argument("--wheels", metavar="DIR", type=Path, help="folder of packages; no index")
    given = parser.parse_args(arguments)
    if find_spec("PyInstaller") is None:
        return run_privately(
            "PyInstaller is not installed",
            __file__,
            arguments,
            name=".venv-build",
            lock="build.txt",
            wheels=given.wheels,
        )
    try:
        return _write(given.twice)
    except (FreezeError, EpochError, OSError) as error:
        sys.stderr.write(f"build/freeze.py: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
