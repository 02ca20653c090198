"""`usage`: the subscription's windows, asked of the upstream with the stored sign-in. Layer: commands."""

from __future__ import annotations

import asyncio
from typing import Any

from airelays.commands.usage_bars import print_windows
from airelays.errors import ConfigError, RelayError
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console
from airelays.terminal.context import Context, find_context
from airelays.upstream.choose import make_upstream


def run(args: Arguments, console: Console) -> int:
    """Print the windows. Works with and without a running relay."""
    context = find_context(args, console)
    try:
        usage = asyncio.run(_ask(context, console, raw=args.has("--raw")))
    except RelayError as error:
        raise ConfigError(error.local) from error
    if args.has("--json"):
        account = {"slug": "default", "email": usage["account"]["email"], "status": usage}
        every = {"object": "subscription_status_list", "accounts": [account]}
        console.json({"object": "usage", "openai": every})
        return 0
    console.title("Usage")
    console.section("Account")
    console.field("Plan", usage["account"]["plan_type"])
    if usage["account"]["email"]:
        console.field("Email", usage["account"]["email"])
    print_windows(console, usage)
    return 0


async def _ask(context: Context, console: Console, *, raw: bool) -> dict[str, Any]:
    upstream = make_upstream(context.settings, context.settings.main_upstream, warn=console.note)
    try:
        return await upstream.usage(raw=raw)
    finally:
        await upstream.close()
