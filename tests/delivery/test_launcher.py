"""The launcher at the root: in place, in a private environment, or one sentence."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from airelays import __version__

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = ROOT / "airelays.py"
DEADLINE_S = 120.0


def run(words: list[str], **env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        words, env={**kept, **env}, capture_output=True, text=True, timeout=DEADLINE_S
    )


def make_python(folder: Path, *flags: str) -> str:
    """Make a Python without h11 and certifi; returns its interpreter."""
    command = [sys.executable, "-m", "venv", *flags, str(folder)]
    subprocess.run(command, check=True, timeout=DEADLINE_S)
    return str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python with pip and nothing else."""
    return make_python(tmp_path_factory.mktemp("bare") / "venv")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh clone: launcher, package, locked list; no private environment."""
    folder = tmp_path / "a clone"
    shutil.copytree(
        ROOT / "airelays", folder / "airelays", ignore=shutil.ignore_patterns("__pycache__")
    )
    (folder / "build" / "requirements").mkdir(parents=True)
    shutil.copy(LAUNCHER, folder)
    shutil.copy(ROOT / "build" / "requirements" / "run.txt", folder / "build" / "requirements")
    return folder


def test_the_launcher_speaks_a_grammar_that_old_pythons_parse() -> None:
    tree = ast.parse(LAUNCHER.read_text(), feature_version=(3, 4))
    for node in ast.walk(tree):
        assert not isinstance(node, ast.JoinedStr | ast.AnnAssign | ast.NamedExpr)
        assert not isinstance(node, ast.FunctionDef) or node.returns is None
        assert not isinstance(node, ast.Raise) or node.cause is None


def old_pythons() -> list[str]:
    found = [shutil.which(name) for name in ("python2.7", "python3.6", "python3.8", "python3.10")]
    found += map(str, Path("~/.pyenv/versions").expanduser().glob("*/bin/python"))
    script = "import sys; sys.exit(sys.version_info >= (3, 11))"
    usable = [
        p
        for p in found
        if p and subprocess.run([p, "-c", script], capture_output=True).returncode == 0
    ]
    return usable or ["none"]


@pytest.mark.parametrize("python", old_pythons())
def test_an_old_python_gets_a_sentence(python: str) -> None:
    if python == "none":
        pytest.skip("no older Python here")
    done = run([python, str(LAUNCHER), "serve"])
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(
        "airelays: AIRelays requires Python 3.11 or newer, and this is Python "
    )
    assert done.stderr.count("\n") == 1


def test_with_the_dependencies_it_runs_in_place(checkout: Path) -> None:
    done = run([sys.executable, str(checkout / "airelays.py"), "config", "path"])
    assert (done.returncode, done.stderr) == (0, "")
    assert not (checkout / ".venv").exists()


def test_it_runs_isolated_and_through_a_link(checkout: Path, tmp_path: Path) -> None:
    link = tmp_path / "relay.py"
    link.symlink_to(checkout / "airelays.py")
    done = run([sys.executable, "-I", str(link), "--version"])
    assert (done.stdout, done.stderr) == (f"airelays {__version__}\n", "")


def test_the_version_needs_no_dependency(checkout: Path, bare: str) -> None:
    done = run([bare, str(checkout / "airelays.py"), "--version"])
    assert (done.stdout, done.stderr) == (f"airelays {__version__}\n", "")
    assert not (checkout / ".venv").exists()


def test_without_the_package_beside_it_one_sentence_says_how_to_get_one_file(
    tmp_path: Path,
) -> None:
    shutil.copy(LAUNCHER, tmp_path)
    for words in ([str(tmp_path / "airelays.py")], ["-c", LAUNCHER.read_text()]):
        done = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert done.returncode == 1
        assert done.stderr == (
            "airelays: this airelays.py only starts the folder airelays/ next to it, which is missing; "
            "to get one file that runs alone, run in a checkout: "
            "python3 build/onefile.py --write\n"
        )


def test_without_a_network_the_way_out_is_said(checkout: Path, bare: str) -> None:
    done = run(
        [bare, str(checkout / "airelays.py"), "version"],
        PIP_NO_INDEX="1",
        PIP_CONFIG_FILE=os.devnull,
    )
    assert done.returncode == 1 and done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first == (
        f"airelays: h11 and certifi are not installed; creating a private {checkout / '.venv'} "
        f"from {Path('build/requirements/run.txt')}"
    )
    assert second.startswith(
        "airelays: cannot install packages; without a network, pass a folder of wheels with "
        "--wheels FOLDER, or use the one-file edition ("
    )
    assert sorted(os.listdir(checkout)) == ["airelays", "airelays.py", "build"]


def tiny_wheel(folder: Path, name: str, version: str, code: str) -> str:
    """Write a wheel of one module and return its line for a locked list."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", code)
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def wheels(checkout: Path, tmp_path: Path) -> dict[str, str]:
    """Stand-ins of both packages in a folder, locked in the checkout; returns the environment for pip."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    lines = tiny_wheel(folder, "h11", "0.16.0", "__version__ = '0.16.0'\n")
    lines += tiny_wheel(folder, "certifi", "2099.1.1", "__version__ = '2099.01.01'\n")
    (checkout / "build" / "requirements" / "run.txt").write_text(lines)
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": os.devnull}


def test_missing_dependencies_go_into_a_private_environment_until_the_list_changes(
    checkout: Path, bare: str, wheels: dict[str, str]
) -> None:
    words = [bare, str(checkout / "airelays.py"), "config", "path"]
    first = run(words, **wheels)
    assert first.returncode == 0 and first.stdout.endswith("config.toml\n")
    assert first.stderr.count("\n") == 1 and "creating a private" in first.stderr
    again = run(words, PIP_NO_INDEX="1")
    assert (again.returncode, again.stderr, again.stdout) == (0, "", first.stdout)
    assert sorted(os.listdir(checkout)) == [".venv", "airelays", "airelays.py", "build"]
    requirements = checkout / "build" / "requirements" / "run.txt"
    requirements.write_text("# changed\n" + requirements.read_text())
    changed = run(words, **wheels)
    assert changed.returncode == 0 and "creating a private" in changed.stderr


def test_a_folder_of_wheels_stands_for_the_network(
    checkout: Path, bare: str, wheels: dict[str, str]
) -> None:
    folder = wheels["PIP_FIND_LINKS"]
    first, again = (
        run(
            [bare, str(checkout / "airelays.py"), *flag, "config", "path"],
            PIP_CONFIG_FILE=os.devnull,
        )
        for flag in (["--wheels", folder], [f"--wheels={folder}"])
    )
    assert first.returncode == 0 and first.stdout.endswith("config.toml\n")
    assert (again.returncode, again.stderr, again.stdout) == (0, "", first.stdout)


def test_a_folder_of_wheels_that_is_not_there_is_one_sentence(checkout: Path, bare: str) -> None:
    done = run([bare, str(checkout / "airelays.py"), "--wheels", "gone", "version"])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "airelays: --wheels is 'gone', which is not a folder; create one on a machine with a network: python3 -m pip "
        "download --only-binary :all: --require-hashes -r build/requirements/run.txt -d FOLDER\n"
    )


def test_a_wheel_with_another_digest_is_refused(
    checkout: Path, bare: str, wheels: dict[str, str]
) -> None:
    requirements = checkout / "build" / "requirements" / "run.txt"
    text = requirements.read_text()
    requirements.write_text(re.sub("sha256:[0-9a-f]+", "sha256:" + "0" * 64, text, count=1))
    done = run([bare, str(checkout / "airelays.py"), "config", "path"], **wheels)
    assert done.returncode == 1 and "cannot install packages" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_list_without_digests_is_refused(
    checkout: Path, bare: str, wheels: dict[str, str]
) -> None:
    requirements = checkout / "build" / "requirements" / "run.txt"
    requirements.write_text(re.sub(" --hash=.*", "", requirements.read_text()))
    done = run([bare, str(checkout / "airelays.py"), "config", "path"], **wheels)
    assert done.returncode == 1 and "cannot install packages" in done.stderr
    assert not (checkout / ".venv").exists()


def test_an_environment_of_somebody_else_is_left_alone(
    checkout: Path, bare: str, wheels: dict[str, str]
) -> None:
    theirs = checkout / ".venv" / "theirs"
    theirs.parent.mkdir()
    theirs.write_text("mine")
    words = [bare, str(checkout / "airelays.py"), "config", "path"]
    done = run(words, **wheels)
    assert done.returncode == 0 and ".venv-airelays" in done.stderr
    assert os.listdir(checkout / ".venv") == ["theirs"]


def test_an_h11_that_is_too_old_is_not_used_and_pip_may_be_missing(
    checkout: Path, tmp_path: Path, wheels: dict[str, str]
) -> None:
    python = make_python(tmp_path / "old", "--without-pip")
    packages = next((tmp_path / "old").rglob("site-packages"))
    for name, version in (("h11", "0.14.0"), ("certifi", "2020.1.1")):
        (packages / name).mkdir()
        (packages / name / "__init__.py").write_text(f"__version__ = {version!r}\n")
    done = run([python, str(checkout / "airelays.py"), "config", "path"], **wheels)
    assert done.returncode == 0 and "creating a private" in done.stderr


def test_a_checkout_that_cannot_be_written_is_one_sentence(
    checkout: Path, bare: str, wheels: dict[str, str]
) -> None:
    words = [bare, str(checkout / "airelays.py"), "config", "path"]
    # A file where the folder must go stands for a place that cannot be written, for root too.
    (checkout / ".venv").write_text("")
    done = run(words, **wheels)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"airelays: {checkout / '.venv'} cannot be created: "
    )


# The locked lists


@pytest.mark.parametrize("name", ["run", "test", "build"])
def test_a_locked_list_pins_every_package_by_hash_and_names_no_host(name: str) -> None:
    text = (ROOT / "build" / "requirements" / f"{name}.txt").read_text()
    assert "://" not in text and "--index" not in text and "--find-links" not in text
    entries = [part for part in text.replace("\\\n", " ").splitlines() if not part.startswith("#")]
    assert entries
    for entry in entries:
        assert "==" in entry and "--hash=sha256:" in entry, entry


def test_the_run_list_is_the_two_dependencies_and_no_more() -> None:
    text = (ROOT / "build" / "requirements" / "run.txt").read_text()
    names = [line.partition("==")[0] for line in text.splitlines() if "==" in line]
    assert names == ["certifi", "h11"]


def test_the_node_lock_names_no_host() -> None:
    text = (ROOT / "tests" / "node" / "package-lock.json").read_text()
    assert '"resolved"' not in text and '"integrity"' in text


@pytest.mark.skipif(os.name == "nt", reason="a shell closes the descriptors")
@pytest.mark.parametrize("closing", ["<&- 2>&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_are_no_trouble_on_the_way_to_the_private_environment(
    checkout: Path, bare: str, closing: str
) -> None:
    spec = importlib.util.spec_from_file_location("launcher", LAUNCHER)
    assert spec is not None and spec.loader is not None
    launcher = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(launcher)
    private = checkout / ".venv" / "bin"
    private.mkdir(parents=True)
    locked = checkout / "build" / "requirements" / "run.txt"
    (checkout / ".venv" / launcher.MARKER).write_text(launcher.mark(str(locked)))
    (private / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (private / "python").chmod(0o755)
    config = checkout / "x.toml"
    command = f'exec "{bare}" "{checkout}/airelays.py" init --config "{config}" {closing}'
    done = run(["/bin/sh", "-c", command], HOME=str(checkout))
    assert done.returncode == 0, done.stderr
    assert config.read_text().startswith("# AIRelays.")
    assert (done.stdout == "") == (">&-" in closing.split())
