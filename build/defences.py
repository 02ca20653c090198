"""Take each defence away and see that a test notices: `python3 build/defences.py [ROW ...] [--jobs N] [--list]`.

For every row of the table of threats (W1 to N10; the entries stand in build/defences/) the tracked files of the
working tree are copied, one defence is replaced there by what a careless change would leave of it, and the tests
that are named with it run. At least one must fail. First all of them run once with nothing taken away, and must pass.
An entry names a file, a function and a change (build/defences/change.py); `--show` prints what each would do.

The exit code is 0 only when every defence was missed. A test run that hangs or breaks counts as a failure, and says
so. `--no-baseline` leaves the first run out.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from private import run_privately

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "build" / "defences"))

from bodies import BODIES  # noqa: E402 - the tables' folder is on the path only now
from caller import CALLER  # noqa: E402
from change import Stale  # noqa: E402
from commands import COMMANDS  # noqa: E402
from connecting import CONNECTING  # noqa: E402
from connections import CONNECTIONS  # noqa: E402
from echoes import ECHOES  # noqa: E402
from entry import Defence  # noqa: E402
from growth import GROWTH  # noqa: E402
from journal import JOURNAL  # noqa: E402
from keys import KEYS  # noqa: E402
from limits import LIMITS  # noqa: E402
from process import PROCESS  # noqa: E402
from secretfiles import SECRET_FILES  # noqa: E402
from signin import SIGN_IN  # noqa: E402
from terminal import TERMINAL  # noqa: E402
from upstream import UPSTREAM  # noqa: E402
from viewing import PAGE  # noqa: E402
from wire import WIRE  # noqa: E402

DEFENCES: tuple[Defence, ...] = (
    *WIRE,
    *CONNECTIONS,
    *CALLER,
    *COMMANDS,
    *GROWTH,
    *LIMITS,
    *BODIES,
    *JOURNAL,
    *KEYS,
    *CONNECTING,
    *UPSTREAM,
    *ECHOES,
    *SIGN_IN,
    *SECRET_FILES,
    *PAGE,
    *PROCESS,
    *TERMINAL,
)
TIMEOUT_S = 120.0
BASELINE_TIMEOUT_S = 1800.0
# pytest's exit codes.
PASSED, FAILED, WRONG_WORDS, NOTHING_RAN = 0, 1, 4, 5
_FAILED_TEST = re.compile(r"^(?:FAILED|ERROR) tests/(.+?)(?: - .*)?$", re.MULTILINE)


class Finding(NamedTuple):
    """What became of one entry. `word` is "noticed" when all is well; `by` is the test, or what went wrong."""

    defence: Defence
    word: str
    by: str


def main(arguments: Sequence[str]) -> int:
    """Try the entries of the named rows, or all; return the exit code."""
    parser = argparse.ArgumentParser(prog="build/defences.py")
    parser.add_argument("rows", metavar="ROW", nargs="*", help="W1, A4 and so on; all when none")
    parser.add_argument("--list", action="store_true", help="print the entries, try nothing")
    parser.add_argument("--show", action="store_true", help="print the changes, try nothing")
    parser.add_argument("--jobs", metavar="N", type=int, default=1, help="so many at a time")
    parser.add_argument("--no-baseline", action="store_true", help="skip the run with no change")
    given = parser.parse_args(arguments)
    unknown = set(given.rows) - {d.row for d in DEFENCES}
    if unknown:
        parser.error(f"no entry is of row {', '.join(sorted(unknown))}")
    chosen = [d for d in DEFENCES if not given.rows or d.row in given.rows]
    if given.show:
        print("\n".join(map(shown, chosen)))
        return 0
    if given.list:
        print(table([Finding(d, d.file, "") for d in chosen]))
        return 0
    if find_spec("pytest") is None or find_spec("hypothesis") is None:
        return run_privately(
            "pytest is not installed",
            __file__,
            list(arguments),
            name=".venv-test",
            lock="test.txt",
            wheels=None,
        )
    if not given.no_baseline and not baseline_passes(chosen):
        return 1
    found = try_all(chosen, max(1, given.jobs))
    missed = [f for f in found if not f.word.startswith("noticed")]
    print(table(found))
    print(
        f"{len(found)} defences of {len({f.defence.row for f in found})} rows taken away, ", end=""
    )
    print(f"{len(found) - len(missed)} noticed, {len(missed)} not")
    return 1 if missed else 0


def baseline_passes(chosen: Sequence[Defence]) -> bool:
    """Run all named tests with nothing taken away; say so when they do not pass."""
    for flags in sorted({d.flags for d in chosen}):
        names = sorted({name for d in chosen if d.flags == flags for name in d.tests})
        with tempfile.TemporaryDirectory(prefix="airelays-defences-") as scratch:
            copy_tree(Path(scratch))
            words = " ".join(("python", *flags))
            print(f"with nothing taken away, {words}: {len(names)} tests", flush=True)
            code, said = run_tests(Path(scratch), names, flags, BASELINE_TIMEOUT_S)
        if code != PASSED:
            print(f"{said[-4000:]}\nthe named tests do not pass as it is; nothing was tried")
            return False
    return True


def try_all(chosen: Sequence[Defence], jobs: int) -> list[Finding]:
    """Try each entry in one of `jobs` copies of the tree; print each finding as it comes."""
    copies: list[Path] = []
    at_work = threading.Lock()

    def try_next(defence: Defence) -> Finding:
        with at_work:
            folder = copies.pop()
        try:
            found = try_one(folder, defence)
        finally:
            with at_work:
                copies.append(folder)
        print(f"{defence.row} {defence.name}: {found.word} {found.by}", flush=True)
        return found

    with tempfile.TemporaryDirectory(prefix="airelays-defences-") as scratch:
        for number in range(jobs):
            copies.append(Path(scratch) / str(number))
            copy_tree(copies[-1])
        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(try_next, chosen))


def try_one(folder: Path, defence: Defence) -> Finding:
    """Take one defence away in `folder`, run its tests there, put it back."""
    path = folder / defence.file
    try:
        without = defence.taken_from(folder)
    except (OSError, Stale) as error:
        return Finding(defence, "STALE", str(error))
    whole = path.read_text(encoding="utf-8")
    path.write_text(without, encoding="utf-8")
    try:
        code, said = run_tests(folder, defence.tests, defence.flags, TIMEOUT_S)
    finally:
        path.write_text(whole, encoding="utf-8")
    test = _FAILED_TEST.search(said)
    if code == PASSED:
        return Finding(defence, "NOT NOTICED", "")
    if code in (WRONG_WORDS, NOTHING_RAN):
        return Finding(defence, "NO SUCH TEST", said.strip().splitlines()[-1])
    by = test[1].partition("[")[0] if test is not None else f"exit code {code}"
    return Finding(defence, "noticed" if code == FAILED and test else "noticed, run broken", by)


def shown(defence: Defence) -> str:
    """Return what taking one defence away changes, as a diff."""
    before = (ROOT / defence.file).read_text(encoding="utf-8").splitlines()
    after = defence.taken_from(ROOT).splitlines()
    lines = list(difflib.unified_diff(before, after, lineterm="", n=0))[2:]
    return "\n".join([f"{defence.row} {defence.name}: {defence.file}", *lines, ""])


def copy_tree(folder: Path) -> None:
    """Copy the files that git tracks, as they are in the working tree now, and new ones that it does not ignore."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(words, cwd=ROOT, check=True, capture_output=True).stdout
    for name in names.decode().split("\0"):
        source = ROOT / name
        if name and source.is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def run_tests(
    folder: Path, names: Sequence[str], flags: Sequence[str], timeout_s: float
) -> tuple[int | None, str]:
    """Return pytest's exit code, None when it did not end in time, and what it said."""
    words = [sys.executable, *flags, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *names]
    environment = {
        **os.environ,
        # The same examples of hypothesis each time; no byte code of a changed file for the next run.
        "CI": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
    }
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            words,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        code: int | None = None
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            end_group(process)
        output.seek(0)
        return code, output.read().decode("utf-8", "replace")


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End pytest, if it has not ended, and every process that it has left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def table(found: Sequence[Finding]) -> str:
    """Return rows, defences, and what became of them, in columns."""
    width = max((len(f.defence.name) for f in found), default=0)
    return "\n".join(
        f"{f.defence.row:4} {f.defence.name:{width}}  {f.word}  {f.by}".rstrip() for f in found
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
