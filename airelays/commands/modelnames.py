"""Which models the upstreams have, for a command that has to know a name. Layer: commands."""

from __future__ import annotations

import json

from airelays.errors import RelayError
from airelays.settings.values import Settings
from airelays.upstream.choose import Upstreams

Name = tuple[str, str, str]


async def known_models(settings: Settings) -> tuple[list[Name], bool]:
    """Return (asked, upstream, model) of each model that can be asked for, and whether every list was to be had."""
    upstreams = Upstreams(settings, lambda text: None)
    named = [*settings.extra_models, *(alias.name for alias in settings.aliases)]
    whole = True
    try:
        listed = json.loads((await upstreams.listing()).body)
        named += [one["id"] for one in listed["data"]]
        # A named upstream that is down is left out of the list.
        there = {one["airelays"]["provider"] for one in listed["data"]}
        whole = all(one.name in there for one in settings.upstreams)
    except RelayError:
        whole = False
    finally:
        await upstreams.close()
    return [(name, *upstreams.destination(name)) for name in dict.fromkeys(named)], whole
