"""Every place of the program that opens a file for writing, with its reason, read from the source.

A new one needs a line here, and a reason why none of the writers that are there would do: `disk/secretfile.py` in the
relay's own folders, `disk/outside.py` everywhere else.
"""

from __future__ import annotations

import ast
import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "airelays"

# "module: function: call" -> how many, and why. Flags and modes stand beside each call in the source.
PLACES = {
    # Not a file.
    "cli.py: _open_missing_streams: os.open": (
        1,
        "/dev/null in place of a closed stdin or stdout.",
    ),
    "cli.py: _open_missing_streams: open": (2, "The descriptors 1 and 2, which are open already."),
    "cli.py: _drop_output: os.open": (1, "/dev/null for output that nobody reads any more."),
    # The writer of the relay's own folders: token, sign-in, pid, policy, catalog, unblock.
    "disk/folder.py: stage: os.open": (
        1,
        "The new file of both writers: O_EXCL, O_NOFOLLOW.",
    ),
    "credentials/secretfile.py: _put: os.replace": (1, "The staged file takes the name, 0600."),
    "credentials/secretfile.py: _link_as_new: os.link": (
        1,
        "The same where a file that is there stays.",
    ),
    "credentials/secretfile.py: _keep_backup: os.replace": (1, "PATH.bak, staged as well."),
    "credentials/as_owner.py: put: os.replace": (
        1,
        "The same for root in the folder of another user.",
    ),
    "credentials/as_owner.py: put: os.link": (1, "The same where a file that is there stays."),
    "credentials/as_owner.py: make_lock: os.open": (
        1,
        "A lock file of that user's: O_EXCL, O_NOFOLLOW.",
    ),
    # The writer of everything else: units, client settings, backups, config, --ready-file.
    "commands/verify.py: check_signature: tempfile.TemporaryDirectory": (
        1,
        "The public keys of this copy, for ssh-keygen: a new folder, 0700.",
    ),
    "commands/verify.py: check_signature: open": (1, "The one file in it."),
    "disk/outside.py: _replace: os.replace": (
        1,
        "The staged file takes the name in the open folder.",
    ),
    # What is appended to or written in place, in the relay's own folders.
    "credentials/lock.py: _open: os.open": (
        1,
        "A lock is on a file that stays: O_NOFOLLOW, regular only.",
    ),
    "journal/files.py: open_own: os.open": (
        1,
        "The log and the book are appended to: O_NOFOLLOW, own file only.",
    ),
    "journal/writer.py: _write: os.ftruncate": (1, "Half a line of a full disk is taken back."),
    "state/spool.py: _open: os.open": (1, "An upload as it comes: O_EXCL, O_NOFOLLOW, in tmp/."),
    "state/spool.py: keep: os.replace": (1, "A whole upload gets its name."),
    "state/database.py: _make_private: os.open": (
        1,
        "The database is 0600 before SQLite opens it.",
    ),
    "state/database.py: __init__: sqlite3.connect": (1, "SQLite writes the database itself."),
    "state/database.py: _carry_files: os.replace": (
        1,
        "Uploads of early versions get their names.",
    ),
    "state/database.py: _migrate: os.replace": (1, "They get the old ones back when that fails."),
    "state/usage.py: _reading: sqlite3.connect": (1, "The database, to read: mode=ro."),
    # migrate: in a folder of its own, 0700, that is removed in every case.
    "commands/migrate/state.py: _prepare: tempfile.mkdtemp": (1, "That folder."),
    "commands/migrate/state.py: _copy_file: os.open": (1, "A copy of an upload: O_EXCL."),
    "commands/migrate/state.py: _copy_file: open": (1, "The descriptor of that copy."),
    "commands/migrate/state.py: _copy_file: shutil.copyfileobj": (1, "Into that copy."),
    "commands/migrate/state.py: _upgraded: sqlite3.connect": (1, "The copy of the database."),
    "commands/migrate/state.py: _reading: sqlite3.connect": (1, "The earlier one: mode=ro."),
    "commands/migrate/state.py: _move_in: os.replace": (
        2,
        "Uploads and database take their names.",
    ),
    "commands/configure.py: run_edit: tempfile.TemporaryDirectory": (
        1,
        "Where the copy for the editor lies; removed at the end.",
    ),
    "commands/configure.py: run_edit: open": (1, "That copy."),
    "commands/holding.py: _own_folder: tempfile.TemporaryDirectory": (
        1,
        "Where a relay inside `run` keeps what ends with it: a new folder, 0700.",
    ),
    # doctor --self-test: a temporary folder, removed at the end.
    "commands/doctor/selftest.py: self_test: tempfile.TemporaryDirectory": (1, "That folder."),
    "commands/doctor/selftest.py: _write: open": (1, "The test's own certificate in that folder."),
}

# What makes, changes or renames a file. `os.open` counts unless its flags are plainly those of reading.
CALLS = {
    "os.link",
    "os.mkfifo",
    "os.mknod",
    "os.rename",
    "os.renames",
    "os.replace",
    "os.symlink",
    "os.truncate",
    "os.ftruncate",
    "shutil.copy",
    "shutil.copy2",
    "shutil.copyfile",
    "shutil.copyfileobj",
    "shutil.copytree",
    "shutil.move",
    "shutil.make_archive",
    "shutil.unpack_archive",
    "sqlite3.connect",
    "tempfile.mkdtemp",
    "tempfile.mkstemp",
    "tempfile.NamedTemporaryFile",
    "tempfile.SpooledTemporaryFile",
    "tempfile.TemporaryDirectory",
    "tempfile.TemporaryFile",
}
METHODS = {"write_text", "write_bytes", "touch", "symlink_to", "hardlink_to", "extractall"}
# Names in flags that are no flags: a module, a function, a condition.
HARMLESS = {"os", "getattr", "follow"}
WRITING = ("O_WRONLY", "O_RDWR", "O_CREAT", "O_APPEND", "O_TRUNC", "O_EXCL", "O_TMPFILE")


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def own_names(path: Path) -> dict[str, str]:
    """Return the text of everything that the names of a module, those in its functions included, are given."""
    found: dict[str, str] = {}
    for node in ast.walk(tree(path)):
        pairs: list[tuple[ast.expr, ast.expr]] = []
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.AugAssign | ast.AnnAssign) and node.value is not None:
            pairs = [(node.target, node.value)]
        elif isinstance(node, ast.For):
            pairs = [(node.target, node.iter)]
        for target, value in pairs:
            if isinstance(target, ast.Name):
                before = found.get(target.id, "0")
                found[target.id] = f"({before}) | ({ast.unparse(value)})"
    return found


def known_names(path: Path) -> dict[str, str]:
    """Return the names of a module and those that it imports from other modules of ours."""
    found = dict(own_names(path))
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("airelays."):
            there = ROOT / (str(node.module).replace(".", "/") + ".py")
            theirs = own_names(there) if there.exists() else {}
            for alias in node.names:
                if alias.name in theirs:
                    found |= {n: t for n, t in theirs.items() if n not in found}
    return found


def only_reads(flags: ast.expr, names: dict[str, str]) -> bool:
    """Whether the flags of an `os.open` come from names that are known, and none of them is one of writing."""
    waiting, seen = [ast.unparse(flags)], set[str]()
    while waiting:
        text = waiting.pop()
        if any(flag in text for flag in WRITING):
            return False
        used = {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)}
        for name in used - seen - HARMLESS:
            if name not in names:
                return False
            seen.add(name)
            waiting.append(names[name])
    return True


def writes(call: ast.Call, names: dict[str, str]) -> str:
    """Return what the call is named when it makes, changes or renames a file, else ""."""
    name = ast.unparse(call.func)
    if name in CALLS:
        return name
    if isinstance(call.func, ast.Attribute) and call.func.attr in METHODS:
        return name
    if name == "os.open":
        return "" if len(call.args) > 1 and only_reads(call.args[1], names) else name
    if name in ("open", "io.open", "os.fdopen", "fdopen", "gzip.open", "zipfile.ZipFile"):
        given = call.args[1:2] or [k.value for k in call.keywords if k.arg == "mode"]
        text = ast.literal_eval(given[0]) if given and isinstance(given[0], ast.Constant) else ""
        plain = not given or (text and not set(text) & set("wax+"))
        return "" if plain else name
    return ""


def places(path: Path) -> Iterator[str]:
    module = path.relative_to(PACKAGE).as_posix()
    names = known_names(path)

    def walk(node: ast.AST, function: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            inner = function
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                inner = child.name
            if isinstance(child, ast.Call) and (name := writes(child, names)):
                yield f"{module}: {function}: {name}"
            yield from walk(child, inner)

    yield from walk(tree(path), "")


def test_every_place_that_writes_a_file_is_listed_with_its_reason() -> None:
    found = Counter(place for path in PACKAGE.rglob("*.py") for place in places(path))
    assert found == {place: count for place, (count, _) in PLACES.items()}
    assert all(reason.endswith(".") for _, reason in PLACES.values())


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("open(p, 'wb')", ["open"]),
        ("open(p, 'rb')", []),
        ("open(p)", []),
        ("open(p, mode=m)", ["open"]),
        ("open(p, 'r+')", ["open"]),
        ("os.open(p, os.O_RDONLY)", []),
        ("os.open(p, FLAGS)", ["os.open"]),
        ("FLAGS = os.O_RDONLY | os.O_CLOEXEC\nos.open(p, FLAGS)", []),
        ("A = os.O_CREAT\nB = os.O_RDONLY | A\nos.open(p, B)", ["os.open"]),
        ("Path(p).write_text('x')", ["Path(p).write_text"]),
        ("def f():\n    def g():\n        os.replace(a, b)", ["os.replace"]),
    ],
)
def test_the_search_sees_what_writes(code: str, found: list[str]) -> None:
    parsed = ast.parse(code)
    names = {
        node.targets[0].id: ast.unparse(node.value)
        for node in ast.walk(parsed)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    calls = [n for n in ast.walk(parsed) if isinstance(n, ast.Call)]
    assert [name for call in calls if (name := writes(call, names))] == found
