"""The executable: what the spec says, the C library that is needed; with AIRELAYS_SLOW_TESTS=1 the build itself."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "build"))

import elf_floor  # noqa: E402
import freeze  # noqa: E402

SPEC = ROOT / "packaging" / "pyinstaller" / "airelays.spec"


def excluded() -> set[str]:
    for node in ast.parse(SPEC.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXCLUDES":
            return set(ast.literal_eval(node.value))
    raise AssertionError("the spec has no EXCLUDES")


def imported() -> set[str]:
    found = set()
    for path in (ROOT / "airelays").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module} | {f"{node.module}.{a.name}" for a in node.names}
    return found


def test_nothing_that_a_command_imports_is_left_out() -> None:
    assert not imported() & excluded()


def test_packing_is_off_and_the_build_is_of_one_analysis() -> None:
    nodes = list(ast.walk(ast.parse(SPEC.read_text())))
    shared = [
        {ast.unparse(k): v for k, v in zip(n.keys, n.values, strict=True) if k}
        for n in nodes
        if isinstance(n, ast.Dict)
    ]
    packed = [ast.unparse(d["'upx'"]) for d in shared if "'upx'" in d]
    packed += [ast.unparse(n.value) for n in nodes if isinstance(n, ast.keyword) and n.arg == "upx"]
    assert packed == ["False", "False"]
    calls = [ast.unparse(n.func) for n in nodes if isinstance(n, ast.Call)]
    assert calls.count("Analysis") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="ELF files are of Linux and the BSDs")
def test_the_version_needs_of_an_elf_file_are_read() -> None:
    data = Path(os.path.realpath("/bin/sh")).read_bytes()
    found = elf_floor.needed_versions(data)
    assert any(v.startswith("GLIBC_2.") for v in found)
    if shutil.which("objdump"):
        words = ["objdump", "-p", os.path.realpath("/bin/sh")]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        named = {line.split()[-1] for line in said.splitlines() if " GLIBC_" in line}
        assert {v for v in found if v.startswith("GLIBC_")} == named


@pytest.mark.skipif(sys.platform != "linux", reason="ELF files are of Linux and the BSDs")
def test_a_damaged_elf_file_is_named(tmp_path: Path) -> None:
    whole = Path(os.path.realpath("/bin/sh")).read_bytes()
    (tmp_path / "cut").write_bytes(whole[:4000])
    with pytest.raises(elf_floor.ElfError, match="cut is cut or damaged"):
        elf_floor.glibc_floor(tmp_path)


def test_a_folder_without_programs_needs_no_library(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    assert elf_floor.glibc_floor(tmp_path) == ("", {})


def test_versions_are_compared_as_numbers(tmp_path: Path) -> None:
    assert max(["2.4", "2.34", "2.17", ""], key=elf_floor.version_key) == "2.34"


def test_an_archive_of_the_same_files_has_the_same_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "airelays").write_bytes(b"#!")
    (folder / "airelays").chmod(0o700)
    (folder / "sub" / "data").write_bytes(b"x" * 1000)
    freeze.write_archive(folder, tmp_path / "one.tar.gz", "airelays-1", 1_700_000_000)
    os.utime(folder / "airelays", (1, 1))
    freeze.write_archive(folder, tmp_path / "two.tar.gz", "airelays-1", 1_700_000_000)
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "one.tar.gz") as archive:
        entries = {e.name: (oct(e.mode), e.uid, e.mtime) for e in archive}
    assert entries["airelays-1/airelays"] == ("0o755", 0, 1_700_000_000)
    assert entries["airelays-1/sub/data"] == ("0o644", 0, 1_700_000_000)


def test_pyinstaller_is_new_enough_and_pinned() -> None:
    # CVE-2025-59042, before 6.0: a search path in a folder that others can write to.
    text = (ROOT / "build" / "requirements" / "build.txt").read_text()
    (major,) = re.findall(r"^pyinstaller==(\d+)\.", text, re.MULTILINE)
    assert int(major) >= 6


def test_no_child_gets_the_variables_of_the_loader() -> None:
    hook = SPEC.parent / "clean_environment.py"
    assert f'"{hook.name}"' in SPEC.read_text().partition("runtime_hooks=")[2].partition("]")[0]
    code = f"import json, os; exec(open({str(hook)!r}).read()); print(json.dumps(dict(os.environ)))"
    given = {"LD_LIBRARY_PATH": "/inside", "_MEIPASS2": "/inside", "_PYI_ARCHIVE_FILE": "/inside"}
    for before in ({}, {"LD_LIBRARY_PATH_ORIG": "/before"}):
        done = subprocess.run(
            [sys.executable, "-I", "-c", code],
            env={**given, **before, "A": "b"},
            capture_output=True,
            text=True,
            check=True,
        )
        left = json.loads(done.stdout)
        assert "/inside" not in left.values() and left["A"] == "b"
        assert left.get("LD_LIBRARY_PATH") == ("/before" if before else None)


def test_a_pth_file_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "_internal").mkdir()
    (tmp_path / "_internal" / "library.py").write_text("")
    freeze.refuse_pth(tmp_path)
    (tmp_path / "_internal" / "helper.pth").write_text("import os")
    with pytest.raises(freeze.FreezeError, match=r"helper\.pth"):
        freeze.refuse_pth(tmp_path)


@pytest.mark.skipif(
    not os.environ.get("AIRELAYS_SLOW_TESTS"), reason="takes minutes; AIRELAYS_SLOW_TESTS=1 runs it"
)
def test_two_builds_give_the_same_bytes_and_the_result_runs(tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "build" / "freeze.py"), "--write", "--twice"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "built twice: the same bytes" in done.stdout
    done_build = done.stdout
    executable = ROOT / "dist" / "airelays"
    assert executable.stat().st_size < 9 * 1024 * 1024
    alone = Path(shutil.copy(executable, tmp_path / "with blanks ä"))
    done = subprocess.run(
        [str(alone), "doctor", "--self-test"], env={}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (packed,) = (ROOT / "dist").glob(f"airelays-{freeze.target_name()}.tar.gz")
    with tarfile.open(packed) as archive:
        names = set(archive.getnames())
        archive.extractall(tmp_path, filter="data")
    for licence in ("airelays", "h11", "certifi", "python", "openssl", "sqlite", "zlib", "libffi"):
        assert f"airelays-{freeze.version()}/_internal/licenses/{licence}.txt" in names
    assert not [name for name in names if name.endswith(".pth")]
    assert re.search(r"^glibc floor: 2\.\d+ ", done_build, re.MULTILINE)
    check_release(tmp_path, packed)


def check_release(folder: Path, packed: Path) -> None:
    """What both forms print of themselves stands in SHA256SUMS; the bills name what is in them."""
    dist = folder / "dist"
    dist.mkdir()
    for path in (packed, packed.with_name(packed.name.removesuffix(".tar.gz"))):
        shutil.copy(path, dist)
    words = [sys.executable, str(ROOT / "build" / "release.py"), "--write", "--dist", str(dist)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^airelays-.+: glibc 2\.\d+ or newer", done.stdout, re.MULTILINE)) == 2
    listed = (dist / "SHA256SUMS").read_text().splitlines()
    for program in (folder / "with blanks ä", folder / f"airelays-{freeze.version()}" / "airelays"):
        words = [str(program), "version", "--digests", "--json"]
        done = subprocess.run(words, env={}, capture_output=True, text=True, timeout=120)
        ((name, digest),) = json.loads(done.stdout)["digests"].items()
        assert f"{digest}  {name}" in listed
    for bill in dist.glob("*.cdx.json"):
        parts = {c["name"]: c.get("version") for c in json.loads(bill.read_text())["components"]}
        assert {"h11", "certifi", "cpython", "openssl", "libffi", "sqlite"} <= parts.keys()
        assert re.fullmatch(r"\d+\.\d+\.\d+", parts["pyinstaller-loader"] or "")
