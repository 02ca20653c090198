"""The relay that a command is about: the one that runs, else the one that the settings would start. Layer: commands."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

from airelays.errors import ConfigError
from airelays.hints import hint
from airelays.host.contact import Contact, at_url, find
from airelays.settings.kinds import KINDS
from airelays.terminal.arguments import Arguments
from airelays.terminal.context import Context

NOT_RUNNING = 3


class Access(NamedTuple):
    """How a client reaches the relay. `model` is one that it can name, "" if none is known."""

    base_url: str
    needs_token: bool
    token_file: str
    model: str


def find_relay(args: Arguments, context: Context) -> Contact | None:
    """Return the relay that runs on the data folder, or at --url; None when none does. Raises ConfigError."""
    url = args.get("--url")
    if url is not None:
        return at_url(url, context.token.current())
    return find(context.settings.data_dir)


def need_relay(args: Arguments, context: Context) -> Contact:
    """Return the relay that runs. Raises ConfigError when none does."""
    contact = find_relay(args, context)
    if contact is None:
        raise ConfigError(no_relay(context))
    return contact


def no_relay(context: Context) -> str:
    """Return the sentence on a data folder that no relay runs on."""
    return f"no relay is using {context.settings.data_dir}; start one: {hint('serve')}"


def access(
    context: Context, contact: Contact | None, facts: dict[str, Any] | None = None
) -> Access:
    """Return how clients reach the relay; `facts` are its answer to /status, asked for when they are not given."""
    settings = context.settings
    if contact is None:
        return Access(
            settings.base_url,
            settings.require_bearer_auth,
            settings.bearer_token_file,
            KINDS[settings.upstream_kind].example_model,
        )
    relay = (contact.ask("GET", "/status") if facts is None else facts)["relay"]
    return Access(
        contact.base_url,
        bool(relay["require_bearer_auth"]),
        str(relay["bearer_token_file"]),
        str(relay.get("default_model") or ""),
    )


def tell_sign_in(context: Context, state: str) -> None:
    """Have the relay that runs use the stored sign-in from now on: it is new ("signed_in") or gone ("signed_out")."""
    with contextlib.suppress(ConfigError):
        contact = find(context.settings.data_dir)
        if contact is not None:
            contact.ask("POST", "/sign-in", {"state": state})


def logs_dir(context: Context) -> str:
    """Return the folder of the traffic log: of the relay that runs, where one does and --logs-dir names no other."""
    if context.loaded.origins["logs_dir"].source == "flag":
        return context.settings.logs_dir
    try:
        contact = find(context.settings.data_dir)
        if contact is not None:
            return str(contact.ask("GET", "/status")["relay"]["logs_dir"])
    except (ConfigError, KeyError):
        return context.settings.logs_dir
    return context.settings.logs_dir
