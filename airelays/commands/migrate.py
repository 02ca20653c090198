"""`migrate`: take over what an earlier AIRelays has kept; run again it changes nothing. Layer: commands.

Every part is taken only when there is none here yet, whole or not at all, and the earlier program's files stay as
they are. Only one of the two may go on being used: both would hold the same sign-in, whose refresh token works once.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

from airelays.commands.console import Console, escaped
from airelays.commands.earliersignin import find_left, take_sign_in
from airelays.commands.migration import FAILED, KEPT, NOTHING, TAKEN, Plan, Step, find_plan
from airelays.commands.table import Arguments
from airelays.disk.lock import FileLock, LockUnsupported
from airelays.disk.retention import Policy, load_policy, policy_path, save_policy
from airelays.disk.secretfile import create_private, make_private_dir, read_secret, write_private
from airelays.disk.state import SCHEMA_VERSION, State
from airelays.errors import ConfigError, RelayError

__all__ = ["run"]

IN_USE = 75
UPDATED = "brought up to date"


def run(args: Arguments, console: Console) -> int:
    """Take over each part; return 1 when one could not be, 75 when a relay uses the data folder."""
    plan = find_plan(args, console)
    if plan.dry:
        return _report(list(_steps(plan, console)), plan, args, console)
    make_private_dir(plan.data)
    lock = FileLock(os.path.join(plan.data, "relay.lock"))
    try:
        if not lock.acquire(0.0):
            console.note(f"a relay uses {plan.data}; stop it, then try again")
            return IN_USE
    except LockUnsupported:
        console.note(f"{plan.data} is on a file system without locks; no relay may run on it now")
    try:
        return _report(list(_steps(plan, console)), plan, args, console)
    finally:
        lock.release()


def _steps(plan: Plan, console: Console) -> Iterator[Step]:
    """Do each part. One that fails does not keep the others from being taken over."""
    yield _take_config(plan)
    parts: tuple[tuple[str, Callable[[Plan, Console], Step | None]], ...] = (
        ("relay token", _take_token),
        ("sign-in", take_sign_in),
        ("log policy", _take_policy),
        ("named files", _take_named_files),
        ("state", _take_state),
    )
    for name, take in parts:
        try:
            step = take(plan, console)
        except ConfigError as error:
            step = Step(name, FAILED, problem=str(error))
        except RelayError as error:
            step = Step(name, FAILED, problem=error.message)
        except (OSError, sqlite3.Error) as error:
            step = Step(name, FAILED, problem=f"it could not be taken over: {error}")
        if step is not None:
            yield step


def _take_config(plan: Plan) -> Step:
    if os.path.exists(plan.config):
        return Step("config", KEPT, plan.config)
    if plan.text is None:
        return Step("config", NOTHING, plan.old_config)
    if not plan.dry:
        make_private_dir(os.path.dirname(plan.config))
        write_private(plan.config, plan.text.encode())
    return Step("config", TAKEN, f"{plan.old_config} to {plan.config}")


def _take_token(plan: Plan, console: Console) -> Step:
    return _take_secret(
        "relay token", plan.old_token, plan.settings.bearer_token_file, plan, console
    )


def _take_secret(name: str, old: str, new: str, plan: Plan, console: Console) -> Step:
    if os.path.exists(new):
        return Step(name, KEPT, new)
    found = read_secret(old, warn=console.note)
    if found is None:
        return Step(name, NOTHING, old)
    if not plan.dry:
        create_private(new, found)
    return Step(name, TAKEN, f"{old} to {new}")


def _take_policy(plan: Plan, _: Console) -> Step | None:
    """What `airelays logs --retention-days` saved; said only where there is one, most have none."""
    name, new = "log policy", policy_path(plan.settings.logs_dir)
    if os.path.exists(new):
        return Step(name, KEPT, new)
    policy, source = load_policy(plan.old_logs, Policy.of(plan.settings))
    if source != "saved":
        return None
    if not plan.dry:
        save_policy(plan.settings.logs_dir, policy)
    return Step(name, TAKEN, f"{policy_path(plan.old_logs)} to {new}")


def _take_named_files(plan: Plan, console: Console) -> Step | None:
    """Other files in the earlier folder that the config names: a key, a list of authorities."""
    taken = []
    for change in plan.changes:
        if change.now is None or not change.key.endswith(("api_key_file", "ca_file")):
            continue
        old = plan.before(change.was)
        if _take_secret(change.key, old, change.now, plan, console).result == TAKEN:
            taken.append(f"{old} to {change.now}")
    return Step("named files", TAKEN, ", ".join(taken)) if taken else None


def _take_state(plan: Plan, _: Console) -> Step:
    """Files and conversations: the database as one consistent copy, then the bytes, then the schema."""
    old, new = (os.path.join(folder, "state.sqlite3") for folder in (plan.old_data, plan.data))
    name = "state"
    if os.path.exists(new):
        if _schema(new) >= SCHEMA_VERSION:
            return Step(name, KEPT, new)
        if not plan.dry:
            State(plan.data, recover=True).close()
        return Step(name, UPDATED, new)
    if not os.path.exists(old):
        return Step(name, NOTHING, old)
    if not plan.dry:
        _copy_files(os.path.join(plan.old_data, "uploads"), os.path.join(plan.data, "uploads"))
        _copy_database(old, new)
        State(plan.data, recover=True).close()
    return Step(name, TAKEN, f"{_counts(old)}, {old} to {new}")


def _schema(path: str) -> int:
    with closing(sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def _counts(path: str) -> str:
    counts = []
    with closing(sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True)) as db:
        for table in ("files", "conversations"):
            columns = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
            number = 0
            if columns:
                # A deleted file leaves its row behind for a while.
                which = " WHERE deleted_at IS NULL" if "deleted_at" in columns else ""
                number = db.execute(f"SELECT count(*) FROM {table}{which}").fetchone()[0]
            counts.append(f"{number:,} {table}")
    return " and ".join(counts)


def _copy_database(old: str, new: str) -> None:
    staged = f"{new}.migrate"
    with (
        closing(sqlite3.connect(f"file:{_quoted(old)}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(staged)) as copy,
    ):
        os.chmod(staged, 0o600)
        source.backup(copy)
    os.replace(staged, new)


def _copy_files(old: str, new: str) -> None:
    make_private_dir(new)
    if not os.path.isdir(old):
        return
    for entry in os.scandir(old):
        target = os.path.join(new, entry.name)
        if entry.is_file(follow_symlinks=False) and not os.path.exists(target):
            shutil.copyfile(entry.path, target + ".part", follow_symlinks=False)
            os.chmod(target + ".part", 0o600)
            os.replace(target + ".part", target)


def _quoted(path: str) -> str:
    from urllib.parse import quote

    return quote(os.path.abspath(path))


def _report(steps: list[Step], plan: Plan, args: Arguments, console: Console) -> int:
    left = find_left(plan, console)
    code = 1 if any(step.problem for step in steps) else 0
    if args.has("--json"):
        console.json(
            {
                "dry_run": plan.dry,
                "steps": [step._asdict() for step in steps],
                "config_changes": [change._asdict() for change in plan.changes],
                "not_taken_over": [each._asdict() for each in left],
            }
        )
        return code
    console.title("Migrate")
    console.section("Would be done" if plan.dry else "Done")
    for step in steps:
        console.field(step.name, f"{step.result} ({step.detail})" if step.detail else step.result)
    _list_lines(f"Changed in {plan.config}", [c.sentence() for c in plan.changes], console)
    _list_lines("Not Taken Over", [f"{each.what}: {each.why}" for each in left], console)
    _list_lines(
        "To Do", [f"{step.name}: {step.problem}" for step in steps if step.problem], console
    )
    _close(steps, plan, console)
    return code


def _list_lines(head: str, lines: list[str], console: Console) -> None:
    if lines:
        console.section(escaped(head))
        for line in lines:
            console.line(escaped(f"  {line}"))


def _close(steps: list[Step], plan: Plan, console: Console) -> None:
    results = {step.name: step.result for step in steps}
    moved = plan.old_data != plan.data and {TAKEN, UPDATED} & set(results.values())
    if not plan.dry and (moved or results["sign-in"] == TAKEN):
        console.line()
        console.line(
            "  Do not start the earlier program again: both would use up the same sign-in."
        )
    if not plan.dry:
        login = ["airelays login"] if results["sign-in"] == FAILED else []
        console.steps([*login, "airelays status", "airelays serve"])
