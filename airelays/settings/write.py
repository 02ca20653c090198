"""The text of a config file, made from the table of options and the values that are set. Layer: commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airelays.settings.table import OPTIONS, Option

# What `init` leaves: few lines, and no table, so that any example can be added at the end.
SHORT_HEAD = """\
# AIRelays. Add the options to change below. `{check}` checks this file.
# List all options with their defaults: {show}
# Read what they mean: {docs}
"""
HEAD = """\
# AIRelays. `airelays docs configuration` explains every option, `airelays config check` checks this file.
# Commented-out lines show the defaults. To change one, remove the # and edit the value.
"""


def render_config(tree: Mapping[str, Any]) -> str:
    """Return TOML with every value of `tree`, and every other option as a comment with its default."""
    left = {name: dict(v) if isinstance(v, Mapping) else v for name, v in tree.items()}
    parts = [HEAD]
    for table in dict.fromkeys(option.key.partition(".")[0] for option in OPTIONS):
        values = left.pop(table, {})
        lines = [f"[{table}]"]
        for option in OPTIONS:
            name = option.key.partition(".")[2]
            if option.key.startswith(table + ".") and option.kind != "pairs":
                lines += _option_lines(option, name, values)
        lines += [f"{toml_key(k)} = {toml_value(v)}" for k, v in values.items()]
        parts.append("\n".join(lines) + "\n")
    parts += [_table(name, values) for name, values in left.items()]
    return "\n".join(parts)


def render_short(tree: Mapping[str, Any], *, check: str, show: str, docs: str) -> str:
    """Return TOML with the values of `tree` and nothing else; the three commands are named at its head."""
    parts = [SHORT_HEAD.format(check=check, show=show, docs=docs)]
    parts += [_table(name, values) for name, values in tree.items() if values]
    return "\n".join(parts)


def _option_lines(option: Option, name: str, values: dict[str, Any]) -> list[str]:
    comment = f"# {option.help}"
    if name in values:
        return [comment, f"{name} = {toml_value(values.pop(name))}"]
    default = list(option.default) if isinstance(option.default, tuple) else option.default
    return [comment, f"# {name} = {toml_value(default)}"]


def _table(name: str, values: object) -> str:
    """A table with the user's names: sub-tables get their own head, the rest is inline."""
    if not isinstance(values, Mapping):
        return f"{toml_key(name)} = {toml_value(values)}\n"
    plain = {k: v for k, v in values.items() if not isinstance(v, Mapping)}
    deep = {k: v for k, v in values.items() if isinstance(v, Mapping)}
    lines = [f"[{name}]", *(f"{toml_key(k)} = {toml_value(v)}" for k, v in plain.items())]
    text = "\n".join(lines) + "\n" if plain or not deep else ""
    for key, inner in deep.items():
        head = f"[{name}.{toml_key(key)}]"
        rows = [f"{toml_key(k)} = {toml_value(v)}" for k, v in inner.items()]
        text += ("\n" if text else "") + "\n".join([head, *rows]) + "\n"
    return text


def toml_key(name: str) -> str:
    """Return `name` as a TOML key, quoted when it must be."""
    bare = name.isascii() and name and all(c.isalnum() or c in "-_" for c in name)
    return name if bare else _quoted(name)


def toml_value(value: Any) -> str:
    """Return a value in TOML; tables are inline."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{toml_key(k)} = {toml_value(v)}" for k, v in value.items()) + " }"
    return f"{value:g}" if isinstance(value, float) and value == int(value) else str(value)


def _quoted(text: str) -> str:
    # JSON's escapes are valid in TOML, except that TOML requires DEL to be escaped and has no surrogate pairs.
    import json

    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
