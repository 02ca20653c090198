"""Settings in a client's JSON file: members that are added to the user's own, and removed again. Layer: commands."""

from __future__ import annotations

import json
from typing import Any

from airelays.commands.connect.file import PASTE
from airelays.errors import ConfigError

# Replaces the token's command if no token is required.
NO_KEY = "echo unused"
_HELPER, _ENV = "apiKeyHelper", "env"
# How the command that shows the token ends, whatever the program is called.
_SHOW = " token show"
_ADDED = ("ANTHROPIC_BASE_URL", "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY")
# Beside these of another server ours would be of no effect, or the other way round.
_RIVALS = ("ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY")


def with_members(path: str, old: str, block: str) -> str:
    """Return the file's text `old` with the members of `block`. Raises ConfigError where others are in the way."""
    tree, ours = _read(path, old), json.loads(block)
    env = tree.get(_ENV, {})
    if not isinstance(env, dict):
        raise ConfigError(f'{path} has an "{_ENV}" that is not an object; {PASTE}')
    mine = _is_ours(tree)
    rivals = [name for name in _RIVALS if name in env and env[name] != ours[_ENV].get(name)]
    if not mine:
        taken = [*([_HELPER] if _HELPER in tree else []), *rivals]
        if taken:
            raise ConfigError(f"{path} has {taken[0]} already; remove it, or {PASTE}")
    made = {**tree, _HELPER: ours[_HELPER], _ENV: {**env, **ours[_ENV]}}
    return old if made == tree else _text(made)


def without_members(path: str, old: str) -> str | None:
    """Return the text without our members, "" if nothing is left; None if the file contains none of them."""
    tree = _read(path, old)
    if not _is_ours(tree):
        return None
    del tree[_HELPER]
    env = tree.get(_ENV)
    if isinstance(env, dict):
        tree[_ENV] = {name: value for name, value in env.items() if name not in _ADDED}
        if not tree[_ENV]:
            del tree[_ENV]
    return _text(tree) if tree else ""


def _is_ours(tree: dict[str, Any]) -> bool:
    """Whether an earlier --write made the settings: by the helper, which stays the same at another port."""
    helper = tree.get(_HELPER)
    if not isinstance(helper, str):
        return False
    return helper == NO_KEY or ("airelays" in helper and helper.endswith(_SHOW))


def _read(path: str, text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid JSON ({error}); it was not changed") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} does not contain a JSON object; it was not changed")
    return tree


def _text(tree: dict[str, Any]) -> str:
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"
