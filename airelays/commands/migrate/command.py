"""`migrate`: import what an earlier AIRelays stored; running it again changes nothing. Layer: commands.

A part is imported only if there is none here yet, completely or not at all, and the earlier program's files are not
changed. If the database cannot be upgraded, nothing is imported and nothing is left behind. Only one of the two
programs can be used afterwards: both would have the same sign-in, whose refresh token works once.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator

from airelays.commands.migrate.clean import offer_clean, run_clean
from airelays.commands.migrate.plan import (
    FAILED,
    KEPT,
    NOTHING,
    TAKEN,
    UPDATED,
    Plan,
    Step,
    find_plan,
)
from airelays.commands.migrate.sign_in import find_left, take_sign_in
from airelays.commands.migrate.state import Prepared, prepared, sweep
from airelays.credentials.lock import FileLock, LockUnsupported
from airelays.credentials.secretfile import create_private, read_secret
from airelays.credentials.token import checked_token
from airelays.disk.folder import make_private_dir
from airelays.disk.outside import remove_outside, write_outside
from airelays.errors import ConfigError, RelayError
from airelays.hints import hint
from airelays.journal.retention import Policy, load_policy, policy_path, save_policy
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console, escaped

IN_USE = 75


def run(args: Arguments, console: Console) -> int:
    """Take over each part; return 1 when one could not be, 75 when a relay uses the data folder."""
    if args.has("--clean"):
        return run_clean(args, console)
    plan = find_plan(args, console)
    with contextlib.ExitStack() as stack:
        existed = os.path.isdir(plan.data)
        if not plan.dry and existed and not _locked(plan, console, stack):
            return IN_USE
        state = stack.enter_context(prepared(plan))
        if state.step.problem:
            return _report(_nothing_taken(state), plan, args, console)
        if plan.dry:
            return _report(list(_steps(plan, state, console)), plan, args, console)
        if not existed:
            stack.callback(_remove_unused, plan.data)
            make_private_dir(plan.data)
            if not _locked(plan, console, stack):
                return IN_USE
        return _report(list(_steps(plan, state, console)), plan, args, console)


def _locked(plan: Plan, console: Console, stack: contextlib.ExitStack) -> bool:
    """Hold the data folder's lock until the stack unwinds; False when a relay has it."""
    lock = FileLock(os.path.join(plan.data, "relay.lock"))
    try:
        if not lock.acquire(0.0):
            console.note(f"a relay is using {plan.data}; stop it, then try again")
            return False
    except LockUnsupported:
        console.note(
            f"{plan.data} is on a file system without locks; make sure that no relay is using it now"
        )
    stack.callback(lock.release)
    sweep(plan.data)
    return True


def _remove_unused(data: str) -> None:
    """Remove a data folder of this run in which nothing but its lock has come to be."""
    if os.path.isdir(data) and set(os.listdir(data)) <= {"relay.lock"}:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(data, "relay.lock"))
        with contextlib.suppress(OSError):
            os.rmdir(data)


def _nothing_taken(state: Prepared) -> list[Step]:
    """A relay without its state would create a new one at startup, and block a later import of the earlier one."""
    names = ("config", "relay token", "sign-in")
    return [
        *(Step(name, FAILED, "because the state could not be imported") for name in names),
        state.step,
    ]


def _steps(plan: Plan, state: Prepared, console: Console) -> Iterator[Step]:
    """Import each part. If one of the later ones fails, the others are still imported."""
    yield _take_config_and_state(plan, state)
    parts: tuple[tuple[str, Callable[[Plan, Console], Step | None]], ...] = (
        ("relay token", _take_token),
        ("sign-in", take_sign_in),
        ("log policy", _take_policy),
        ("named files", _take_named_files),
    )
    for name, take in parts:
        try:
            step = take(plan, console)
        except ConfigError as error:
            step = Step(name, FAILED, problem=str(error))
        except RelayError as error:
            step = Step(name, FAILED, problem=error.local)
        except OSError as error:
            step = Step(name, FAILED, problem=f"it could not be imported: {error}")
        if step is not None:
            yield step
    yield state.step


def _take_config_and_state(plan: Plan, state: Prepared) -> Step:
    """Take over both or neither. Raises ConfigError when that cannot be done, with nothing changed."""
    folder = os.path.dirname(plan.config)
    made = not os.path.isdir(folder)
    step = _take_config(plan)
    if plan.dry:
        return step
    try:
        state.install()
    except (ConfigError, RelayError, OSError, sqlite3.Error) as error:
        if step.result == TAKEN:
            remove_outside(plan.config)
            if made:
                os.rmdir(folder)
        raise ConfigError(
            f"the files and conversations cannot be put into {plan.data} ({getattr(error, 'local', error)}); "
            f"nothing was imported"
        ) from error
    return step


def _take_config(plan: Plan) -> Step:
    if os.path.exists(plan.config):
        return Step("config", KEPT, plan.config)
    if plan.text is None:
        return Step("config", NOTHING, plan.old_config)
    if not plan.dry:
        write_outside(plan.config, plan.text.encode())
    return Step("config", TAKEN, f"{plan.old_config} to {plan.config}")


def _take_token(plan: Plan, console: Console) -> Step:
    """The token, unless no client could use it: `serve` would refuse to start with it."""
    return _take_secret(
        "relay token",
        plan.old_token,
        plan.settings.bearer_token_file,
        plan,
        console,
        check=checked_token,
    )


def _take_secret(
    name: str,
    old: str,
    new: str,
    plan: Plan,
    console: Console,
    check: Callable[[bytes, str], object] | None = None,
) -> Step:
    if os.path.lexists(new):
        return Step(name, KEPT, new)
    found = read_secret(old, warn=console.note)
    if found is None:
        return Step(name, NOTHING, old)
    if check is not None and not check(found, old):
        raise ConfigError(f"{old} is empty; `{hint('init')}` creates a token")
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
    _list_lines("Not Imported", [f"{each.what}: {each.why}" for each in left], console)
    _list_lines(
        "To Do", [f"{step.name}: {step.problem}" for step in steps if step.problem], console
    )
    later = "" if code or plan.dry else offer_clean(args, console)
    _close(steps, plan, console, later)
    return code


def _list_lines(head: str, lines: list[str], console: Console) -> None:
    if lines:
        console.section(escaped(head))
        for line in lines:
            console.line(escaped(f"  {line}"))


def _close(steps: list[Step], plan: Plan, console: Console, later: str) -> None:
    results = {step.name: step.result for step in steps}
    moved = plan.old_data != plan.data and {TAKEN, UPDATED} & set(results.values())
    if not plan.dry and (moved or results["sign-in"] == TAKEN):
        console.line()
        console.line(
            "  Do not start the earlier program again. Both would renew the same sign-in and invalidate each "
            "other's."
        )
    if not plan.dry and results["state"] != FAILED:
        login = [hint("login")] if results["sign-in"] == FAILED else []
        clean = [hint(later)] if later else []
        console.steps([*login, *clean, hint("status"), hint("serve")])
