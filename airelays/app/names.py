"""Names of models to which clients of Ollama's API add a tag, or from which they remove one. Layer: app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airelays.dialects.ollama import listing as lists
from airelays.errors import UpstreamFault

if TYPE_CHECKING:
    from airelays.app.desk import Desk


async def own_name(desk: Desk, model: str) -> str:
    """Return the name under which the relay lists a model whose tag a client has possibly added or removed."""
    try:
        listing = await desk.upstreams.listing()
    except UpstreamFault:
        return lists.untagged(model)
    if listing.has(model):
        return model
    tagged = lists.shown_name(model)
    return tagged if tagged != model and listing.has(tagged) else lists.untagged(model)
