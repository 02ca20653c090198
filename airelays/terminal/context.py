"""What nearly every command begins with: find and read the config file, resolve the options. Layer: commands."""

from __future__ import annotations

import os
from collections.abc import Mapping

from airelays.credentials.token import TokenSource
from airelays.disk.regular import read_regular
from airelays.errors import ConfigError
from airelays.host.account import CONFIG as SYSTEM_CONFIG
from airelays.settings.listen import FOR_OLLAMA
from airelays.settings.load import Loaded, load
from airelays.settings.parse import Places, absolute_path
from airelays.settings.record import Record
from airelays.settings.values import Settings
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console

CONFIG_ENV = ("AIRELAYS_CONFIG", "AIRELAY_CONFIG", "OPENAI_ENDPOINT_CONFIG")
MAX_CONFIG_BYTES = 1024 * 1024


class Context(Record):
    """The resolved options, and where they were read. `config_text` is None if there is no file."""

    loaded: Loaded
    config_path: str
    config_text: str | None
    token: TokenSource

    @property
    def settings(self) -> Settings:
        """The options."""
        return self.loaded.settings


def find_context(args: Arguments, console: Console) -> Context:
    """Resolve everything for a command. Raises ConfigError."""
    env = console.env
    places = find_places(env)
    path, asked = find_config(args.get("--config"), env, places)
    text = read_config(path)
    if text is None and asked and args.command != "init" and path != SYSTEM_CONFIG:
        console.note(
            f"config file {path} does not exist; all options that are not set elsewhere have their default "
            f"values"
        )
    legacy, data_dir = f"{places.home}/.airelay", f"{places.home}/.airelays"
    if not os.path.isdir(data_dir) and os.path.isdir(legacy):
        data_dir = legacy
    loaded = load(
        text,
        path,
        env,
        args.option_texts(),
        places=places,
        data_dir=data_dir,
        listen=[*args.all("--listen"), *([FOR_OLLAMA] if args.has("--for-ollama") else [])],
    )
    if not places.home and loaded.origins["data_dir"].source == "default":
        raise ConfigError("there is no home folder; set HOME or name a folder with --data-dir")
    token = TokenSource(loaded.settings.bearer_token_file, env, warn=console.note)
    return Context(loaded, path, text, token)


def find_places(env: Mapping[str, str]) -> Places:
    """Return the home folder ("" when there is none) and where relative paths start."""
    home = env.get("HOME") or os.path.expanduser("~" if "HOME" not in env else _own_name())
    try:
        cwd = os.getcwd()
    except OSError:
        cwd = "/"
    return Places(home="" if home.startswith("~") else home.rstrip("/") or "/", cwd=cwd)


def _own_name() -> str:
    """Return "~NAME" of the user: for an empty HOME, which `~` alone would take for the root folder."""
    import getpass

    try:
        return f"~{getpass.getuser()}"
    except (KeyError, OSError):
        return "~"


def find_config(given: str | None, env: Mapping[str, str], places: Places) -> tuple[str, bool]:
    """Return the path of the config file, and whether it was named explicitly."""
    for path in (given, *(env.get(name) for name in CONFIG_ENV)):
        if path:
            return os.path.normpath(absolute_path(path, places)), True
    today = f"{places.home}/.config/airelays/config.toml"
    legacy = f"{places.home}/.config/airelay/config.toml"
    return (legacy if not os.path.exists(today) and os.path.exists(legacy) else today), False


def read_config(path: str) -> str | None:
    """Return the text of the config file, None when there is none. Raises ConfigError."""
    try:
        data = read_regular(path, MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"config file {path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_CONFIG_BYTES:
        raise ConfigError(
            f"config file {path} is larger than {MAX_CONFIG_BYTES:,} bytes; use another"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"config file {path} is not UTF-8 text (byte {error.start:,}); save it as UTF-8"
        ) from error


def write_config(path: str, text: str, home: str) -> None:
    """Write the config file, whole. Raises ConfigError that names the way out, with nothing changed."""
    from airelays.disk.outside import write_outside

    try:
        write_outside(path, text.encode(), home=home)
    except ConfigError as error:
        raise ConfigError(f"{error}; or name another config file with --config") from error
