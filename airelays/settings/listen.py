"""Further listeners: `[[listen]]` in the config file and `--listen HOST:PORT[,key=NAME]`. Layer: values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airelays.errors import ConfigError, FlagError
from airelays.settings.hosts import is_loopback
from airelays.settings.parse import listen_host, shown
from airelays.settings.values import ListenSettings

FORM = "HOST:PORT, or HOST:PORT,key=NAME"
# A listener bound to a key asks for nothing, so it is for programs of this machine only.
BOUND_HOSTS = ("127.0.0.1", "::1")
MAX_LISTENERS = 32
# What `--for-ollama` opens: the port that Ollama's clients look at, unless another listener has the key.
OLLAMA_PORT, OLLAMA_KEY = 11434, "ollama"
FOR_OLLAMA = f"127.0.0.1:{OLLAMA_PORT},key={OLLAMA_KEY}"


def read_listeners(
    tree: Mapping[str, Any], path: str, flags: Sequence[str] = ()
) -> tuple[ListenSettings, ...]:
    """Return the listeners of the file, then those of the flags. Raises ConfigError."""
    tables = tree.get("listen", [])
    if not isinstance(tables, list) or not all(isinstance(one, Mapping) for one in tables):
        raise ConfigError(f"{path}: listen is {shown(tables)}; expected tables, written [[listen]]")
    found = [_from_table(one, f"{path}: listen[{at}]") for at, one in enumerate(tables)]
    found += [_from_flag(text) for text in flags]
    usual = ListenSettings("127.0.0.1", OLLAMA_PORT, OLLAMA_KEY)
    if usual in found and any(one.key == OLLAMA_KEY and one != usual for one in found):
        found.remove(usual)
    if len(found) > MAX_LISTENERS:
        raise ConfigError(
            f"there are {len(found)} listeners in addition to server.host; at most {MAX_LISTENERS} are allowed"
        )
    return tuple(found)


def _from_table(table: Mapping[str, Any], where: str) -> ListenSettings:
    for name in table:
        if name not in ("host", "port", "key"):
            raise ConfigError(f"{where}.{name} is unknown; expected host, port or key")
    host, port, key = table.get("host", "127.0.0.1"), table.get("port"), table.get("key", "")
    if not isinstance(host, str) or not isinstance(key, str):
        raise ConfigError(f"{where} has a host or key that is not a string; put both in quotes")
    if type(port) is not int:
        raise ConfigError(
            f"{where}.port is {shown(port)}; expected a whole number from 0 to 65,535"
        )
    return _checked(host, port, key, where)


def _from_flag(text: str) -> ListenSettings:
    place, comma, rest = text.partition(",")
    name, equals, key = rest.partition("=")
    host, colon, port = place.rpartition(":")
    good = bool(colon and host and port.isascii() and port.isdigit() and len(port) <= 5)
    if not good or (comma and (name != "key" or not equals or not key)):
        raise FlagError(f"--listen is {shown(text)}; expected {FORM}")
    try:
        return _checked(host, int(port), key, "--listen")
    except ConfigError as error:
        raise FlagError(str(error)) from error


def _checked(host: str, port: int, key: str, where: str) -> ListenSettings:
    address = listen_host(host)
    if not address:
        raise ConfigError(f"{where}: the host is {shown(host)}; expected an address or a host name")
    if not 0 <= port <= 65535:
        raise ConfigError(f"{where}: the port is {port}; expected a port from 0 to 65,535")
    if key and address not in BOUND_HOSTS:
        raise ConfigError(
            f"{where}: every program that can reach a listener with a key can use it, and other machines can "
            f"reach {shown(host)}; listen on {' or '.join(BOUND_HOSTS)}"
        )
    return ListenSettings(address, port, key)


def check_open(hosts: Sequence[str], *, needs_token: bool, allowed: bool) -> None:
    """Refuse to open a relay without token to other machines unless that was said twice."""
    wide = [host for host in hosts if not is_loopback(host)]
    if needs_token or not wide or allowed:
        return
    raise ConfigError(
        f"open mode on {wide[0]} lets other machines use the relay without a token; listen on 127.0.0.1, "
        f"require the token, or add --i-know-this-is-open"
    )
