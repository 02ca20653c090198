"""What lies beside the artefacts: sums, bill of materials, notices."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from airelays import __version__

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "build"))

import contents  # noqa: E402
import onefile  # noqa: E402
import release  # noqa: E402


def script(name: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "build" / name), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The forms that can be made in seconds, in a folder of their own."""
    folder = tmp_path_factory.mktemp("built")
    assert script("onefile.py", "--write", "--file", folder / "airelays.py").returncode == 0
    assert script("deb.py", "--write", "--out", folder).returncode == 0
    with zipfile.ZipFile(folder / f"airelays-{__version__}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"airelays-{__version__}.dist-info/METADATA", METADATA)
    return folder


METADATA = """\
Metadata-Version: 2.4
Name: airelays
Requires-Python: >=3.11
Requires-Dist: certifi>=2024.7.4
Requires-Dist: h11<0.17,>=0.16
"""


@pytest.fixture
def dist(built: Path, tmp_path: Path) -> Path:
    """A release of its own, whose files can be changed."""
    return Path(shutil.copytree(built, tmp_path / "dist"))


def test_sums_are_read_by_the_usual_tool(dist: Path) -> None:
    digest = hashlib.sha256((dist / "airelays.py").read_bytes()).hexdigest()
    assert script("release.py", "--write", "--dist", dist).returncode == 0
    lines = (dist / "SHA256SUMS").read_text().splitlines()
    assert f"{digest}  airelays.py" in lines
    listed = {line.split("  ")[1] for line in lines}
    assert listed == {p.name for p in dist.iterdir()} - {"SHA256SUMS"}
    if shutil.which("sha256sum"):
        words = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
        assert subprocess.run(words, cwd=dist).returncode == 0
    assert script("release.py", "--check", "--dist", dist).returncode == 0
    (dist / "airelays.py").write_bytes(b"changed")
    done = script("release.py", "--check", "--dist", dist)
    assert (done.returncode, done.stderr) == (1, "airelays.py is not what SHA256SUMS says\n")


def test_the_same_artefacts_have_the_same_bill(dist: Path) -> None:
    first: dict[str, bytes] = {}
    for _ in range(2):
        script("release.py", "--write", "--dist", dist)
        found = {p.name: p.read_bytes() for p in dist.iterdir()}
        assert not first or first == found
        first = found


def bills(dist: Path) -> dict[str, Any]:
    """Return artefact -> its bill of materials."""
    assert script("release.py", "--write", "--dist", dist).returncode == 0
    return {
        p.name.removesuffix(".cdx.json"): json.loads(p.read_text()) for p in dist.glob("*.cdx.json")
    }


def test_each_artefact_has_a_bill_that_follows_cyclonedx(dist: Path) -> None:
    """The parts of the 1.6 schema that these bills use, stated once more."""
    artefacts = {p.name for p in release.artefacts(dist)}
    found_bills = bills(dist)
    assert found_bills.keys() == artefacts
    for name, found in found_bills.items():
        assert (found["bomFormat"], found["specVersion"], found["version"]) == (
            "CycloneDX",
            "1.6",
            1,
        )
        pattern = r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
        assert re.fullmatch(pattern, found["serialNumber"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["metadata"]["timestamp"])
        main = found["metadata"]["component"]
        digest = hashlib.sha256((dist / name).read_bytes()).hexdigest()
        assert main["hashes"] == [{"alg": "SHA-256", "content": digest}]
        # The name on PyPI belongs to another program.
        assert main["purl"] == f"pkg:generic/airelays@{__version__}"
        check_components([main, *found["components"]], found["dependencies"])


def check_components(components: list[dict[str, Any]], dependencies: list[dict[str, Any]]) -> None:
    refs = [c["bom-ref"] for c in components]
    assert len(refs) == len(set(refs))
    for component in components:
        assert component["type"] in ("application", "library") and component["name"]
        for row in component.get("hashes", []):
            assert row["alg"] == "SHA-256" and re.fullmatch(r"[0-9a-f]{64}", row["content"])
        for row in component.get("licenses", []):
            assert set(row) == {"expression"} or set(row["license"]) == {"id"}
        for row in component.get("properties", []):
            assert set(row) == {"name", "value"} and row["name"].startswith("airelays:")
        assert re.match(r"pkg:(pypi|generic)/[a-z0-9-]+(@|$)", component.get("purl", "pkg:pypi/x@"))
    for row in dependencies:
        assert row["ref"] in refs and set(row.get("dependsOn", [])) <= set(refs)


def test_a_bill_names_what_is_inside_with_its_version(dist: Path) -> None:
    h11, certifi = onefile.locked("h11")[0], onefile.locked("certifi")[0]
    found = bills(dist)
    for name in ("airelays.py", f"airelays_{__version__}_all.deb"):
        parts = {c["name"]: c["version"] for c in found[name]["components"]}
        assert parts == {"h11": h11, "certifi": certifi}
    wheel = found[f"airelays-{__version__}-py3-none-any.whl"]["components"]
    assert [(c["name"], c.get("version")) for c in wheel] == [("certifi", None), ("h11", None)]
    assert wheel[1]["properties"][0]["value"] == "not inside; installed as h11<0.17,>=0.16"


def test_what_each_artefact_needs_is_printed(dist: Path) -> None:
    done = script("release.py", "--write", "--dist", dist)
    assert done.stdout.splitlines() == [
        f"airelays-{__version__}-py3-none-any.whl: "
        "Python 3.11 or newer, certifi>=2024.7.4, h11<0.17,>=0.16",
        "airelays.py: Python 3.11 or newer",
        f"airelays_{__version__}_all.deb: "
        "Debian with init-system-helpers (>= 1.54~), passwd, python3 (>= 3.11)",
    ]


def test_a_floor_above_the_documented_one_is_refused() -> None:
    for floor in ("", "2.4", "2.35", release.GLIBC):
        release.refuse_newer_glibc("airelays-1.0.0-linux-x86_64", floor)
    with pytest.raises(release.ReleaseError, match=r"needs glibc 2\.100, and README says 2\.36"):
        release.refuse_newer_glibc("airelays-1.0.0-linux-x86_64", "2.100")


def test_the_documentation_names_the_same_floor() -> None:
    for path in (ROOT / "README.md", ROOT / "airelays" / "docs" / "releases.md"):
        found = re.findall(r"glibc (\d+\.\d+)", path.read_text(encoding="utf-8"))
        assert found and set(found) == {release.GLIBC}, path.name


def test_digests_of_a_running_copy_stand_in_the_sums(dist: Path, tmp_path: Path) -> None:
    assert script("release.py", "--write", "--dist", dist).returncode == 0
    listed = (dist / "SHA256SUMS").read_text().splitlines()
    package = tmp_path / "package"
    with tarfile.open(fileobj=io.BytesIO(deb_data(dist))) as data:
        data.extractall(package, filter="data")
    forms = {
        "airelays.py": [sys.executable, "-I", str(dist / "airelays.py")],
        "deb": [sys.executable, "-I", str(package / "usr/share/airelays/airelays.py")],
        "checkout": [sys.executable, str(ROOT / "airelays.py")],
    }
    for form, words in forms.items():
        done = subprocess.run(
            [*words, "version", "--digests", "--json"],
            env={"HOME": str(tmp_path)},
            capture_output=True,
            check=True,
            timeout=60,
        )
        digests = json.loads(done.stdout)["digests"]
        lines = [f"{digest}  {name}" for name, digest in digests.items()]
        assert set(lines) <= set(listed), form
        assert ("airelays.py" in digests) == (form != "checkout")
        assert len(lines) >= 3


def deb_data(dist: Path) -> bytes:
    return contents.ar_members((dist / f"airelays_{__version__}_all.deb").read_bytes())[
        "data.tar.gz"
    ]


@pytest.mark.parametrize(
    "name, data, said",
    [
        ("airelays.py", b"FILES = 1", "airelays.py this is not a one-file edition of AIRelays"),
        ("airelays-1.whl", b"PK", "airelays-1.whl is damaged: File is not a zip file"),
        ("airelays_1.deb", b"!<arch>\n", "airelays_1.deb is damaged: 'data.tar.gz'"),
        ("airelays-1.tar.gz", b"\x1f\x8b", "airelays-1.tar.gz is damaged: "),
        ("airelays-linux", b"MEI\014\013\012\013\016 cut", "airelays-linux is damaged"),
        ("airelays.zip", b"PK", "airelays.zip is of no kind that is released; remove it"),
    ],
)
def test_a_damaged_artefact_is_named(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    done = script("release.py", "--write", "--dist", tmp_path)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(
        f"build/release.py: {said}"
    )
    assert not (tmp_path / "SHA256SUMS").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the libraries of Linux")
def test_libraries_tell_their_version_themselves() -> None:
    import ssl

    (path,) = {
        line.split()[-1]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if "libcrypto" in line
    }
    (part,) = contents.known_parts("libcrypto.so.3", Path(path).read_bytes())
    assert ssl.OPENSSL_VERSION.startswith(f"OpenSSL {part.version} ")


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
    errors = [line for line in done.stderr.splitlines(True) if "SOURCE_DATE_EPOCH" not in line]
    assert (done.returncode, "".join(errors)) == (code, said)


def test_a_stray_file_is_not_released(dist: Path) -> None:
    (dist / "notes.txt").touch()
    done = script("release.py", "--write", "--dist", dist)
    assert done.returncode == 1 and "notes.txt is not of a release; remove it" in done.stderr


def test_the_formula_names_version_and_digest(dist: Path) -> None:
    text = release.formula(dist / "airelays.py")
    assert hashlib.sha256((dist / "airelays.py").read_bytes()).hexdigest() in text
    assert not re.search(r"@[A-Z0-9]+@", text)
    assert f"/v{__version__}/airelays.py" in text and text.startswith("class Airelays < Formula\n")
