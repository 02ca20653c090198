"""Make a Debian package around the one-file edition: `python3 build/deb.py --write`.

`dist/airelays_VERSION_all.deb` holds the one file as /usr/bin/airelays, the systemd units, the manual page, the
completion and the licences. Written by hand (ar and tar, deb(5)): no Debian tool is needed, and the same sources give
the same bytes. It needs python3 of Debian 12 or newer.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import sys
import tarfile
from pathlib import Path

import onefile
from freeze import source_epoch, version
from private import run_privately

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
SHEBANG = "#!/usr/bin/env python3\n"
CONTROL = """\
Package: airelays
Version: {version}
Architecture: all
Maintainer: The AIRelays authors <airelays@localhost>
Installed-Size: {kib}
Depends: python3 (>= 3.11)
Recommends: ca-certificates
Section: net
Priority: optional
Description: local OpenAI-compatible relay for one person's own upstream login
 Speaks OpenAI's API to client programs on this machine and passes their
 requests on to a ChatGPT subscription, to any OpenAI-compatible model server,
 or to a demo that is built in.
 .
 The service is not started by itself: systemctl enable --now airelays, or
 for one user systemctl --user enable --now airelays.
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


def contents(files: dict[str, str]) -> dict[str, tuple[int, bytes]]:
    """Return what is installed: path -> (mode, bytes)."""
    text = onefile.compose(files)
    if not text.startswith(SHEBANG):
        raise onefile.BuildError("the one-file edition does not begin as expected")
    packaging = ROOT / "packaging"
    copyright_text = COPYRIGHT.format(
        airelays=files["LICENSE"], h11=files["h11/LICENSE"], certifi=files["certifi/LICENSE"]
    )
    return {
        "usr/bin/airelays": (0o755, ("#!/usr/bin/python3 -I\n" + text[len(SHEBANG) :]).encode()),
        "usr/lib/systemd/system/airelays.service": _file(packaging / "systemd/airelays.service"),
        "usr/lib/systemd/user/airelays.service": _file(packaging / "systemd/user/airelays.service"),
        "usr/share/bash-completion/completions/airelays": _file(
            packaging / "completions/airelays.bash"
        ),
        "usr/share/fish/vendor_completions.d/airelays.fish": _file(
            packaging / "completions/airelays.fish"
        ),
        "usr/share/man/man1/airelays.1.gz": (
            0o644,
            gzip.compress((packaging / "man/airelays.1").read_bytes(), 9, mtime=0),
        ),
        "usr/share/doc/airelays/copyright": (0o644, copyright_text.encode()),
    }


def _file(path: Path) -> tuple[int, bytes]:
    return 0o644, path.read_bytes()


def make_deb(files: dict[str, tuple[int, bytes]], epoch: int) -> bytes:
    """Return the package: an ar archive of the format's version, the control files, the data."""
    kib = sum((len(data) + 1023) // 1024 for _, data in files.values())
    sums = "".join(f"{hashlib.md5(d).hexdigest()}  {n}\n" for n, (_, d) in sorted(files.items()))
    control = {
        "control": (0o644, CONTROL.format(version=version(), kib=kib).encode()),
        # Debian's own check of installed files (dpkg --verify) knows MD5 only; SHA256SUMS guards the package.
        "md5sums": (0o644, sums.encode()),
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
    return gzip.compress(packed.getvalue(), 9, mtime=epoch)


def main(arguments: list[str]) -> int:
    """Make the package; return the exit code."""
    parser = argparse.ArgumentParser(prog="build/deb.py")
    parser.add_argument("--write", action="store_true", required=True)
    parser.add_argument("--out", metavar="DIR", type=Path, default=DIST)
    parser.add_argument("--wheels", metavar="DIR", type=Path, help="folder with the two wheels")
    given = parser.parse_args(arguments)
    try:
        files = contents(onefile.collect(given.wheels))
    except onefile.MissingError as error:
        return run_privately(
            str(error), __file__, arguments, name=".venv", lock="run.txt", wheels=None
        )
    except (onefile.BuildError, OSError) as error:
        sys.stderr.write(f"build/deb.py: {error}\n")
        return 1
    path = given.out / f"airelays_{version()}_all.deb"
    given.out.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make_deb(files, source_epoch()))
    print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
