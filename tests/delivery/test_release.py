"""What lies beside the artefacts: sums, bill of materials, notices."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airelays import __version__

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "build"))

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
