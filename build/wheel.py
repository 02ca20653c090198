"""Make the wheel and the source archive: `python3 build/wheel.py --write [--wheels DIR]`.

With hatchling, in the private environment from `build/requirements/build.txt`; the same sources give the same bytes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from packing import EpochError, source_epoch
from private import run_privately

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"


def main(arguments: list[str]) -> int:
    """Build; return the exit code."""
    parser = argparse.ArgumentParser(prog="build/wheel.py")
    parser.add_argument("--write", action="store_true", required=True)
    parser.add_argument("--out", metavar="DIR", type=Path, default=DIST)
    parser.add_argument("--wheels", metavar="DIR", type=Path, help="folder of packages; no index")
    given = parser.parse_args(arguments)
    if find_spec("hatchling") is None:
        return run_privately(
            "hatchling is not installed",
            __file__,
            arguments,
            name=".venv-build",
            lock="build.txt",
            wheels=given.wheels,
        )
    os.umask(0o022)
    try:
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(source_epoch())}
    except EpochError as error:
        sys.stderr.write(f"build/wheel.py: {error}\n")
        return 1
    words = [sys.executable, "-m", "hatchling", "build", "-d", str(given.out.resolve())]
    return subprocess.call(words, cwd=ROOT, env=environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
