"""`models`: the models that clients can use, as the upstreams list them now. Layer: commands."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from airelays.commands.usage import span
from airelays.errors import ConfigError, RelayError
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console, escaped
from airelays.terminal.context import Context, find_context
from airelays.terminal.running import find_relay
from airelays.upstream.choose import Upstreams

# The upstream is given this long; a list that it does not send comes from what is kept of the last one.
WAIT_S = 60.0


def run(args: Arguments, console: Console) -> int:
    """Print the list of GET /v1/models: that of the relay that runs, else what the upstreams say now."""
    context = find_context(args, console)
    contact = find_relay(args, context)
    if contact is not None:
        body = contact.ask("GET", "/models?refresh=true", within_s=WAIT_S)
    else:
        body = _without_relay(context, console)
    if args.has("--json"):
        console.json(body)
        return 0
    console.title("Models")
    stale = _stale(body.get("models_cache"))
    if stale:
        console.note(stale)
    owners: dict[str, list[dict[str, Any]]] = {}
    for model in body["data"]:
        owners.setdefault(model["airelays"]["provider"], []).append(model)
    for owner, models in owners.items():
        console.section(owner)
        for model in models:
            _line(console, model)
    if not owners:
        console.line("the upstreams do not list any models")
    return 0


def _stale(cache: dict[str, Any] | None) -> str:
    """Return the sentence on a list that the upstream did not send just now; "" for one that it did."""
    if not cache:
        return ""
    age_s = cache.get("age_seconds")
    if age_s is None:
        return "the upstream could not be reached; this is the list built into this release"
    if age_s < WAIT_S:
        return ""
    return f"the upstream could not be reached; this is its list from {span(age_s)} ago"


def _without_relay(context: Context, console: Console) -> dict[str, Any]:
    try:
        return asyncio.run(_ask(context, console))
    except RelayError as error:
        raise ConfigError(error.local) from error


def _line(console: Console, model: dict[str, Any]) -> None:
    about = model["airelays"]
    facts = []
    if about["resolved_model"] != model["id"]:
        facts.append(f"is {about['resolved_model']}")
    if about["discovery_source"] == "images_api":
        facts.append("images only")
    modes = about.get("reasoning", {}).get("modes")
    if modes:
        facts.append(f"effort {', '.join(modes)}")
    name = f"  {escaped(model['id'])}"
    if facts:
        console.fitted(f"{name}  ", f"({escaped('; '.join(facts))})", 4)
    else:
        console.line(name)


async def _ask(context: Context, console: Console) -> dict[str, Any]:
    upstreams = Upstreams(context.settings, console.note)
    try:
        body: dict[str, Any] = json.loads((await upstreams.listing(refresh=True)).body)
        main = await upstreams.main.status()
        return {**body, "models_cache": main.get("models_cache")}
    finally:
        await upstreams.close()
