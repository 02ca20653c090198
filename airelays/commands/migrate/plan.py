"""What `migrate` works on: the plan, found before anything is written, and what became of each part.

Layer: commands.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from airelays.commands.migrate.paths import Change, Move, inside, move_paths
from airelays.errors import ConfigError
from airelays.settings.load import Loaded, load
from airelays.settings.parse import Places, absolute_path
from airelays.settings.values import Settings
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console
from airelays.terminal.context import find_config, find_places, read_config

TAKEN, KEPT, NOTHING = "imported", "kept the existing one", "nothing found"
FAILED = "not imported"
UPDATED = "updated"


class Step(NamedTuple):
    """What became of one part. `problem` is one sentence on what the user must do; then the exit code is 1."""

    name: str
    result: str
    detail: str = ""
    problem: str = ""


class Plan(NamedTuple):
    """The source and the target. If both folders are the same, only their contents are updated.

    `text` is the new config file, None if there is already one or none to import. `settings` are those of a relay
    that starts afterwards; `old` are those that the earlier config file spells.
    """

    old_config: str
    config: str
    old_data: str
    data: str
    dry: bool
    text: str | None
    changes: list[Change]
    settings: Settings
    old: Settings | None
    old_folders: tuple[str, ...]

    def before(self, path: str) -> str:
        """Return where a path of the earlier config is now: its folder can have been moved."""
        for folder in self.old_folders:
            rest = inside(path, folder)
            if rest is not None:
                return os.path.normpath(os.path.join(self.old_data, rest))
        return path

    @property
    def old_token(self) -> str:
        """Where the earlier program kept the relay token."""
        if self.old is None:
            return os.path.join(self.old_data, "relay-token")
        return self.before(self.old.bearer_token_file)

    @property
    def old_logs(self) -> str:
        """Where the earlier program kept its traffic log."""
        return (
            os.path.join(self.old_data, "logs") if not self.old else self.before(self.old.logs_dir)
        )


def find_plan(args: Arguments, console: Console) -> Plan:
    """Find both sides. Raises ConfigError, with nothing written, when one of them cannot be used."""
    places = find_places(console.env)
    config, asked = find_config(args.get("--config"), console.env, places)
    if not asked:
        config = f"{places.home}/.config/airelays/config.toml"
    old_config = _old_config(args, places)
    here = read_config(config)
    earlier = read_config(old_config) if here is None else None
    source, text = (config, here) if earlier is None else (old_config, earlier)
    default = f"{places.home}/.airelays"

    def loaded(text: str | None) -> Loaded:
        # Refused here rather than at the next start: an unknown key is named with its file.
        flags = args.option_texts()
        return load(text, source, console.env, flags, places=places, data_dir=default)

    first = loaded(text)
    data = _data_dir(first, args, console, config if here is not None else "", default)
    old_data = _old_data(args, places, data)
    old: Settings | None = None
    folders: tuple[str, ...] = (old_data,)
    changes: list[Change] = []
    if earlier is not None:
        old = load(earlier, old_config, {}, {}, places=places, data_dir=old_data).settings
        folders = (old.data_dir, old_data)
        text, changes = move_paths(earlier, old_config, Move(folders, data, default), places)
    return Plan(
        old_config=old_config,
        config=config,
        old_data=old_data,
        data=data,
        dry=args.has("--dry-run"),
        text=text if earlier is not None else None,
        changes=changes,
        settings=loaded(text).settings,
        old=old,
        old_folders=folders,
    )


def _old_config(args: Arguments, places: Places) -> str:
    given = args.get("--from-config")
    if not given:
        return f"{places.home}/.config/airelay/config.toml"
    path = absolute_path(given, places)
    if not os.path.isfile(path):
        raise ConfigError(f"--from-config is {path}, which does not exist")
    return path


def _old_data(args: Arguments, places: Places, data: str) -> str:
    given = args.get("--from")
    path = absolute_path(given, places) if given else f"{places.home}/.airelay"
    if os.path.isdir(path):
        return path
    if given:
        raise ConfigError(
            f"--from is {path}, which is not an existing folder; name the folder to import"
        )
    return data


def _data_dir(found: Loaded, args: Arguments, console: Console, kept: str, default: str) -> str:
    """Return the folder to import into. `kept` is the config file that is here already, or ""."""
    data, source = found.settings.data_dir, found.origins["data_dir"].source
    home = find_places(console.env).home
    if not home and source == "default":
        raise ConfigError("there is no home folder; set HOME or name a folder with --data-dir")
    if source != "file":
        return data
    if not kept:
        # The earlier file's folder stays in use where it is, unless another one is imported.
        return default if args.get("--from") or not os.path.isdir(data) else data
    lost = not os.path.isdir(data) and os.path.isdir(default)
    if lost and not args.get("--from") and not os.path.isdir(f"{home}/.airelay"):
        raise ConfigError(
            f"{kept}: paths.data_dir is {data}, which is not an existing folder; remove the line to use "
            f"{default}, or name the folder to import with --from"
        )
    return data
