"""Names of models that clients of Ollama's API have given a tag, or taken one. Layer: app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airelays.dialects.ollama import listing as lists
from airelays.errors import UpstreamFault

if TYPE_CHECKING:
    from airelays.app.desk import Desk


async def own_name(desk: Desk, model: str) -> str:
    """Return the name under which the relay lists a model that a client may have given or taken a tag."""
    try:
        listing = await desk.upstreams.listing()
    except UpstreamFault:
        return lists.untagged(model)
    if listing.has(model):
        return model
    tagged = lists.shown_name(model)
    return tagged if tagged != model and listing.has(tagged) else lists.untagged(model)
