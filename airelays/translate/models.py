"""The model list: one body that OpenAI clients, JetBrains and the Codex CLI all read, and the look-up of one model.

OpenAI clients read `data`, JetBrains requires it, the Codex CLI reads `models` as the upstream wrote it. Layer: rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from airelays.errors import ClientFault

__all__ = ["IMAGE_MODEL", "FoundModel", "find", "list_body", "record"]

# What the images routes draw with. The backend's catalogue lists models for text only.
IMAGE_MODEL = "gpt-image-2"

# Without levels of its own a model takes these (existing-airelays.md 3.6).
_USUAL_EFFORTS = ("none", "low", "medium", "high", "xhigh")
MAX_SUGGESTIONS = 5

Entry = Mapping[str, Any]


class FoundModel(NamedTuple):
    """What a client's word for a model means: the upstream's id, and its catalogue entry if there is one."""

    model: str
    entry: Entry | None


def list_body(
    catalogue: Sequence[Entry],
    *,
    aliases: Mapping[str, str] | None = None,
    extra: Iterable[str] = (),
    images: Iterable[str] = (),
    upstream: str = "chatgpt",
    owned_by: str = "airelays-openai-subscription",
) -> dict[str, Any]:
    """Return the body of `GET /v1/models`.

    The catalogue's own entries come first, then `extra` ids of the configuration, then the `images` that only the
    images routes take, then `aliases` (alias -> id).
    Entries without a slug are left out; a repeated id counts once.
    """
    data: dict[str, dict[str, Any]] = {}

    def add(model: str, entry: Entry | None, source: str, resolved: str) -> None:
        if model.casefold() not in data:
            data[model.casefold()] = record(
                model, entry, source=source, resolved=resolved, upstream=upstream, owned_by=owned_by
            )

    known = _by_slug(catalogue)
    for slug, entry in known.values():
        add(slug, entry, "upstream_catalog", slug)
    for model in extra:
        add(model, None, "configured", model)
    for model in images:
        drawn = _drawing(model, upstream=upstream, owned_by=owned_by)
        data.setdefault(model.casefold(), drawn)
    for alias, target in (aliases or {}).items():
        slug, target_entry = known.get(target.casefold(), (target, None))
        add(alias, target_entry, "alias", slug)
    return {
        "object": "list",
        "data": list(data.values()),
        "models": [dict(entry) for _, entry in known.values()],
    }


def record(
    model: str,
    entry: Entry | None,
    *,
    source: str = "upstream_catalog",
    resolved: str | None = None,
    upstream: str = "chatgpt",
    owned_by: str = "airelays-openai-subscription",
) -> dict[str, Any]:
    """Return one model as OpenAI's API shows it, with an `airelays` object of what else is known."""
    facts = entry or {}
    inputs = _words(facts.get("input_modalities")) or ["text", "image"]
    more: dict[str, Any] = {
        "provider": upstream,
        "upstream_model": resolved or model,
        "resolved_model": resolved or model,
        "discovery_source": source,
        "display_name": _word(facts.get("display_name")) or model,
        "catalog_visibility": _word(facts.get("visibility")),
        "description": _word(facts.get("description")),
        "capabilities": {
            "routes": {"responses": True, "chat_completions": True, "completions": True},
            "tool_calls": True,
            "inputs": inputs,
        },
        "reasoning": {
            "parameter": "reasoning_effort",
            "modes": _efforts(facts),
            "default": _word(facts.get("default_reasoning_level")) or "none",
        },
        "structured_output": {
            "parameter": "response_format",
            "types": ["text", "json_object", "json_schema"],
        },
    }
    for name in ("context_window", "max_context_window"):
        value = facts.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            more[name] = value
    return {"id": model, "object": "model", "created": 0, "owned_by": owned_by, "airelays": more}


def _drawing(model: str, *, upstream: str, owned_by: str) -> dict[str, Any]:
    """Return the record of a model that draws and does nothing else."""
    found = record(model, None, source="images_api", upstream=upstream, owned_by=owned_by)
    text_routes = found["airelays"]["capabilities"]["routes"]
    found["airelays"]["capabilities"] = {
        "routes": {**dict.fromkeys(text_routes, False), "images": True},
        "tool_calls": False,
        "inputs": ["text", "image"],
    }
    for name in ("reasoning", "structured_output"):
        del found["airelays"][name]
    return found


def _images_only(model: str) -> ClientFault:
    """Return the 404 of a request for text to a model that only draws."""
    return ClientFault(
        f"model {model!r} makes images only; send it to POST /v1/images/generations or /v1/images/edits,"
        " or name a model for text: GET /v1/models lists all",
        status=404,
        code="model_not_found",
        param="model",
    )


def find(
    model: str,
    catalogue: Sequence[Entry],
    *,
    aliases: Mapping[str, str] | None = None,
    extra: Iterable[str] = (),
    images: Iterable[str] = (),
) -> FoundModel:
    """Return what `model` means; letter case does not count, an alias is followed once.

    Raises ClientFault 404 `model_not_found` that names the nearest ids, or the routes of a model that only draws.
    """
    for entry in catalogue:
        # Spelled as the upstream spells it: what nearly every request does.
        if isinstance(entry, dict) and entry.get("slug") == model:
            return FoundModel(model, entry)
    known = _by_slug(catalogue)
    others = {name.casefold(): name for name in extra}
    short = {name.casefold(): target for name, target in (aliases or {}).items()}
    wanted = model.casefold()
    if wanted not in known and wanted in short:
        model = short[wanted]
        wanted = model.casefold()
        if wanted not in known and wanted not in others:
            # The user wrote the alias: its target is trusted even if no catalogue lists it.
            return FoundModel(model, None)
    if wanted in known:
        slug, entry = known[wanted]
        return FoundModel(slug, entry)
    if wanted in others:
        return FoundModel(others[wanted], None)
    if wanted in images:
        raise _images_only(model)
    names = [slug for slug, _ in known.values()] + list(others.values()) + list(aliases or {})
    raise _unknown(model, list(dict.fromkeys(names)))


def _unknown(model: str, names: list[str]) -> ClientFault:
    import difflib

    folded = {name.casefold(): name for name in reversed(names)}
    close = difflib.get_close_matches(
        model.casefold()[:256], list(folded), n=MAX_SUGGESTIONS, cutoff=0.4
    )
    nearest = ", ".join(folded[name] for name in close) or ", ".join(names[:MAX_SUGGESTIONS])
    hint = f"the nearest are {nearest}" if nearest else "the upstream lists none"
    shown = model if len(model) <= 80 else model[:77] + "..."
    return ClientFault(
        f"model {shown!r} does not exist; {hint}; GET /v1/models lists all",
        status=404,
        code="model_not_found",
        param="model",
    )


def _by_slug(catalogue: Sequence[Entry]) -> dict[str, tuple[str, Entry]]:
    known: dict[str, tuple[str, Entry]] = {}
    for entry in catalogue:
        slug = entry.get("slug") if isinstance(entry, Mapping) else None
        if isinstance(slug, str) and slug:
            known.setdefault(slug.casefold(), (slug, entry))
    return known


def _efforts(entry: Entry) -> list[str]:
    levels = entry.get("supported_reasoning_levels")
    found = [
        level["effort"]
        for level in (levels if isinstance(levels, list) else [])
        if isinstance(level, Mapping) and isinstance(level.get("effort"), str)
    ]
    return found or list(_USUAL_EFFORTS)


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _words(value: Any) -> list[str]:
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []
