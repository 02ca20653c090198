"""`/api/tags`, `/api/show`, `/api/ps` and `/api/version`: the models of the list in Ollama's form. Layer: rules."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from airelays.dialects.ollama.request import LATEST
from airelays.errors import ClientFault

# A level of the protocol, not of a program: above what clients ask for (Copilot: 0.6.4).
VERSION = "0.13.0"
USUAL_CONTEXT = 128_000
ARCHITECTURE = "relay"
Record = dict[str, Any]


def shown_name(model: str) -> str:
    """Return a model's name as it is listed: lists of this API have a tag in every one."""
    return model if ":" in model else model + LATEST


def untagged(model: str) -> str:
    """Return a name without the tag that `shown_name` gives."""
    return model.removesuffix(LATEST) or model


def texts_only(records: Iterable[Record]) -> list[Record]:
    """Return the records of models that answer with text."""
    return [one for one in records if one["airelays"]["discovery_source"] != "images_api"]


def tags(records: Iterable[Record], now_s: float) -> dict[str, Any]:
    """Return the answer to `/api/tags`."""
    return {"models": [_tag(one, now_s) for one in records]}


def _tag(record: Record, now_s: float) -> dict[str, Any]:
    return {
        **_facts(record),
        "modified_at": stamp(now_s),
        "capabilities": capabilities(record),
    }


def _facts(record: Record) -> dict[str, Any]:
    name = shown_name(record["id"])
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()
    details = _details(record)
    return {"name": name, "model": name, "size": 0, "digest": digest, "details": details}


def _details(record: Record) -> dict[str, Any]:
    family = str(record["airelays"]["provider"])
    return {
        "parent_model": "",
        "format": "remote",
        "family": family,
        "families": [family],
        "parameter_size": "",
        "quantization_level": "",
    }


def capabilities(record: Record) -> list[str]:
    """Return what a model can do, in this API's words."""
    more = record["airelays"]
    found = ["completion"]
    if more["capabilities"]["tool_calls"]:
        found.append("tools")
    if "image" in more["capabilities"]["inputs"]:
        found.append("vision")
    if any(word != "none" for word in more.get("reasoning", {}).get("modes", ())):
        found.append("thinking")
    return found


def context_of(record: Record) -> int:
    """Return how many tokens a model takes; a usual number where nobody says."""
    for name in ("context_window", "max_context_window"):
        value = record["airelays"].get(name)
        if type(value) is int and value > 0:
            return value
    return USUAL_CONTEXT


def show(record: Record, now_s: float) -> dict[str, Any]:
    """Return the answer to `/api/show`."""
    most = context_of(record)
    return {
        "modelfile": "",
        "license": "",
        "template": "{{ .Prompt }}",
        "parameters": f"num_ctx {most}",
        "details": _details(record),
        "model_info": {
            "general.architecture": ARCHITECTURE,
            "general.basename": record["id"],
            "general.parameter_count": 0,
            f"{ARCHITECTURE}.context_length": most,
            f"{ARCHITECTURE}.embedding_length": 0,
        },
        "capabilities": capabilities(record),
        "modified_at": stamp(now_s),
    }


def running(records: Iterable[Record], ends_s: dict[str, float]) -> dict[str, Any]:
    """Return the answer to `/api/ps`: those of the models whose time of `ends_s` has not come."""
    models = [
        {
            **_facts(one),
            "expires_at": stamp(ends_s[one["id"].casefold()]),
            "size_vram": 0,
            "context_length": context_of(one),
        }
        for one in records
        if one["id"].casefold() in ends_s
    ]
    return {"models": models}


def stamp(now_s: float) -> str:
    """Return a Unix time as RFC 3339."""
    when = datetime.fromtimestamp(now_s, UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def unknown(model: str) -> ClientFault:
    """Return the 404 in the words by which clients know it."""
    shown = model if len(model) <= 80 else model[:77] + "..."
    return ClientFault(
        f"model '{shown}' not found", status=404, code="model_not_found", param="model"
    )
