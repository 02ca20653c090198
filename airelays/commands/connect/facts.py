"""How a client is pointed at the relay: the same facts for `init`, `token`, `serve` and `status`. Layer: commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airelays.hints import hint
from airelays.terminal.console import Console
from airelays.terminal.context import Context

if TYPE_CHECKING:
    from airelays.terminal.running import Access

PLACEHOLDER_NOTE = "No key is required. If a library insists on one, use any text."


def reveal() -> str:
    """Return the command that shows the relay token."""
    return hint("token show")


def rotate() -> str:
    """Return the command that creates a new relay token."""
    return hint("token rotate")


def client_facts(access: Access, token: str | None = None) -> dict[str, Any]:
    """Return the `client` object of the JSON views. `token` is included only if it can be shown."""
    facts: dict[str, Any] = {
        "base_url": access.base_url,
        "models_url": f"{access.base_url}/models",
        "requires_bearer_auth": access.needs_token,
    }
    if not access.needs_token:
        return {**facts, "api_key_note": PLACEHOLDER_NOTE}
    facts |= {
        "authorization_header": "Authorization: Bearer <relay token>",
        "token_file": access.token_file,
        "reveal_token_command": reveal(),
        "rotate_token_command": rotate(),
    }
    return {**facts, "relay_token": token} if token is not None else facts


def print_client(console: Console, access: Access, token: str | None = None) -> None:
    """Print the Client Setup section."""
    facts = client_facts(access, token)
    console.section("Client Setup")
    console.field("Base URL", facts["base_url"])
    console.field("Models URL", facts["models_url"])
    if not access.needs_token:
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
        console.field("Reveal token", reveal())
    console.field("Rotate token", rotate())


def serve_command(context: Context) -> str:
    """Return the command that runs the relay with these options."""
    words = ["serve"]
    flags = {"host": "--host", "port": "--port", "network_scope": "--network-scope"}
    for attribute, flag in flags.items():
        if context.loaded.origins[attribute].source == "flag":
            words.append(f"{flag} {getattr(context.settings, attribute)}")
    if context.loaded.origins["require_bearer_auth"].source == "flag":
        words.append("--no-auth")
    return hint(" ".join(words))
