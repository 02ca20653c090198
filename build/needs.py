"""What the tests need beyond Python, and what is skipped where it is missing: `python3 build/needs.py`."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

OLD = ("2.7", "3.6", "3.8", "3.10")
NEWER = ("3.11", "3.12", "3.13", "3.14")


class Need(NamedTuple):
    """Something that a test needs; `programs` are looked for on the PATH, else `here` decides."""

    name: str
    skipped: str
    programs: tuple[str, ...] = ()
    here: Callable[[], bool] | None = None

    def missing(self) -> str:
        """Return what is not here; "" when all of it is."""
        if self.here is not None:
            return "" if self.here() else self.name
        return ", ".join(name for name in self.programs if shutil.which(name) is None)


def _chromium() -> bool:
    return any(shutil.which(name) for name in ("chromium", "chromium-browser"))


def _python(versions: tuple[str, ...]) -> bool:
    """Whether one of these versions is here that is not the one that runs this; pyenv's count too."""
    own = ".".join(map(str, sys.version_info[:2]))
    folders = Path("~/.pyenv/versions").expanduser().glob("*/bin/python")
    kept = [path.parts[-3] for path in folders]
    return any(
        shutil.which(f"python{v}") or any(k.startswith(f"{v}.") for k in kept)
        for v in versions
        if v != own
    )


def _root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _may_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    done = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True)
    return done.returncode == 0


NEEDS = (
    Need("Linux", "what reads /proc, sockets of systemd, ELF files", here=lambda: sys.platform == "linux"),
    Need("node, npm", "the openai package of Node, axe-core for the page", ("node", "npm")),
    Need("chromium", "web pages in a browser", here=_chromium),
    Need(f"a Python of {', '.join(OLD)}", "what an old Python is told", here=lambda: _python(OLD)),
    Need(
        f"a second Python of {', '.join(NEWER)}", "that every Python writes the same package",
        here=lambda: _python(NEWER),
    ),
    Need("dpkg", "installing and purging the Debian package", ("dpkg",)),
    Need("lintian", "Debian's own check of the package", ("lintian",)),
    Need("haproxy", "relays behind a load balancer", ("haproxy",)),
    Need("microsocks", "a real SOCKS5 proxy", ("microsocks",)),
    Need("ssh-keygen", "signatures of SHA256SUMS", ("ssh-keygen",)),
    Need("root", "files of other users, full disks", here=_root),
    Need("unshare", "a machine without a network", here=_may_unshare),
    Need("setpriv, mount", "another user, full disks", ("setpriv", "mount")),
    Need("systemd-analyze", "systemd's own check of the units", ("systemd-analyze",)),
    Need("bash", "completions in a shell", ("bash",)),
    Need("curl, man", "the commands of the documentation, the manual page", ("curl", "man")),
    Need("libzstd", "zstd bodies", here=lambda: ctypes.util.find_library("zstd") is not None),
    Need(
        "the variable AIRELAYS_SLOW_TESTS=1", "building the executable, which takes minutes",
        here=lambda: bool(os.environ.get("AIRELAYS_SLOW_TESTS")),
    ),
)  # fmt: skip


def skipped() -> list[str]:
    """Return one line for each thing that is missing: what is skipped, and what is missing for it."""
    found = [(need.missing(), need.skipped) for need in NEEDS]
    return [f"skipped: {what} (missing: {name})" for name, what in found if name]


if __name__ == "__main__":
    for line in skipped():
        print(line)
