"""What lies beside the artefacts: sums, bill of materials, notices; and the Debian package."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from airelays import __version__

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "build"))

import deb  # noqa: E402
import onefile  # noqa: E402
import release  # noqa: E402


def script(name: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "build" / name), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / "airelays.py").write_bytes(b"one file")
    (folder / "airelays").write_bytes(b"executable")
    (folder / "airelays-1.0.0-linux-x86_64.tar.gz").write_bytes(b"archive")
    return folder


def test_sums_are_read_by_the_usual_tool(dist: Path) -> None:
    assert script("release.py", "--write", "--dist", dist).returncode == 0
    lines = (dist / "SHA256SUMS").read_text().splitlines()
    assert f"{hashlib.sha256(b'one file').hexdigest()}  airelays.py" in lines
    listed = {line.split("  ")[1] for line in lines}
    assert listed == {p.name for p in dist.iterdir()} - {"SHA256SUMS"}
    if shutil.which("sha256sum"):
        words = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
        assert subprocess.run(words, cwd=dist).returncode == 0
    assert script("release.py", "--check", "--dist", dist).returncode == 0
    (dist / "airelays").write_bytes(b"changed")
    done = script("release.py", "--check", "--dist", dist)
    assert (done.returncode, done.stderr) == (1, "airelays is not what SHA256SUMS says\n")


def test_the_same_artefacts_have_the_same_bill(dist: Path) -> None:
    first: dict[str, bytes] = {}
    for _ in range(2):
        script("release.py", "--write", "--dist", dist)
        found = {p.name: p.read_bytes() for p in dist.iterdir()}
        assert not first or first == found
        first = found


def bill(dist: Path) -> dict[str, Any]:
    assert script("release.py", "--write", "--dist", dist).returncode == 0
    found: dict[str, Any] = json.loads((dist / f"airelays-{__version__}.cdx.json").read_text())
    return found


def test_the_bill_follows_cyclonedx(dist: Path) -> None:
    """The parts of the 1.6 schema that this bill uses, stated once more."""
    found = bill(dist)
    assert (found["bomFormat"], found["specVersion"], found["version"]) == ("CycloneDX", "1.6", 1)
    pattern = r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    assert re.fullmatch(pattern, found["serialNumber"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["metadata"]["timestamp"])
    main = found["metadata"]["component"]
    components = [main, *main["components"], *found["components"]]
    refs = [c["bom-ref"] for c in components]
    assert len(refs) == len(set(refs))
    for component in components:
        assert component["type"] in ("application", "library", "file") and component["name"]
        for row in component.get("hashes", []):
            assert row["alg"] == "SHA-256" and re.fullmatch(r"[0-9a-f]{64}", row["content"])
        for row in component.get("licenses", []):
            assert set(row) == {"license"} and set(row["license"]) == {"id"}
        assert re.match(r"pkg:(pypi|generic)/[a-z0-9]+@", component.get("purl", "pkg:pypi/x@"))
    for row in found["dependencies"]:
        assert row["ref"] in refs and set(row.get("dependsOn", [])) <= set(refs)


def test_the_bill_names_what_is_inside(dist: Path) -> None:
    names = [c["name"] for c in bill(dist)["components"]]
    assert names == ["h11", "certifi", "cpython", "openssl", "sqlite", "zlib"]
    for path in (dist / "airelays", dist / "airelays-1.0.0-linux-x86_64.tar.gz"):
        path.unlink()
    assert [c["name"] for c in bill(dist)["components"]] == ["h11", "certifi"]


def test_notices_hold_every_licence(dist: Path) -> None:
    script("release.py", "--write", "--dist", dist)
    text = (dist / "THIRD-PARTY-NOTICES.txt").read_text()
    for part in (
        "Nathaniel J. Smith",
        "Mozilla Public License",
        "Apache License",
        "libffi",
        "zlib",
    ):
        assert part in text


def test_the_licences_page_has_the_texts_of_the_packages() -> None:
    page = (ROOT / "airelays" / "docs" / "licenses.md").read_text()
    files = onefile.collect()
    for package in ("h11", "certifi"):
        assert files[f"{package}/LICENSE"].strip() in page, package
    assert files["LICENSE"].split("\n\n", 1)[1].split("\n\nThird")[0].strip()[:200] in page


@pytest.mark.parametrize(
    "tag, code, said",
    [
        (f"v{__version__}", 0, ""),
        ("v0.0.1", 1, f"build/release.py: the tag is v0.0.1 and the program is {__version__}\n"),
    ],
)
def test_a_tag_must_be_the_version(dist: Path, tag: str, code: int, said: str) -> None:
    done = script("release.py", "--write", "--dist", dist, "--tag", tag)
    assert (done.returncode, done.stderr) == (code, said)


def test_a_stray_file_is_not_released(dist: Path) -> None:
    (dist / "notes.txt").touch()
    done = script("release.py", "--write", "--dist", dist)
    assert done.returncode == 1 and "notes.txt is not of a release; remove it" in done.stderr


def test_the_formula_names_version_and_digest(dist: Path) -> None:
    text = release.formula(dist / "airelays.py")
    assert hashlib.sha256(b"one file").hexdigest() in text
    assert not re.search(r"@[A-Z0-9]+@", text)
    assert f"/v{__version__}/airelays.py" in text and text.startswith("class Airelays < Formula\n")


# ---- the Debian package


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
        program = data.extractfile(entries["./usr/bin/airelays"])
        assert program is not None and program.read(25) == b"#!/usr/bin/python3 -I\n# -"
    assert all(e.uid == 0 and not e.mode & 0o022 for e in entries.values())
    assert entries["./usr/bin/airelays"].mode == 0o755
    assert "./usr/lib/systemd/system/airelays.service" in entries


def test_the_same_sources_make_the_same_package(package: Path, tmp_path: Path) -> None:
    script("deb.py", "--write", "--out", tmp_path)
    assert (tmp_path / package.name).read_bytes() == package.read_bytes()


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="there is no dpkg here")
def test_dpkg_installs_runs_and_removes_it(package: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "var/lib/dpkg/info").mkdir(parents=True)
    (root / "var/lib/dpkg/updates").mkdir()
    (root / "var/lib/dpkg/status").touch()
    flags = [
        "--root",
        str(root),
        "--force-not-root",
        "--force-depends",
        "--force-script-chrootless",
    ]
    flags += ["--log", str(tmp_path / "dpkg.log")]
    done = subprocess.run(["dpkg", *flags, "-i", str(package)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    program = root / "usr" / "bin" / "airelays"
    words = [str(program) if Path("/usr/bin/python3").exists() else sys.executable, "--version"]
    if newer_system_python():
        done = subprocess.run(words, env={"HOME": str(tmp_path)}, capture_output=True, text=True)
        assert done.stdout == f"airelays {__version__}\n", done.stderr
    done = subprocess.run(["dpkg", *flags, "--verify", "airelays"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == ""
    done = subprocess.run(["dpkg", *flags, "-P", "airelays"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not program.exists() and not (root / "usr").exists()


def newer_system_python() -> bool:
    script = "import sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run(["/usr/bin/python3", "-I", "-c", script]).returncode == 0
    except OSError:
        return False


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
