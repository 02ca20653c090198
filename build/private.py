"""Run a build script in a private environment that has exactly a hash-locked list, made with the launcher's help."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent


def load_launcher() -> ModuleType:
    """Return `airelays.py` of the root as a module: it knows how to make an environment."""
    spec = spec_from_file_location("airelays_launcher", ROOT / "airelays.py")
    if spec is None or spec.loader is None:
        raise SystemExit("airelays.py is missing at the root of the checkout")
    launcher = module_from_spec(spec)
    spec.loader.exec_module(launcher)
    return launcher


def run_privately(
    reason: str, script: str, arguments: list[str], *, name: str, lock: str, wheels: Path | None
) -> int:
    """Run `script` again in the environment `name`, made from `lock` when it is missing or outdated.

    `wheels` is a folder of packages: then no index is asked. `reason` says why this Python will not do.
    """
    launcher = load_launcher()
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        launcher.open_missing_streams()
    folder = launcher.own_folder(str(ROOT), name)
    requirements = str(ROOT / "build" / "requirements" / lock)
    if os.path.realpath(sys.prefix) == os.path.realpath(folder):
        sys.stderr.write(f"build: {reason}; remove {folder}, then try again\n")
        return 1
    if wheels is not None:
        os.environ |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels.resolve())}
    try:
        if not launcher.is_current(folder, requirements):
            sys.stderr.write(f"build: {reason}; making {folder} from {lock}\n")
            launcher.make_venv(folder, requirements, ["--only-binary", ":all:"])
    except launcher.Failed as failure:
        return int(launcher.refuse(str(failure)))
    return subprocess.call([launcher.python_of(folder), script, *arguments])
