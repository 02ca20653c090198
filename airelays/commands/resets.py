"""`usage reset`: redeem an earned reset of the subscription's windows. Layer: commands."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

from airelays.errors import ConfigError, FlagError, RelayError
from airelays.hints import hint
from airelays.host.contact import NOT_OFFERED, Contact, NotOffered
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console, escaped
from airelays.terminal.context import Context, find_context
from airelays.terminal.question import can_ask, confirms
from airelays.terminal.running import find_relay
from airelays.upstream.base import Upstream
from airelays.upstream.choose import make_upstream

WAIT_S = 90.0
SAID = {
    "reset": "The windows were reset.",
    "nothing_to_reset": "No window was used, so nothing was redeemed.",
    "no_credit": "No reset is available, so nothing was redeemed.",
    "already_redeemed": "This reset was redeemed before. Nothing was redeemed now.",
}


def run(args: Arguments, console: Console) -> int:
    """Redeem one reset after a question; exit 1 when none was applied."""
    context = find_context(args, console)
    contact = find_relay(args, context)
    found = ask_resets(context, contact, console)
    count = found["available_count"]
    if not count:
        console.line("You have no earned resets.")
        return 1
    if not args.has("--yes"):
        if not can_ask(console):
            raise FlagError(
                f"a reset cannot be undone; confirm it with {hint('usage reset --yes')}"
            )
        for one in found["accounts"][0]["resets"]["credits"]:
            console.line(f"  {described(one)}")
        if not confirms(console, f"Redeem one of {count} earned {_resets(count)} now?"):
            console.line("Nothing was redeemed.")
            return 1
    done = _redeem(args, context, contact, console)
    if args.has("--json"):
        console.json(done)
    else:
        said = f"The upstream answered {escaped(str(done['outcome']))}; see {hint('usage')}."
        console.line(SAID.get(done["outcome"], said))
    return 0 if done["reset_applied"] else 1


def _redeem(
    args: Arguments, context: Context, contact: Contact | None, console: Console
) -> dict[str, Any]:
    asked = args.get("--request-id") or os.urandom(16).hex()
    body: dict[str, Any] = {"redeem_request_id": asked}
    if args.get("--credit") is not None:
        body["credit_id"] = args.get("--credit")
    try:
        if contact is not None:
            return contact.ask("POST", "/resets/redeem", body, within_s=WAIT_S)
        return ask_main(context, console, lambda one: one.redeem(body.get("credit_id"), asked))
    except ConfigError as error:
        raise ConfigError(
            f"{error}. The reset may have been redeemed; "
            f"{hint(f'usage reset --request-id {asked}')} repeats this request without redeeming a second one"
        ) from error


def ask_resets(context: Context, contact: Contact | None, console: Console) -> dict[str, Any]:
    """Return the earned resets in the shape of GET /v1/relay/accounts/resets. Raises ConfigError."""
    if contact is not None:
        return contact.ask("GET", "/resets", within_s=WAIT_S)
    found = ask_main(context, console, lambda one: one.resets())
    return {
        "available_count": found["available_count"],
        "accounts": [{"slug": "default", "resets": found}],
    }


def described(one: dict[str, Any]) -> str:
    """Return one reset as a line: title, id, when it expires."""
    parts = [one["title"] or one["reset_type"] or "reset", one["id"] or "without an id"]
    if one["expires_at"]:
        parts.append(f"expires {one['expires_at']}")
    return escaped(", ".join(parts))


def print_resets(console: Console, found: dict[str, Any]) -> None:
    """Print how many earned resets the subscription has, if the upstream said so."""
    told = found.get("rate_limit_reset_credits")
    count = told.get("available_count") if isinstance(told, dict) else None
    if type(count) is int and count > 0:
        console.field("Earned resets", f"{count}; redeem one: {hint('usage reset')}")


def _resets(count: int) -> str:
    return "reset" if count == 1 else "resets"


def ask_main(
    context: Context,
    console: Console,
    ask: Callable[[Upstream], Coroutine[Any, Any, dict[str, Any]]],
) -> dict[str, Any]:
    """Ask the main upstream directly, without a relay. Raises ConfigError, or NotOffered if it has no resets."""

    async def asked() -> dict[str, Any]:
        upstream = make_upstream(
            context.settings, context.settings.main_upstream, warn=console.note
        )
        try:
            return await ask(upstream)
        finally:
            await upstream.close()

    try:
        return asyncio.run(asked())
    except RelayError as error:
        kind = NotOffered if error.code == NOT_OFFERED else ConfigError
        raise kind(error.local) from error
