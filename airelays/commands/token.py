"""`token show`, `token rotate`. Layer: commands."""

from __future__ import annotations

from airelays.commands.connect.facts import client_facts, print_client
from airelays.credentials.token import generate_token, write_token
from airelays.errors import ConfigError
from airelays.hints import hint
from airelays.host.contact import find
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console
from airelays.terminal.context import Context, find_context
from airelays.terminal.running import Access, access

ENV_WINS = "AIRELAYS_BEARER_TOKEN is set and overrides the file: relays that were started with it keep that token"


def run_show(args: Arguments, console: Console) -> int:
    """Show the token: JSON, a view on a terminal, or the bare token for a command substitution."""
    context = find_context(args, console)
    token = token_text(context)
    if args.has("--json"):
        console.json(
            {
                "bearer_token_present": token is not None,
                "bearer_token_file": context.settings.bearer_token_file,
                "bearer_token_source": context.token.source,
                "relay_token": token,
                "client": client_facts(_access(context), token),
                "next_steps": [] if token else [hint("init")],
            }
        )
        return 0 if token else 1
    if token is None:
        raise ConfigError(f"there is no relay token in {context.token.path}; run `{hint('init')}`")
    _show(context, console, "Token", token)
    return 0


def run_rotate(args: Arguments, console: Console) -> int:
    """Write a new token. A token in the environment cannot be changed from here."""
    context = find_context(args, console)
    token = generate_token()
    write_token(context.settings.bearer_token_file, token)
    if context.token.source == "env":
        console.note(ENV_WINS)
    if args.has("--json"):
        console.json(
            {
                "bearer_token_file": context.settings.bearer_token_file,
                "bearer_token_source": context.token.source,
                "relay_token": token,
                "client": client_facts(_access(context), token),
            }
        )
        return 0
    _show(context, console, "Token Rotate", token)
    return 0


def _access(context: Context) -> Access:
    """Return how clients reach the relay that runs, or would; a relay that cannot be asked does not matter here."""
    try:
        return access(context, find(context.settings.data_dir))
    except ConfigError:
        return access(context, None)


def token_text(context: Context) -> str | None:
    """Return the token as text, None when there is none. Raises ConfigError when it cannot be read."""
    token = context.token.current()
    if token is None and context.token.problem:
        raise ConfigError(context.token.problem)
    return None if token is None else token.decode("utf-8", "surrogateescape")


def _show(context: Context, console: Console, title: str, token: str) -> None:
    if not console.terminal:
        console.line(token)
        return
    console.title(title)
    console.section("Relay")
    console.field("Relay token", token)
    console.field("Token source", context.token.source)
    console.field("Token file", context.settings.bearer_token_file)
    print_client(console, _access(context), token)
