"""The Debian package: whole, the same from every Python, without complaints, and gone after a purge."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from airelays import __version__

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "build"))

import deb  # noqa: E402
import onefile  # noqa: E402

EPOCH = 1_700_000_000


def script(name: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "build" / name), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deb")
    done = script("deb.py", "--write", "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder / f"airelays_{__version__}_all.deb"


def members(data: bytes) -> dict[str, bytes]:
    found, at = {}, 8
    assert data[:8] == b"!<arch>\n"
    while at < len(data):
        head, size = data[at : at + 60], int(data[at + 48 : at + 58])
        assert head.endswith(b"`\n")
        found[head[:16].decode().strip()] = data[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
    return found


def test_the_package_is_whole(package: Path) -> None:
    parts = members(package.read_bytes())
    assert list(parts) == ["debian-binary", "control.tar.gz", "data.tar.gz"]
    assert parts["debian-binary"] == b"2.0\n"
    with tarfile.open(fileobj=io.BytesIO(parts["data.tar.gz"])) as data:
        entries = {e.name: e for e in data}
        held = {n: f.read() for n, e in entries.items() if (f := data.extractfile(e))}
    assert held["./usr/bin/airelays"] == (
        b"#!/bin/sh\n# What was typed, for commands that the program tells to type.\n"
        b"export AIRELAYS_STARTED_AS=airelays\n"
        b'exec /usr/bin/python3 -I /usr/share/airelays/airelays.py "$@"\n'
    )
    assert all(e.uid == 0 and not e.mode & 0o022 for e in entries.values())
    assert entries["./usr/bin/airelays"].mode == 0o755
    for name in (
        "usr/lib/systemd/system/airelays.service",
        "usr/lib/systemd/user/airelays.service",
        "usr/lib/sysusers.d/airelays.conf",
        "usr/share/bash-completion/completions/airelays",
        "usr/share/fish/vendor_completions.d/airelays.fish",
        "usr/share/zsh/vendor-completions/_airelays",
    ):
        assert held[f"./{name}"], name
    changelog = gzip.decompress(held["./usr/share/doc/airelays/changelog.gz"]).decode()
    assert changelog.startswith(f"airelays ({__version__}) unstable; urgency=medium\n")
    assert f"\n -- {deb.MAINTAINER}  " in changelog


def test_the_program_is_the_one_file_edition_unchanged(package: Path, tmp_path: Path) -> None:
    script("onefile.py", "--write", "--file", tmp_path / "airelays.py")
    with tarfile.open(fileobj=io.BytesIO(members(package.read_bytes())["data.tar.gz"])) as data:
        program = data.extractfile("./usr/share/airelays/airelays.py")
        assert program is not None
        assert program.read() == (tmp_path / "airelays.py").read_bytes()


def test_the_same_sources_make_the_same_package(package: Path, tmp_path: Path) -> None:
    script("deb.py", "--write", "--out", tmp_path)
    assert (tmp_path / package.name).read_bytes() == package.read_bytes()


def pythons() -> list[str]:
    """Return one Python of each release that the program runs on, as far as they are here."""
    script = "import sys; print(*sys.version_info[:2], sys.version_info >= (3, 11))"
    found: dict[str, str] = {}
    names = [shutil.which(f"python3.{minor}") for minor in range(11, 16)]
    names += map(str, sorted(Path("~/.pyenv/versions").expanduser().glob("3.*/bin/python")))
    for name in filter(None, names):
        done = subprocess.run([name, "-c", script], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.endswith("True\n"):
            found.setdefault(done.stdout, name)
    return sorted(found.values())


ELSEWHERE = """
import hashlib, json, sys
sys.path.insert(0, sys.argv[1])
import deb
files = deb.contents(json.load(sys.stdin), int(sys.argv[2]))
print(hashlib.sha256(deb.make_deb(files, int(sys.argv[2]))).hexdigest())
"""


@pytest.mark.parametrize("python", pythons() or ["none"], ids=lambda p: Path(p).parts[-3])
def test_every_python_writes_the_same_bytes(python: str) -> None:
    if python == "none":
        pytest.skip("no other Python here")
    files = onefile.collect()
    ours = deb.make_deb(deb.contents(files, EPOCH), EPOCH)
    done = subprocess.run(
        [python, "-I", "-c", ELSEWHERE, str(ROOT / "build"), str(EPOCH)],
        input=json.dumps(files),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == hashlib.sha256(ours).hexdigest(), done.stderr


@pytest.mark.skipif(shutil.which("lintian") is None, reason="there is no lintian here")
def test_lintian_has_neither_errors_nor_warnings(package: Path) -> None:
    words = ["lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0"]
    done = subprocess.run([*words, str(package)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


# ---- the maintainer scripts, in a root of their own


class Root:
    """A folder that dpkg takes for the root of a system."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "root"
        self._log = folder / "dpkg.log"
        for name in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "etc", "var/lib/airelays"):
            (self.path / name).mkdir(parents=True)
        (self.path / "var/lib/dpkg/status").touch()
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        self.write("etc/group", "root:x:0:\n")

    def write(self, name: str, text: str) -> Path:
        """Write a file of this root."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def dpkg(self, *words: str | Path) -> str:
        """Run dpkg here; returns what it printed on stdout."""
        flags = ["--force-not-root", "--force-depends", "--force-script-chrootless"]
        flags += ["--root", str(self.path), "--log", str(self._log)]
        command = ["dpkg", *flags, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def users(self) -> list[str]:
        """Return the names of this root's users."""
        return [line.split(":")[0] for line in (self.path / "etc/passwd").read_text().splitlines()]


needs_dpkg = pytest.mark.skipif(shutil.which("dpkg") is None, reason="there is no dpkg here")


@needs_dpkg
def test_dpkg_installs_runs_and_removes_it(package: Path, tmp_path: Path) -> None:
    root = Root(tmp_path)
    root.dpkg("-i", package)
    program = root.path / "usr/share/airelays/airelays.py"
    words = [sys.executable, "-I", str(program), "--version"]
    done = subprocess.run(words, env={"HOME": str(tmp_path)}, capture_output=True, text=True)
    assert done.stdout == f"airelays {__version__}\n", done.stderr
    assert root.dpkg("--verify", "airelays") == ""
    root.dpkg("-P", "airelays")
    assert not program.exists() and not (root.path / "usr").exists()


@needs_dpkg
def test_a_purge_leaves_no_user_state_config_or_link(package: Path, tmp_path: Path) -> None:
    root = Root(tmp_path)
    root.dpkg("-i", package)
    assert root.users() == ["root", "airelays"]
    unit = root.path / "usr/lib/systemd/system/airelays.service"
    link = root.path / "etc/systemd/system/multi-user.target.wants/airelays.service"
    link.parent.mkdir(parents=True)
    link.symlink_to("/" + unit.relative_to(root.path).as_posix())
    root.write("etc/airelays/config.toml", "")
    root.write("var/lib/private/airelays/relay-token", "a secret")
    (root.path / "var/lib/airelays").rmdir()
    (root.path / "var/lib/airelays").symlink_to("private/airelays")
    root.dpkg("-r", "airelays")
    assert (root.path / "etc/airelays/config.toml").exists() and "airelays" in root.users()
    root.dpkg("-P", "airelays")
    assert root.users() == ["root"]
    left = [p.relative_to(root.path).as_posix() for p in root.path.rglob("*airelays*")]
    assert left == []


@needs_dpkg
def test_a_person_called_airelays_keeps_the_account(package: Path, tmp_path: Path) -> None:
    root = Root(tmp_path)
    root.write("etc/passwd", "airelays:x:1000:1000:A. I. Relays:/home/airelays:/bin/sh\n")
    root.write("etc/group", "airelays:x:1000:\n")
    root.dpkg("-i", package)
    root.dpkg("-P", "airelays")
    assert root.users() == ["airelays"]


def test_the_scripts_are_shell_and_have_no_mark_left() -> None:
    for name, (mode, data) in deb.maintainer_scripts().items():
        assert mode == 0o755 and data.startswith(b"#!/bin/sh\nset -e\n"), name
        assert not re.search(rb"@[A-Z_]+@", data), name
        if os.name == "posix":
            done = subprocess.run(["sh", "-n"], input=data, capture_output=True)
            assert done.returncode == 0, done.stderr


def test_sockets_are_stopped_before_services() -> None:
    assert deb.units("systemd") == sorted(
        deb.units("systemd"), key=lambda name: not name.endswith(".socket")
    )
    assert "airelays.service" in deb.units("systemd", ".service")


def test_control_fields_are_complete() -> None:
    files = {"usr/bin/airelays": (0o755, b"x" * 2000)}
    with tarfile.open(
        fileobj=io.BytesIO(members(deb.make_deb(files, 1))["control.tar.gz"])
    ) as archive:
        control = archive.extractfile("./control")
        assert control is not None
        text = control.read().decode()
    for field in ("Package", "Version", "Architecture", "Maintainer", "Depends", "Description"):
        assert re.search(rf"^{field}: \S", text, re.MULTILINE), field
    assert "Installed-Size: 2\n" in text
