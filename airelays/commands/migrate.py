"""`migrate`: take over what an earlier AIRelays has kept; run again it changes nothing. Layer: commands.

Every part is taken only when there is none here yet, whole or not at all, and the earlier program's files stay as
they are. Only one of the two may go on being used: both would hold the same sign-in, whose refresh token works once.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

from airelays.commands.console import Console
from airelays.commands.context import find_config, find_context, find_places, read_config
from airelays.commands.table import Arguments
from airelays.config import load
from airelays.disk.lock import FileLock, LockUnsupported
from airelays.disk.secretfile import create_private, make_private_dir, read_secret, write_private
from airelays.disk.state import SCHEMA_VERSION, State
from airelays.errors import ConfigError, RelayError
from airelays.upstream.chatgpt.store import SignInStore
from airelays.values import absolute_path

__all__ = ["run"]

IN_USE = 75
TAKEN, KEPT, NOTHING = "taken over", "kept, there was one here", "nothing there"


class Plan(NamedTuple):
    """From where to where. Both folders may be the same: then only what is inside is brought up to date."""

    old_config: str
    config: str
    old_data: str
    data: str
    dry: bool


class Step(NamedTuple):
    """What became of one part."""

    name: str
    result: str
    detail: str = ""


def run(args: Arguments, console: Console) -> int:
    """Take over each part; return 75 when a relay uses the data folder."""
    plan = _plan(args, console)
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


def _plan(args: Arguments, console: Console) -> Plan:
    places = find_places(console.env)
    context = find_context(args, console)
    data = context.settings.data_dir
    if context.loaded.origins["data_dir"].source == "default":
        data = f"{places.home}/.airelays"
    config, asked = find_config(args.get("--config"), console.env, places)
    if not asked:
        config = f"{places.home}/.config/airelays/config.toml"
    given, given_config = args.get("--from"), args.get("--from-config")
    old_data = absolute_path(given, places) if given else f"{places.home}/.airelay"
    if given and not os.path.isdir(old_data):
        raise ConfigError(
            f"--from is {old_data}, and there is no such folder; name the one to take over"
        )
    if not os.path.isdir(old_data):
        old_data = data
    old_config = (
        absolute_path(given_config, places)
        if given_config
        else f"{places.home}/.config/airelay/config.toml"
    )
    if given_config and not os.path.isfile(old_config):
        raise ConfigError(f"--from-config is {old_config}, and there is no such file")
    return Plan(old_config, config, old_data, data, args.has("--dry-run"))


def _steps(plan: Plan, console: Console) -> Iterator[Step]:
    yield _take_config(plan, console)
    yield _take_token(plan, console)
    yield _take_sign_in(plan, console)
    try:
        yield from _take_state(plan)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"files and conversations could not be taken over: {error}") from error
    except RelayError as error:
        raise ConfigError(error.message) from error


def _take_config(plan: Plan, console: Console) -> Step:
    if os.path.exists(plan.config):
        return Step("config", KEPT, plan.config)
    text = read_config(plan.old_config)
    if text is None:
        return Step("config", NOTHING, plan.old_config)
    # Refused here rather than at the next start: an unknown key is named with its file.
    load(text, plan.old_config, {}, {}, places=find_places(console.env))
    if not plan.dry:
        make_private_dir(os.path.dirname(plan.config))
        write_private(plan.config, text.encode())
    return Step("config", TAKEN, f"{plan.old_config} to {plan.config}")


def _take_token(plan: Plan, console: Console) -> Step:
    old, new = (os.path.join(folder, "relay-token") for folder in (plan.old_data, plan.data))
    if os.path.exists(new):
        return Step("relay token", KEPT, new)
    found = read_secret(old, warn=console.note)
    if found is None:
        return Step("relay token", NOTHING, old)
    if not plan.dry:
        create_private(new, found)
    return Step("relay token", TAKEN, f"{old} to {new}")


def _take_sign_in(plan: Plan, console: Console) -> Step:
    here = SignInStore(plan.data, warn=console.note)
    if here.load() is not None:
        return Step("sign-in", KEPT, here.path)
    there = SignInStore(plan.old_data, warn=console.note)
    found = there.load()
    if found is None:
        return Step("sign-in", NOTHING, there.path)
    if not plan.dry:
        with here.lock():
            here.save(found)
    return Step("sign-in", TAKEN, f"{there.path} to {here.path}")


def _take_state(plan: Plan) -> Iterator[Step]:
    """Files and conversations: the database as one consistent copy, then the bytes, then the schema."""
    old, new = (os.path.join(folder, "state.sqlite3") for folder in (plan.old_data, plan.data))
    name = "state"
    if os.path.exists(new):
        if _schema(new) >= SCHEMA_VERSION:
            yield Step(name, KEPT, new)
            return
        if not plan.dry:
            State(plan.data, recover=True).close()
        yield Step(name, "brought up to date", new)
        return
    if not os.path.exists(old):
        yield Step(name, NOTHING, old)
        return
    if not plan.dry:
        _copy_files(os.path.join(plan.old_data, "uploads"), os.path.join(plan.data, "uploads"))
        _copy_database(old, new)
        State(plan.data, recover=True).close()
    yield Step(name, TAKEN, f"{_counts(old)}, {old} to {new}")


def _schema(path: str) -> int:
    with closing(sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def _counts(path: str) -> str:
    counts = []
    with closing(sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True)) as db:
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
        for table in ("files", "conversations"):
            number = 0
            if table in tables:
                number = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
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
    changed = [s for s in steps if s.result not in (KEPT, NOTHING)]
    if args.has("--json"):
        console.json({"dry_run": plan.dry, "steps": [s._asdict() for s in steps]})
        return 0
    console.title("Migrate")
    console.section("Would be done" if plan.dry else "Done")
    for step in steps:
        console.field(step.name, f"{step.result} ({step.detail})" if step.detail else step.result)
    if changed and not plan.dry and plan.old_data != plan.data:
        console.line()
        console.line(
            "  Do not start the earlier program again: both would use up the same sign-in."
        )
    if not plan.dry:
        console.steps(["airelays status", "airelays serve"])
    return 0
