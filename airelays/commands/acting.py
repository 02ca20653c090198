"""`--system` of the commands that act for the machine-wide relay: as root they become its user. Layer: commands."""

from __future__ import annotations

import os
import shlex

from airelays.disk.folder import is_root
from airelays.errors import ConfigError
from airelays.hints import hint, program
from airelays.host.account import (
    NAME,
    Account,
    closed_to,
    environment,
    find_account,
    prepare_folder,
    run_as,
)
from airelays.host.form import program_argv, program_files
from airelays.settings.parse import absolute_path
from airelays.settings.table import OPTIONS
from airelays.terminal.arguments import REPEATED, Arguments, Command
from airelays.terminal.console import Console
from airelays.terminal.context import find_places
from airelays.terminal.start import STARTED_AS

_PATHS = {"--config", *(option.flag for option in OPTIONS if option.kind == "path")}


def act(command: Command, args: Arguments, console: Console) -> int:
    """Run `command`; for the machine-wide relay as its user, in another process. Raises ConfigError.

    The owner of the folder is checked first, so that no one signs in for a relay that cannot read the sign-in.
    """
    if command.name.startswith("service "):
        return command.load()(args, console)
    if os.name != "posix" or not os.path.isdir("/run/systemd"):
        raise ConfigError("--system works only on machines with systemd; leave it out")
    account = find_account()
    if account is None:
        raise ConfigError(
            "there is no machine-wide relay on this machine (no user airelays); install it: "
            f"sudo {program()} service install --system"
        )
    if os.geteuid() == account.uid:
        env = environment(console.env)
        return command.load()(args, Console(console.out, console.err, env))
    if not is_root():
        raise ConfigError(f"--system requires root; run: sudo {hint(command.name)}")
    given = _absolute(args, console)
    prepare_folder(account, *([given["--data-dir"]] if "--data-dir" in given else []))
    _check_program(account)
    env = environment(console.env)
    env[STARTED_AS] = "\n".join(shlex.split(program()))
    return run_as(account, [*program_argv(), *_words(args, given)], env)


def _check_program(account: Account) -> None:
    for path in program_files():
        closed = closed_to(account, path)
        if closed:
            raise ConfigError(
                f"the user {NAME} cannot read {path} (no access to {closed}); move the program to another "
                "folder, for example /usr/local/bin, or install the package"
            )


def _absolute(args: Arguments, console: Console) -> dict[str, str]:
    """Return the flags with absolute paths: the other process starts in another folder."""
    places = find_places(console.env)
    return {
        name: absolute_path(value, places) if name in _PATHS and value else value
        for name, value in args.flags.items()
    }


def _words(args: Arguments, flags: dict[str, str]) -> list[str]:
    found = args.command.split()
    for name, value in flags.items():
        takes = bool(value)
        found += [f"{name}={one}" for one in value.split(REPEATED)] if takes else [name]
    return [*found, "--", *args.words]
