"""Run every check and every test: `python3 build/test.py [ARGUMENTS FOR PYTEST]`.

Needs Python 3.11 with pip and nothing else: the tools come from `build/requirements/test.txt`, locked by hash,
into a private `.venv-test`. What this machine has no program for is skipped, which is said first (build/needs.py).
ruff, mypy and zizmor come before pytest, whose summary ends the output. The exit code is 0 only when all of them were
content. `python3 -O build/test.py` runs the tests without asserts of ours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from needs import skipped
from private import load_launcher

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "build" / "requirements" / "test.txt"
NODE = ROOT / "tests" / "node"
WORKFLOWS = ".github/workflows"


def main(arguments: Sequence[str]) -> int:
    """Run all checks; return the exit code."""
    launcher = load_launcher()
    if sys.version_info < launcher.NEEDED:
        return int(launcher.refuse("the tests need Python 3.11 or newer"))
    for line in skipped():
        say(line)
    try:
        python = prepare(launcher)
    except launcher.Failed as failure:
        return int(launcher.refuse(str(failure)))
    prepare_node()
    prepare_browser()
    failed = [name for name, command in checks(python) if not run(name, command)]
    flags = ["-O"] * bool(sys.flags.optimize)
    tests = subprocess.call([python, *flags, "-m", "pytest", *arguments], cwd=ROOT)
    for name in failed:
        say(f"{name} FAILED, see above")
    return tests or (1 if failed else 0)


def prepare(launcher: ModuleType) -> str:
    """Return the interpreter of the test environment; make that first when it is not current."""
    folder = launcher.own_folder(str(ROOT), ".venv-test")
    if not launcher.is_current(folder, str(REQUIREMENTS)):
        say(f"making {folder} from {REQUIREMENTS.relative_to(ROOT)}")
        launcher.make_venv(folder, str(REQUIREMENTS), [])
    return str(launcher.python_of(folder))


def prepare_node() -> None:
    """Install the packages of the Node tests from their lock; say when that fails."""
    lock = NODE / "package-lock.json"
    installed = NODE / "node_modules" / ".airelays-lock"
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return
    if installed.is_file() and installed.read_bytes() == lock.read_bytes():
        return
    say(f"npm ci in {NODE.relative_to(ROOT)}")
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    if subprocess.call(command, cwd=NODE, stdin=subprocess.DEVNULL) != 0:
        say("npm ci failed: the tests that drive the openai package of Node are skipped")
        return
    installed.write_bytes(lock.read_bytes())


def prepare_browser() -> None:
    """Install Debian's Chromium on a build machine that has none; say when that fails."""
    if shutil.which("chromium") or shutil.which("chromium-browser"):
        return
    apt = shutil.which("apt-get")
    if not os.environ.get("CI") or apt is None or os.geteuid() != 0:
        return
    say("apt-get install chromium")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ([apt, "update"], [apt, "install", "-y", "--no-install-recommends", "chromium"]):
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode != 0:
            say("apt-get failed: the tests of web pages are skipped")
            return


def checks(python: str) -> list[tuple[str, list[str]]]:
    """Return the checks that come before the tests."""
    zizmor = str(Path(python).with_name("zizmor"))
    return [
        ("ruff format", [python, "-m", "ruff", "format", "--check", "--quiet", "."]),
        ("ruff check", [python, "-m", "ruff", "check", "--quiet", "."]),
        ("mypy", [python, "-m", "mypy"]),
        # Offline: what it could ask GitHub for is not needed to judge these two files.
        (
            "zizmor",
            [zizmor, "--offline", "--quiet", "--no-progress", "--persona=pedantic", WORKFLOWS],
        ),
    ]


def run(name: str, command: list[str]) -> bool:
    """Run one check and say how it went."""
    good = subprocess.call(command, cwd=ROOT) == 0
    say(f"{name}: {'ok' if good else 'FAILED'}")
    return good


def say(text: str) -> None:
    """Print one line, in order with what the tools print."""
    print(f"build/test.py: {text}", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUTF8", "1")
    sys.exit(main(sys.argv[1:]))
