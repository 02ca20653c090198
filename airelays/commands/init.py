"""`init`: write the config file if it is missing, and create the relay token if there is none. Layer: commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airelays import __version__
from airelays.commands.connect.facts import client_facts, print_client, serve_command
from airelays.commands.token import token_text
from airelays.commands.weaktoken import check_strength, weak_warning
from airelays.credentials.token import create_token
from airelays.disk.folder import make_private_dir
from airelays.disk.outside import find_target, write_outside
from airelays.errors import ConfigError, FlagError
from airelays.hints import hint
from airelays.settings.kinds import KINDS
from airelays.settings.load import check_listener, parse_toml
from airelays.settings.parse import is_unicode
from airelays.settings.table import OPTIONS
from airelays.settings.write import render_short
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console
from airelays.terminal.context import Context, find_context, find_places, write_config
from airelays.terminal.question import ask, can_ask
from airelays.terminal.running import access

if TYPE_CHECKING:
    from airelays.commands.finding import Found

LISTENER_FLAGS = ("--host", "--port", "--network-scope")
WHO = {
    "loopback": "programs on this machine",
    "private": "machines in private networks",
    "any": "any machine that can reach it",
}


def run(args: Arguments, console: Console) -> int:
    """Set the relay up; change nothing that is there unless asked to. Exit 1 when refused."""
    context = find_context(args, console)
    check_listener(context.settings)
    exists = context.config_text is not None
    given = [flag for flag in LISTENER_FLAGS if args.has(flag)]
    if exists and given and not args.has("--force"):
        raise ConfigError(
            f"{context.config_path} already exists, so {given[0]} would have no effect; edit the file, or "
            f"add --force to replace it"
        )
    config_created = not exists or args.has("--force")
    if config_created:
        _config_text(context)  # what cannot be written is refused before anything is
    found = _find(args, console)
    token_created = _make_token(context)
    if config_created:
        if not exists and not args.has("--upstream") and not args.has("--json"):
            context = _ask_for_upstream(args, console, context)
        _write_config(context, console, found)
        _tell_environment(context, console)
    warning = weak_warning(context)
    if warning:
        console.note(warning)
    token = token_text(context) if token_created or args.has("--show-token") else None
    facts = _facts(context, config_created, token_created, token)
    if args.has("--find"):
        facts["found"] = [one._asdict() for one in found]
    if args.has("--json"):
        console.json(facts)
    else:
        _print(console, context, facts)
    return 0


def _find(args: Arguments, console: Console) -> list[Found]:
    """Return the model servers of this machine and say what they are, if that was asked for."""
    if not args.has("--find"):
        return []
    from airelays.commands.finding import USUAL, look_around

    found = look_around()
    if not found:
        ports = ", ".join(f"{server} {port}" for _, server, port in USUAL)
        console.note(f"no model server answered on the usual ports of 127.0.0.1 ({ports})")
    for one in found:
        console.note(
            f"found {one.as_text()}; its table in the config file is [upstreams.{one.name}]"
        )
    return found


def _make_token(context: Context) -> bool:
    """Make the token when there is none; return whether that was done. The first thing: it is what cannot be typed."""
    before = token_text(context)
    check_strength(context)
    if not context.settings.require_bearer_auth or before is not None:
        return False
    make_private_dir(context.settings.data_dir)
    return create_token(context.settings.bearer_token_file)


def _ask_for_upstream(args: Arguments, console: Console, context: Context) -> Context:
    """Return the context with the upstream that the person at the terminal names; ChatGPT without one."""
    origin = context.loaded.origins["upstream_kind"].source
    if origin != "default" or not can_ask(console):
        return context
    console.err.write(
        "What answers your requests?\n  1  ChatGPT, with your own sign-in\n"
        "  2  an OpenAI-compatible server (llama.cpp, Ollama, vLLM, LM Studio, ...)\n  3  the built-in demo, "
        "which does not use the network\n"
    )
    choice = ask(console, "1, 2 or 3, or the URL of a server [1]", "1")
    if choice == "2":
        choice = ask(console, "Base URL [http://127.0.0.1:11434/v1]", "http://127.0.0.1:11434/v1")
    if choice == "3":
        flags = {**args.flags, "--demo": ""}
    elif choice.lower().startswith(("http://", "https://")):
        flags = {**args.flags, "--upstream": choice}
    else:
        return context
    return find_context(Arguments(args.command, args.words, flags), console)


def _config_text(context: Context, found: Sequence[Found] = ()) -> str:
    """Return the file: the values it had, the flags given now and the servers found. Raises FlagError.

    Values from the environment are not frozen into it.
    """
    tree: dict[str, Any] = {}
    if context.config_text is not None:
        tree = parse_toml(context.config_text, context.config_path)
    for option in OPTIONS:
        if (
            context.loaded.origins[option.attribute].source == "flag"
        ):  # --upstream sets the kind as well
            table, _, name = option.key.partition(".")
            value = getattr(context.settings, option.attribute)
            if not is_unicode(str(value)):
                raise FlagError(
                    f"{option.flag} is {value!r}, which is not UTF-8, so it cannot be written to the config "
                    f"file; choose another path, or pass it to each command instead"
                )
            tree.setdefault(table, {})[name] = value
    for server in found:
        tree.setdefault("upstreams", {}).setdefault(server.name, {"base_url": server.base_url})
    return render_short(
        tree,
        check=hint("config check"),
        show=hint("config show --all"),
        docs=hint("docs configuration"),
    )


def _write_config(context: Context, console: Console, found: Sequence[Found]) -> None:
    text = _config_text(context, [one for one in found if not one.needs_key])
    path, home = context.config_path, find_places(console.env).home
    if context.config_text is not None:
        target = find_target(path, home)
        write_outside(f"{target}.bak", context.config_text.encode(), most=0o600)
    write_config(path, text, home)


def _tell_environment(context: Context, console: Console) -> None:
    """Say what counts only as long as the environment has it."""
    origins = context.loaded.origins.values()
    names = sorted(o.name for o in origins if o.source == "environment")
    if names:
        console.note(f"taken from the environment and not written to the file: {', '.join(names)}")


def _facts(
    context: Context, config_created: bool, token_created: bool, token: str | None
) -> dict[str, Any]:
    settings = context.settings
    return {
        "app_name": "AIRelays",
        "version": __version__,
        "config_path": context.config_path,
        "config_created": config_created,
        "bearer_token_file": settings.bearer_token_file,
        "bearer_token_created": token_created,
        "bearer_token_source": context.token.source,
        "relay_token": token,
        "network_scope": settings.network_scope,
        "effective_network_scope": settings.effective_network_scope,
        "client": client_facts(access(context, None), token),
        "next_steps": _next_steps(context),
    }


def _next_steps(context: Context) -> list[str]:
    steps = [hint("login")] if KINDS[context.settings.upstream_kind].signs_in else []
    return [*steps, serve_command(context)]


def _print(console: Console, context: Context, facts: dict[str, Any]) -> None:
    settings = context.settings
    console.title("Init")
    console.section("Relay")
    console.field("App", facts["app_name"])
    written = "created" if facts["config_created"] else "existing"
    console.field("Config file", f"{facts['config_path']} ({written})")
    if settings.require_bearer_auth:
        console.field("Relay token", "created" if facts["bearer_token_created"] else "existing")
        console.field("Token source", facts["bearer_token_source"])
        console.field("Token file", facts["bearer_token_file"])
    else:
        console.field("Bearer auth", "disabled")
    console.field("Who can connect", WHO[settings.effective_network_scope])
    console.field("Client base URL", settings.base_url)
    print_client(console, access(context, None), facts["relay_token"])
    console.steps(facts["next_steps"])
