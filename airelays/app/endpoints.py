"""Which coroutine serves which route. Modules are imported when their first request comes. Layer: app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from airelays.model import Route
from airelays.net.request import Request

if TYPE_CHECKING:
    from airelays.app.relay import Relay

__all__ = ["Endpoint", "find"]

Endpoint = Callable[["Relay", Request, Route, dict[str, str]], Awaitable[None]]

_OPERATOR = ("page", "health", "relay_status", "relay_metrics", "metrics", "relay_logging")
_found: dict[str, Endpoint] = {}


def find(name: str) -> Endpoint:
    """Return the endpoint of the route called `name`."""
    endpoint = _found.get(name)
    if endpoint is None:
        endpoint = _found[name] = _load(name)
    return endpoint


def _load(name: str) -> Endpoint:
    if name in ("chat", "responses", "completions"):
        from airelays.app import text

        return {"chat": text.chat, "responses": text.responses, "completions": text.completions}[
            name
        ]
    if name in ("models", "model"):
        from airelays.app import catalogue

        return catalogue.models if name == "models" else catalogue.model
    if name in _OPERATOR:
        from airelays.app import operator

        return operator.ENDPOINTS[name]
    if name in ("docs", "doc"):
        from airelays.app import docpages

        return docpages.docs if name == "docs" else docpages.doc
    if name == "subscription":
        from airelays.app import subscription

        return subscription.subscription
    if name in ("forward_json", "forward_multipart"):
        from airelays.app import forwarding

        return forwarding.forward_json if name == "forward_json" else forwarding.forward_multipart
    found = _load_state(name)
    if found is not None:
        return found
    from airelays.app import unsupported

    return unsupported.refuse


def _load_state(name: str) -> Endpoint | None:
    """Return the endpoints of what the relay itself keeps, and of images, which may come from it."""
    if name in ("files", "file", "file_content"):
        from airelays.app import files

        return files.ENDPOINTS[name]
    if name in ("conversations", "conversation", "items", "item"):
        from airelays.app import conversations

        return conversations.ENDPOINTS[name]
    if name in ("response", "response_items", "response_cancel"):
        from airelays.app import stored

        return stored.ENDPOINTS[name]
    if name in ("image_generation", "image_edit"):
        from airelays.app import images

        return images.ENDPOINTS[name]
    return None
