"""How a client is pointed at the relay: the same facts for `init`, `token`, `serve` and `status`. Layer: commands."""

from __future__ import annotations

from typing import Any

from airelays.settings.values import Settings
from airelays.terminal.console import Console
from airelays.terminal.context import Context

REVEAL = "airelays token show"
ROTATE = "airelays token rotate"
PLACEHOLDER_NOTE = "No key is checked; a library that insists on one may be given any text."


def client_facts(settings: Settings, token: str | None = None) -> dict[str, Any]:
    """Return the `client` object of the JSON views. `token` is included only when it may be shown."""
    facts: dict[str, Any] = {
        "base_url": settings.base_url,
        "models_url": f"{settings.base_url}/models",
        "requires_bearer_auth": settings.require_bearer_auth,
    }
    if not settings.require_bearer_auth:
        return {**facts, "api_key_note": PLACEHOLDER_NOTE}
    facts |= {
        "authorization_header": "Authorization: Bearer <relay token>",
        "token_file": settings.bearer_token_file,
        "reveal_token_command": REVEAL,
        "rotate_token_command": ROTATE,
    }
    return {**facts, "relay_token": token} if token is not None else facts


def print_client(console: Console, settings: Settings, token: str | None = None) -> None:
    """Print the Client Setup section."""
    facts = client_facts(settings, token)
    console.section("Client Setup")
    console.field("Base URL", facts["base_url"])
    console.field("Models URL", facts["models_url"])
    if not settings.require_bearer_auth:
        console.field("Bearer auth", "disabled")
        console.field("Access mode", "open")
        console.field("Client key", "optional placeholder only")
        console.field("SDK note", PLACEHOLDER_NOTE)
        return
    console.field("Bearer auth", "required")
    console.field("Token file", facts["token_file"])
    console.field("Auth header", facts["authorization_header"])
    if token is not None:
        console.field("Relay token", token)
    else:
        console.field("Reveal token", REVEAL)
    console.field("Rotate token", ROTATE)


def program_words() -> str:
    """Return how this program was started, as words that can be pasted into a shell.

    "airelays" when it is installed; `python3 airelays.py` or `python3 -m airelays` otherwise.
    """
    import os
    import shlex
    import sys

    started = sys.argv[0]
    name = os.path.basename(started)
    if name == "__main__.py":
        return "python3 -m airelays"
    if name.endswith(".py"):
        return f"python3 {shlex.quote(started)}"
    return (
        "airelays"
        if name.removesuffix(".exe") == "airelays" and _on_path(started)
        else shlex.quote(started)
    )


def _on_path(started: str) -> bool:
    import shutil

    found = shutil.which("airelays")
    return found is not None and found == shutil.which(started)


def serve_command(context: Context) -> str:
    """Return the command that runs the relay with these options."""
    words = ["airelays serve"]
    flags = {"host": "--host", "port": "--port", "network_scope": "--network-scope"}
    for attribute, flag in flags.items():
        if context.loaded.origins[attribute].source == "flag":
            words.append(f"{flag} {getattr(context.settings, attribute)}")
    if context.loaded.origins["require_bearer_auth"].source == "flag":
        words.append("--no-auth")
    return " ".join(words)
