"""Make a Debian package around the one-file edition: `python3 build/deb.py --write`.

`dist/airelays_VERSION_all.deb` holds the one file, unchanged, with a starter as /usr/bin/airelays; the systemd units,
the user that the machine-wide one runs as; the manual page, completions, licences. Written by hand (ar and tar,
deb(5)): no Debian tool is needed, and the same sources give the same bytes on every Python. Its maintainer scripts
(`packaging/debian`) do what debhelper's would: it needs python3 of Debian 12 or newer.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
import tarfile
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import onefile
from freeze import version
from packing import EpochError, gzipped, source_epoch
from private import run_privately

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
PACKAGING = ROOT / "packaging"
# The one file keeps its bytes, so that its digest is the one in SHA256SUMS.
PROGRAM = "usr/share/airelays/airelays.py"
STARTER = f"""\
#!/bin/sh
# What was typed, for commands that the program tells to type.
export AIRELAYS_STARTED_AS=airelays
exec /usr/bin/python3 -I /{PROGRAM} "$@"
"""
SCRIPTS = ("postinst", "prerm", "postrm")
# dpkg wants an address. This one is of the project's account at its host, which takes no mail for it.
MAINTAINER = "The AIRelays authors <airelays@users.noreply.github.com>"
CONTROL = """\
Package: airelays
Version: {version}
Architecture: all
Maintainer: {maintainer}
Installed-Size: {kib}
Depends: init-system-helpers (>= 1.54~), passwd, python3 (>= 3.11)
Recommends: ca-certificates
Section: net
Priority: optional
Homepage: https://github.com/airelays/airelays
Description: local OpenAI-compatible relay for one person's own upstream login
 Serves OpenAI's API to client programs on this machine and passes their
 requests on to a ChatGPT subscription, to any OpenAI-compatible model server,
 or to the built-in demo.
 .
 The service is not started automatically. To start it, run
 systemctl enable --now airelays, or for one user
 systemctl --user enable --now airelays.
"""
CHANGELOG = """\
airelays ({version}) unstable; urgency=medium

  * Release {version}.

 -- {maintainer}  {date}
"""
COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: AIRelays

{airelays}
The file /usr/bin/airelays carries h11 and the certificate authorities of certifi,
each unmodified, under the licences that follow.

h11
===

{h11}
certifi
=======

{certifi}"""


def contents(files: dict[str, str], epoch: int) -> dict[str, tuple[int, bytes]]:
    """Return what is installed: path -> (mode, bytes)."""
    copyright_text = COPYRIGHT.format(
        airelays=files["LICENSE"], h11=files["h11/LICENSE"], certifi=files["certifi/LICENSE"]
    )
    date = format_datetime(datetime.fromtimestamp(epoch, UTC))
    changelog = CHANGELOG.format(version=version(), maintainer=MAINTAINER, date=date)
    manual = (PACKAGING / "man/airelays.1").read_bytes()
    found = {
        "usr/bin/airelays": (0o755, STARTER.encode()),
        PROGRAM: (0o755, onefile.compose(files).encode()),
        "usr/lib/sysusers.d/airelays.conf": _file(PACKAGING / "sysusers/airelays.conf"),
        "usr/share/bash-completion/completions/airelays": _file(
            PACKAGING / "completions/airelays.bash"
        ),
        "usr/share/fish/vendor_completions.d/airelays.fish": _file(
            PACKAGING / "completions/airelays.fish"
        ),
        "usr/share/zsh/vendor-completions/_airelays": _file(PACKAGING / "completions/_airelays"),
        "usr/share/lintian/overrides/airelays": _file(PACKAGING / "debian/lintian-overrides"),
        "usr/share/man/man1/airelays.1.gz": (0o644, gzipped(manual)),
        "usr/share/doc/airelays/changelog.gz": (0o644, gzipped(changelog.encode())),
        "usr/share/doc/airelays/copyright": (0o644, copyright_text.encode()),
    }
    for scope, folder in (("system", "systemd"), ("user", "systemd/user")):
        for name in units(folder):
            found[f"usr/lib/systemd/{scope}/{name}"] = _file(PACKAGING / folder / name)
    return found


def units(folder: str, *suffixes: str) -> list[str]:
    """Return the names of the units in a folder of `packaging/`; sockets first, as they are stopped first."""
    found = [p.name for p in (PACKAGING / folder).glob("airelays.*") if p.is_file()]
    kept = [name for name in found if not suffixes or name.endswith(suffixes)]
    return sorted(kept, key=lambda name: (not name.endswith(".socket"), name))


def maintainer_scripts() -> dict[str, tuple[int, bytes]]:
    """Return the scripts that dpkg runs, with the units of this release filled in."""
    words = {
        "@UNITS@": " ".join(units("systemd")),
        "@SERVICES@": " ".join(units("systemd", ".service")),
        "@USER_UNITS@": " ".join(units("systemd/user")),
    }
    found = {}
    for name in SCRIPTS:
        text = (PACKAGING / "debian" / name).read_text(encoding="utf-8")
        for mark, value in words.items():
            text = text.replace(mark, value)
        found[name] = (0o755, text.encode())
    return found


def _file(path: Path) -> tuple[int, bytes]:
    return 0o644, path.read_bytes()


def make_deb(files: dict[str, tuple[int, bytes]], epoch: int, release: str = "") -> bytes:
    """Return the package of `release`: an ar archive of the format's version, the control files, the data."""
    kib = sum((len(data) + 1023) // 1024 for _, data in files.values())
    sums = "".join(f"{hashlib.md5(d).hexdigest()}  {n}\n" for n, (_, d) in sorted(files.items()))
    control = {
        "control": (
            0o644,
            CONTROL.format(version=release or version(), kib=kib, maintainer=MAINTAINER).encode(),
        ),
        # Debian's own check of installed files (dpkg --verify) knows MD5 only; SHA256SUMS guards the package.
        "md5sums": (0o644, sums.encode()),
        **maintainer_scripts(),
    }
    members = [
        (b"debian-binary", b"2.0\n"),
        (b"control.tar.gz", _tar(control, epoch)),
        (b"data.tar.gz", _tar(files, epoch)),
    ]
    parts = [b"!<arch>\n"]
    for name, data in members:
        parts.append(b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name, epoch, 0, 0, b"100644", len(data)))
        parts.append(data + b"\n" * (len(data) % 2))
    return b"".join(parts)


def _tar(files: dict[str, tuple[int, bytes]], epoch: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for folder in sorted({p.as_posix() for name in files for p in Path(name).parents}):
            entry = tarfile.TarInfo("./" if folder == "." else f"./{folder}/")
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, epoch
            entry.uname = entry.gname = "root"
            archive.addfile(entry)
        for name, (mode, data) in sorted(files.items()):
            entry = tarfile.TarInfo(f"./{name}")
            entry.size, entry.mode, entry.mtime = len(data), mode, epoch
            entry.uname = entry.gname = "root"
            archive.addfile(entry, io.BytesIO(data))
    return gzipped(packed.getvalue(), epoch)


def main(arguments: list[str]) -> int:
    """Make the package; return the exit code."""
    parser = argparse.ArgumentParser(prog="build/deb.py")
    parser.add_argument("--write", action="store_true", required=True)
    parser.add_argument("--out", metavar="DIR", type=Path, default=DIST)
    parser.add_argument("--wheels", metavar="DIR", type=Path, help="folder with the two wheels")
    given = parser.parse_args(arguments)
    try:
        epoch = source_epoch()
        files = contents(onefile.collect(given.wheels), epoch)
    except onefile.MissingError as error:
        return run_privately(
            str(error), __file__, arguments, name=".venv", lock="run.txt", wheels=None
        )
    except (onefile.BuildError, EpochError, OSError) as error:
        sys.stderr.write(f"build/deb.py: {error}\n")
        return 1
    path = given.out / f"airelays_{version()}_all.deb"
    given.out.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make_deb(files, epoch))
    print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
