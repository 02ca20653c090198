"""One option's value from a TOML value or a string: checked for type and range, or refused in one sentence.

Strings come from the environment and from flags, where lists are separated by commas. Refuses to know where a value
came from beyond the words it is given for the error. Layer: words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from airelays.errors import ConfigError
from airelays.settings.record import Record
from airelays.settings.table import Option

_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")
# Compiled when one is first needed: most starts need none, and all together cost 4 ms.
_URL = r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(:(?P<port>[0-9]{1,5}))?(/[^\s?#\\]*)?\Z"
_PROXY = r"(http|socks5h)://([^\s/?#@\\]+@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(:(?P<port>[0-9]{1,5}))?/?\Z"
_NAME = r"[A-Za-z_][A-Za-z0-9_]*\Z"
_HOST = r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?)\Z"
_ORIGIN = r"(null|[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[A-Za-z0-9._-]+)?(:[0-9]{1,5})?)\Z"
_FIELD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z"
_SHOWN_CHARS = 60


class Places(Record):
    """Where relative paths start: the user's home folder and the working directory, both absolute."""

    home: str
    cwd: str


def from_toml(option: Option, value: object, where: str, places: Places) -> object:
    """Return the checked value of a TOML key. Raises ConfigError."""
    if option.kind == "bool" and isinstance(value, bool):
        return value
    if (
        option.kind in ("int", "float")
        and isinstance(value, int | float)
        and not isinstance(value, bool)
    ):
        if option.kind == "int" and not isinstance(value, int):
            raise _refused(option, value, where)
        return _number(option, value, where)
    if option.default.__class__ is tuple and option.kind != "pairs":
        if isinstance(value, str):
            return from_text(option, value, where, places)
        if isinstance(value, list):
            return tuple(_item(option, item, where) for item in value)
    if option.kind == "pairs" and isinstance(value, dict):
        return tuple(_pair(option, name, text, where) for name, text in value.items())
    if isinstance(value, str) and option.default.__class__ is str:
        return _text(option, value, where, places)
    raise _refused(option, value, where)


def from_text(option: Option, text: str, where: str, places: Places) -> object:
    """Return the checked value of an environment variable or a flag. Raises ConfigError."""
    if option.kind == "bool":
        word = text.strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise _refused(option, text, where)
    if option.kind in ("int", "float"):
        return _number(option, _parse_number(option, text.strip(), where), where)
    if option.default.__class__ is tuple:
        items = (item.strip() for item in text.split(","))
        if option.kind == "numbers":
            return tuple(_item(option, _parse_number(option, i, where), where) for i in items if i)
        return tuple(_item(option, item, where) for item in items if item)
    return _text(option, text, where, places)


def absolute_path(text: str, places: Places) -> str:
    """Return `text` with `~` expanded, starting at the working directory when it is relative."""
    if text == "~" or text.startswith(("~/", "~\\")):
        text = places.home + text[1:]
    elif not (text.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", text)):
        text = f"{places.cwd.rstrip('/')}/{text.removeprefix('./')}"
    return text.rstrip("/") or "/"


def _parse_number(option: Option, text: str, where: str) -> float:
    pattern = (
        r"[+-]?[0-9]{1,18}\Z" if option.kind == "int" else r"[+-]?[0-9]{1,18}(\.[0-9]{0,9})?\Z"
    )
    if not re.match(pattern, text, re.ASCII):
        raise _refused(option, text, where)
    return int(text) if option.kind == "int" else float(text)


def _number(option: Option, value: float, where: str) -> float:
    low, high = option.low, option.high
    if low is None or high is None or not low <= value <= high:
        raise _refused(option, value, where)
    return float(value) if option.kind == "float" else value


def _text(option: Option, text: str, where: str, places: Places) -> str:
    if "\0" in text or (option.choices and text not in option.choices):
        raise _refused(option, text, where)
    if option.kind == "path":
        return absolute_path(text, places) if text else ""
    if not is_unicode(text):
        raise _refused(option, text, where)
    if option.kind == "url":
        text = text.strip(" ")  # copied with a blank at an end
    if option.kind == "host":
        host = listen_host(text)
        if host is None:
            raise _refused(option, text, where)
        return host
    patterns = {"url": _URL, "proxy": _PROXY, "env_name": _NAME}
    pattern = patterns.get(option.kind)
    if text and pattern is not None:
        _check_form(option, re.match(pattern, text), where)
    return text.rstrip("/") if option.kind in ("url", "proxy") else text


def _check_form(option: Option, match: re.Match[str] | None, where: str) -> None:
    """Refuse what does not match. It can contain a password or a key in the wrong place, so it is not shown."""
    if match is None:
        raise ConfigError(f"{where} is not valid; expected {option.allowed()}")
    port = match.groupdict().get("port")
    if port is not None and not 1 <= int(port) <= 65535:
        raise ConfigError(f"{where} has port {port}; expected a port from 1 to 65,535")


def is_unicode(text: str) -> bool:
    """Whether `text` is more than bytes that the command line or the environment could not decode."""
    return text.isascii() or not re.search("[\ud800-\udfff]", text)


def listen_host(text: str) -> str | None:
    """Return the address or name to listen on, None when `text` has the form of neither; nothing is looked up.

    "*" and "0" are every IPv4 address of the machine, as the system's resolver takes them.
    """
    if text in ("", "*", "0"):
        return text and "0.0.0.0"
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare:
        import ipaddress

        try:
            return str(ipaddress.IPv6Address(bare))
        except ValueError:
            return None
    labels = text.removesuffix(".").split(".")
    if labels[-1].isascii() and labels[-1].isdigit():
        return text if len(labels) == 4 and all(map(_is_octet, labels)) else None
    if not text.isascii():
        return text if _is_international(text) else None
    return text if len(text) <= 254 and all(map(_is_label, labels)) else None


def _is_octet(text: str) -> bool:
    # A leading zero means octal to some: 010.0.0.1 is not what it looks like.
    return text.isascii() and text.isdigit() and str(int(text[:4])) == text and int(text) <= 255


def _is_label(text: str) -> bool:
    inner = text.replace("-", "").replace("_", "")
    return 0 < len(text) <= 63 and inner.isalnum() and "-" not in (text[0], text[-1])


def _is_international(text: str) -> bool:
    try:
        return bool(text.encode("idna")) and text.isprintable() and " " not in text
    except UnicodeError:
        return False


def _item(option: Option, item: object, where: str) -> object:
    if option.kind == "numbers":
        if isinstance(item, int | float) and not isinstance(item, bool) and 0 <= item <= 86_400:
            return float(item)
        raise _refused(option, item, where)
    if not isinstance(item, str) or not item or (option.choices and item not in option.choices):
        raise _refused(option, item, where)
    if not is_unicode(item):
        raise _refused(option, item, where)
    check: Callable[[str], bool] = _CHECKS.get(option.kind, lambda _: True)
    if not check(item):
        raise _refused(option, item, where)
    return item


def _pair(option: Option, name: object, text: object, where: str) -> tuple[str, str]:
    if not isinstance(name, str) or not re.match(_FIELD, name) or not isinstance(text, str):
        raise ConfigError(
            f"{where} has an entry that is not a header name with a string value; check that table"
        )
    if not text.isprintable() or not text.isascii():
        raise ConfigError(f"{where}.{name} is not valid; expected one line of printable ASCII")
    return name, text


def _is_network(text: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_host(text: str) -> bool:
    # "10.0.0.5:80" has only characters of an IPv6 address, and is a host with a port.
    return bool(re.match(_HOST, text)) and (":" not in text or listen_host(text) is not None)


_CHECKS: dict[str, Callable[[str], bool]] = {
    "hosts": _is_host,
    "origins": lambda text: bool(re.match(_ORIGIN, text)),
    "networks": _is_network,
}


def _refused(option: Option, value: object, where: str) -> ConfigError:
    if option.secret:
        return ConfigError(f"{where} is not valid; expected {option.allowed()}")
    return ConfigError(f"{where} is {shown(value)}; expected {option.allowed()}")


def shown(value: object) -> str:
    """Return `value` as it can be shown in an error: JSON, ASCII, at most 60 characters."""
    if isinstance(value, str | bool | int | float):
        text = json.dumps(value)
    else:  # what else TOML and JSON have, in their words
        kinds: dict[type, str] = {
            list: "a list",
            tuple: "a list",
            dict: "a table",
            type(None): "null",
        }
        text = kinds.get(type(value), "a date or a time")
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."
