"""The tables with names of the user's own: `[upstreams.NAME]`, `[aliases]`. Layer: words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airelays.errors import ConfigError
from airelays.settings.hosts import is_near, parse_address
from airelays.settings.kinds import KINDS, NAMED_KIND
from airelays.settings.parse import Places, from_toml, shown
from airelays.settings.table import UPSTREAM_OPTIONS
from airelays.settings.values import Alias, Settings, UpstreamSettings

KNOWN_TABLES = (
    "upstreams", "aliases", "listen", "rules", "prices", "upstream.aliases",
    "providers.openai.aliases",
)  # fmt: skip
CAUSES = ("quota", "overloaded", "unreachable")
_UPSTREAM_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}\Z"
_INHERITED = (
    "request_timeout_seconds",
    "connect_seconds",
    "tls_seconds",
    "stream_gap_seconds",
    "offline",
)


def read_aliases(tree: Mapping[str, Any], path: str) -> tuple[Alias, ...]:
    """Return the aliases of `[aliases]`, `[upstream.aliases]` and `[providers.openai.aliases]`."""
    found: dict[str, Alias] = {}
    for key in ("providers.openai.aliases", "upstream.aliases", "aliases"):
        table: Any = tree
        for part in key.split("."):
            table = table.get(part, {}) if isinstance(table, Mapping) else {}
        found.update({alias.name: alias for alias in _aliases(table, f"{path}: {key}")})
    return tuple(found.values())


def read_upstreams(
    tables: object, path: str, settings: Settings, places: Places
) -> tuple[UpstreamSettings, ...]:
    """Return the named upstreams in the file's order. Timeouts left out are those of `[upstream]`."""
    if not isinstance(tables, Mapping):
        raise ConfigError(
            f"{path}: upstreams is {shown(tables)}; expected tables, written [upstreams.NAME]"
        )
    found = []
    for name, table in tables.items():
        where = f"{path}: upstreams.{name}"
        if not re.match(_UPSTREAM_NAME, name):
            raise ConfigError(
                f"{path}: upstreams contains the name {shown(name)}; expected 1 to 40 letters, digits, dots, "
                f"dashes or underscores"
            )
        if name == settings.upstream_kind:
            raise ConfigError(
                f"{where} has the same name as the main upstream; choose another name"
            )
        if not isinstance(table, Mapping):
            raise ConfigError(
                f"{where} is {shown(table)}; expected a table, written [upstreams.{name}]"
            )
        found.append(_upstream(name, table, where, settings, places))
    return tuple(found)


def _upstream(
    name: str, table: Mapping[str, Any], where: str, settings: Settings, places: Places
) -> UpstreamSettings:
    values: dict[str, Any] = {key: getattr(settings, key) for key in _INHERITED}
    values["kind"] = NAMED_KIND
    options = {option.attribute: option for option in UPSTREAM_OPTIONS}
    for key, value in table.items():
        if key == "aliases":
            values[key] = tuple(_aliases(value, f"{where}.aliases"))
        elif key in options:
            values[key] = from_toml(options[key], value, f"{where}.{key}", places)
        elif key in ("api_key", "token", "password", "key"):
            raise ConfigError(
                f"{where}.{key} is unknown, and secrets do not belong in this file; set api_key_file or "
                f"api_key_env"
            )
        else:
            raise ConfigError(
                f"{where}.{key} is unknown; expected one of {', '.join(sorted([*options, 'aliases']))}"
            )
    upstream = UpstreamSettings(name=name, **values)
    if KINDS[upstream.kind].needs_base_url and not upstream.base_url:
        raise ConfigError(f"{where}.base_url is not set; set it to the server's base URL")
    check_plain_http(
        f"upstreams.{name}.base_url",
        upstream.base_url,
        upstream.allow_http,
        where.partition(": ")[0],
    )
    return upstream


def _aliases(table: object, where: str) -> list[Alias]:
    if not isinstance(table, Mapping):
        raise ConfigError(
            f'{where} is {shown(table)}; expected a table such as fast = "local/llama3.2"'
        )
    found = []
    for name, value in table.items():
        if isinstance(value, str) and value:
            found.append(Alias(name, value))
        elif isinstance(value, Mapping) and isinstance(value.get("model"), str):
            found.append(_long_alias(name, value, f"{where}.{name}"))
        else:
            raise ConfigError(
                f"{where}.{name} is {shown(value)}; expected a model name or a table with the key model"
            )
    return found


def _long_alias(name: str, table: Mapping[str, Any], where: str) -> Alias:
    for key, value in table.items():
        if key not in ("model", "fallback", "fallback_on"):
            raise ConfigError(f"{where}.{key} is unknown; expected model, fallback or fallback_on")
        if key != "model" and not (
            isinstance(value, list) and all(isinstance(v, str) and v for v in value)
        ):
            raise ConfigError(f"{where}.{key} is {shown(value)}; expected a list of strings")
    causes = tuple(table.get("fallback_on", ()))
    for cause in causes:
        if cause not in CAUSES:
            raise ConfigError(
                f'{where}.fallback_on contains {shown(cause)}; expected "quota", "overloaded" or "unreachable"'
            )
    return Alias(name, table["model"], tuple(table.get("fallback", ())), causes)


def check_plain_http(key: str, url: str, allowed: bool, path: str) -> None:
    """Refuse http:// to a host that is neither loopback nor private, unless `allowed`."""
    if allowed or not url.startswith("http://"):
        return
    host = _host_of(url)
    if not is_near(host):
        raise ConfigError(
            f"{path}: {key} would send prompts and keys unencrypted to {host}; use https:// or a loopback or "
            f"private address, or set allow_http = true in the same table"
        )


def check_offline(settings: Settings, path: str) -> None:
    """Refuse to start offline with an upstream that is certainly elsewhere; names are checked when dialed."""
    if not settings.offline:
        return
    kind = settings.upstream_kind
    if KINDS[kind].base_url and settings.upstream_base_url == KINDS[kind].base_url:
        raise ConfigError(
            f'{path}: upstream.offline is on and upstream.kind is "{kind}", which is on the Internet; choose '
            f'"compatible" with your own server, or "demo"'
        )
    for upstream in (settings.main_upstream, *settings.upstreams):
        host = _host_of(upstream.base_url)
        if parse_address(host) is not None and not is_near(host):
            raise ConfigError(
                f"{path}: upstream.offline is on and {upstream.name} is at {host}, "
                "which is neither loopback nor private; remove one of the two"
            )


def _host_of(url: str) -> str:
    host = url.partition("://")[2].partition("/")[0]
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
