"""TOML text, environment and flags in; one frozen `Settings` out, with the origin of each value.

Precedence: flag, then environment, then file, then default. An empty text counts as unset everywhere (an
empty `host` would otherwise mean every address of the machine).
An unknown key, a wrong type or a number out of range is a ConfigError: file, key, found, allowed.
Reads no file and no process state: they come in as arguments. Layer: words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airelays.errors import ConfigError, ConfigErrors, FlagError
from airelays.hints import hint
from airelays.settings.kinds import KINDS, NAMED_KIND
from airelays.settings.listen import check_open, read_listeners
from airelays.settings.named import (
    KNOWN_TABLES,
    check_offline,
    check_plain_http,
    read_aliases,
    read_upstreams,
)
from airelays.settings.parse import Places, from_text, from_toml, shown
from airelays.settings.prices import read_prices
from airelays.settings.record import Record
from airelays.settings.rules import check_rules, read_rules
from airelays.settings.table import NO_EFFECT, OLDEST_PREFIX, OPTIONS, PREFIXES, Option, env_names
from airelays.settings.values import Settings

# Environment variables that are not options: the path of the file, and the relay token itself.
OTHER_ENV = ("CONFIG", "BEARER_TOKEN")
# Where client programs read the token from, as set by `connect`; it has no effect on the relay itself.
CLIENT_ENV = "AIRELAYS_TOKEN"


class Origin(Record):
    """Where a value came from: `source` is default, file, environment or flag; `name` is its spelling."""

    source: str
    name: str = ""


class Loaded(Record):
    """What `load` returns. `origins` is by attribute; `notes` are sentences for `config check`.

    `unused` are keys of the file that have no effect; the first notes are about them.
    """

    settings: Settings
    origins: dict[str, Origin]
    notes: tuple[str, ...]
    unused: tuple[str, ...] = ()


def load(
    text: str | None,
    path: str,
    env: Mapping[str, str],
    flags: Mapping[str, str],
    *,
    places: Places,
    data_dir: str = "",
    listen: Sequence[str] = (),
) -> Loaded:
    """Resolve all options. Raises ConfigError.

    `text` is the config file's, None without a file; `path` is its name for errors. `flags` maps attributes to texts,
    `listen` has those of `--listen`. `data_dir` is the default data folder; `~/.airelays` when empty.
    """
    tree = parse_toml(text, path) if text is not None else {}
    found: dict[str, Any] = {"data_dir": data_dir or f"{places.home}/.airelays"}
    origins: dict[str, Origin] = {}
    unused, problems = _unknown_keys(tree, path)
    notes = [f"{path}: {key} has no effect here" for key in unused]
    for option in OPTIONS:
        name = option.attribute
        try:
            origins[name], value = _resolved(option, tree, path, env, flags, places)
        except FlagError:
            raise
        except ConfigError as error:
            problems.append(str(error))
            origins[name] = Origin("default")
        if origins[name].source != "default":
            found[name] = value
    if origins["upstream_base_url"].source == "flag":
        _take_flagged_upstream(found, origins)
    settings = _with_named(found, tree, path, places, listen, problems)
    if not problems:
        _check_together(settings, origins, path)
    else:
        raise ConfigErrors(problems, f"{hint('config check')} lists all of them")
    return Loaded(settings, origins, (*notes, *_unknown_variables(env)), tuple(unused))


def _resolved(
    option: Option,
    tree: Mapping[str, Any],
    path: str,
    env: Mapping[str, str],
    flags: Mapping[str, str],
    places: Places,
) -> tuple[Origin, object]:
    """Return where the value of `option` comes from, and the value. Raises ConfigError."""
    if flags.get(option.attribute):
        return Origin("flag", option.flag), _from_flag(option, flags[option.attribute], places)
    for variable in env_names(option):
        if env.get(variable):
            where = f"environment variable {variable}"
            return Origin("environment", variable), from_text(option, env[variable], where, places)
    for key in (option.key, *option.also):
        value = _lookup(tree, key)
        if value not in (None, ""):
            return Origin("file", key), from_toml(option, value, f"{path}: {key}", places)
    return Origin("default"), option.default


def _with_named(
    found: dict[str, Any],
    tree: Mapping[str, Any],
    path: str,
    places: Places,
    listen: Sequence[str],
    problems: list[str],
) -> Settings:
    """Return the settings with listeners, aliases, rules and upstreams; adds what is wrong with those to `problems`."""
    for name, read in (
        ("aliases", lambda: read_aliases(tree, path)),
        ("prices", lambda: read_prices(tree, path)),
        ("listeners", lambda: read_listeners(tree, path, listen)),
        ("rules", lambda: read_rules(tree, path)),
    ):
        try:
            found[name] = read()
        except FlagError:
            raise
        except ConfigError as error:
            problems.append(str(error))
    settings = Settings(**found)
    if "upstreams" not in tree:
        return settings
    try:
        return Settings(
            **found, upstreams=read_upstreams(tree["upstreams"], path, settings, places)
        )
    except ConfigError as error:
        problems.append(str(error))
    return settings


# What belongs to the server that the file or the environment names: another server is not sent it.
_OF_THE_SERVER = ("api_key_env", "api_key_file", "upstream_headers", "upstream_models")


def _take_flagged_upstream(found: dict[str, Any], origins: dict[str, Origin]) -> None:
    """Have `--upstream URL` mean a compatible server, with nothing that was meant for another one."""
    if origins["upstream_kind"].source == "flag":
        raise FlagError("--demo and --upstream cannot be combined; use one of them")
    found["upstream_kind"] = NAMED_KIND
    origins["upstream_kind"] = origins["upstream_base_url"]
    for name in _OF_THE_SERVER:
        if origins[name].source != "flag":
            found.pop(name, None)
            origins[name] = Origin("default")


def parse_toml(text: str, path: str) -> dict[str, Any]:
    """Return the tables of a TOML text. Raises ConfigError with the place where it is malformed."""
    import tomllib

    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        from airelays.settings.malformed import explain

        advice = explain(text, str(error))
        raise ConfigError(f"{path} is not valid TOML: {error}; {advice}") from error
    except RecursionError as error:
        raise ConfigError(
            f"{path} is nested too deeply; a config file contains tables of values"
        ) from error


def _lookup(tree: Mapping[str, Any], key: str) -> Any:
    for part in key.split("."):
        if not isinstance(tree, Mapping) or part not in tree:
            return None
        tree = tree[part]
    return tree


def _unknown_keys(tree: Mapping[str, Any], path: str) -> tuple[list[str], list[str]]:
    """Return the keys that are read over, and what is wrong with others."""
    unused: list[str] = []
    problems: list[str] = []
    known = {key for option in OPTIONS for key in (option.key, *option.also)}
    tables = {key.rpartition(".")[0] for key in known} | {"providers", "providers.claude"}
    for key, value in _leaves(tree, tables):
        if key in known or key in KNOWN_TABLES:
            continue
        if key.startswith(NO_EFFECT):
            unused.append(key)
        elif key in tables:
            found = "a list of tables" if isinstance(value, list) else shown(value)
            problems.append(f"{path}: {key} is {found}; expected a table, written [{key}]")
        else:
            problems.append(_unknown_sentence(path, key, known | set(KNOWN_TABLES) | tables))
    return unused, problems


def _from_flag(option: Option, text: str, places: Places) -> Any:
    try:
        return from_text(option, text, option.flag, places)
    except ConfigError as error:
        raise FlagError(str(error)) from error


def _leaves(
    tree: Mapping[str, Any], tables: set[str], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        key = prefix + name
        if key in tables and isinstance(value, dict):
            yield from _leaves(value, tables, key + ".")
        else:
            yield key, value


def _unknown_sentence(path: str, key: str, known: set[str]) -> str:
    last = key.rpartition(".")[2].lower()
    if last in ("api_key", "token", "bearer_token", "relay_token", "password", "secret"):
        return (
            f"{path}: {key} is unknown, and secrets do not belong in this file; name a file or an "
            f"environment variable (api_key_file, api_key_env, bearer_token_file)"
        )
    near = nearest(key, known)
    return f"{path}: {key} is unknown; " + (
        f"did you mean {near}?" if near else f"`{hint('docs configuration')}` lists all keys"
    )


def nearest(name: str, known: set[str]) -> str:
    """Return the entry of `known` that looks most like `name`, or ""."""
    import difflib

    last = name.rpartition(".")[2]
    same = sorted(k for k in known if k.rpartition(".")[2] == last)
    close = same or difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return close[0] if close else ""


def known_variables() -> set[str]:
    """Return the name of every environment variable that the relay reads as an option, file name or token."""
    known = {name for option in OPTIONS for name in env_names(option)}
    return known | {prefix + name for prefix in (*PREFIXES, OLDEST_PREFIX) for name in OTHER_ENV}


def _unknown_variables(env: Mapping[str, str]) -> Iterator[str]:
    named = [name for name in env if name.startswith((*PREFIXES, OLDEST_PREFIX)) and env[name]]
    if not named:
        return
    known = known_variables() | {CLIENT_ENV}
    for name in sorted(named):
        if name not in known:
            near = nearest(name, {k for k in known if k.startswith(PREFIXES[0])})
            yield f"environment variable {name} is unknown" + (
                f"; did you mean {near}?" if near else ""
            )


def _check_together(settings: Settings, origins: Mapping[str, Origin], path: str) -> None:
    """Refuse values that are right alone and wrong together."""
    for low, high in (
        ("log_max_file_mb", "log_max_total_mb"),
        ("max_upload_bytes", "max_total_upload_bytes"),
    ):
        small, large = getattr(settings, low), getattr(settings, high)
        if small > large:
            raise ConfigError(
                f"{_spelled(low, origins, path)} is {small:,}, which is more than "
                f"{_spelled(high, origins, path)} ({large:,}); lower the first or raise the second"
            )
    kind = settings.upstream_kind
    if KINDS[kind].needs_base_url and not settings.upstream_base_url:
        raise ConfigError(
            f'{path}: upstream.kind is "{kind}" and upstream.base_url is not set; '
            "set it to the server's base URL, for example http://127.0.0.1:11434/v1"
        )
    check_plain_http("upstream.issuer_base_url", settings.issuer_base_url, False, path)
    check_plain_http("upstream.base_url", settings.upstream_base_url, settings.allow_http, path)
    check_offline(settings, path)
    check_rules(settings, path)


def _spelled(attribute: str, origins: Mapping[str, Origin], path: str) -> str:
    origin = origins[attribute]
    if origin.source == "file":
        return f"{path}: {origin.name}"
    return origin.name or next(o.key for o in OPTIONS if o.attribute == attribute)


def check_listener(settings: Settings) -> None:
    """Refuse to open a relay without token to other machines unless that was said twice."""
    check_open(
        settings.hosts,
        needs_token=settings.require_bearer_auth,
        allowed=settings.allow_open_network,
    )
