"""What every test needs: nothing of the user's own environment leaks in. Fixtures of subjects stand in `live.py`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

for _name in list(os.environ):
    if _name.startswith(("AIRELAYS_TEST_", "AIRELAYS_SLOW_TESTS")):
        continue  # how long and how much the tests themselves try
    if _name.startswith(("AIRELAYS_", "AIRELAY_", "OPENAI_")):
        del os.environ[_name]

# Started in the background the tests inherit an ignored SIGINT, and what they start would too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run on a build machine; at a developer's desk new ones each time.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("desk", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "desk")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--relay",
        choices=["package", "onefile", "frozen", "executable"],
        default="package",
        help="which form of the program the live tests start; the executable runs as two processes, so tests that "
        "signal or measure the process are not for it",
    )


def pytest_configure(config: pytest.Config) -> None:
    from tests import live

    live.FORM = config.getoption("--relay")
    if live.FORM == "onefile":
        folder = tempfile.TemporaryDirectory(prefix="airelays-onefile-")
        config.add_cleanup(folder.cleanup)
        live.BUILT["onefile"] = Path(folder.name) / "airelays.py"
        script = ROOT / "build" / "onefile.py"
        words = [sys.executable, str(script), "--write", "--file", str(live.BUILT["onefile"])]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    if live.FORM == "frozen":
        # The folder: one process, so that signals mean what they mean elsewhere.
        archives = sorted((ROOT / "dist").glob("airelays-*-*-*.tar.gz"))
        if not archives:
            raise pytest.UsageError("there is no archive yet: python3 build/freeze.py --write")
        folder = tempfile.TemporaryDirectory(prefix="airelays-frozen-")
        config.add_cleanup(folder.cleanup)
        with tarfile.open(archives[-1]) as archive:
            archive.extractall(folder.name, filter="data")
        (live.BUILT["frozen"],) = Path(folder.name).glob("airelays-*/airelays")
