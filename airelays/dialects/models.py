"""One model: how it is shown, and what a client's word for it means. `dialects.listing` has the list. Layer: rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from airelays.errors import ClientFault

# What the images routes draw with. The backend's catalogue lists models for text only.
IMAGE_MODEL = "gpt-image-2"

# Without levels of its own a model takes these, as in earlier releases.
MAX_SUGGESTIONS = 5
MAX_LOOKED = 5000
MAX_COMPARED = 300

Entry = Mapping[str, Any]


class FoundModel(NamedTuple):
    """What a client's word for a model means: the upstream's id, and its catalogue entry if there is one."""

    model: str
    entry: Entry | None


class Index(dict[str, tuple[str, Entry]]):
    """A catalogue by its slugs, without regard to case: slug and entry. A repeated slug counts once."""

    def __init__(self, catalogue: Sequence[Entry]) -> None:
        super().__init__()
        for entry in catalogue:
            slug = entry.get("slug") if isinstance(entry, Mapping) else None
            if isinstance(slug, str) and slug:
                self.setdefault(slug.casefold(), (slug, entry))


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


def drawing(model: str, *, upstream: str, owned_by: str) -> dict[str, Any]:
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
        f"model {model!r} only creates images; send it to POST /v1/images/generations or /v1/images/edits,"
        " or name a model for text: GET /v1/models lists all",
        status=404,
        code="model_not_found",
        param="model",
    )


def find(
    model: str,
    known: Index,
    *,
    aliases: Mapping[str, str] | None = None,
    extra: Iterable[str] = (),
    images: Iterable[str] = (),
) -> FoundModel:
    """Return what `model` means; letter case does not count, an alias is followed once.

    Raises ClientFault 404 `model_not_found` that names the nearest ids, or the routes of a model that only draws.
    """
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
    slugs = (slug for slug, _ in known.values())
    raise unknown(model, chain(slugs, others.values(), aliases or ()))


def unknown(model: str, names: Iterable[str]) -> ClientFault:
    """Return the 404 for `model`; it names the nearest of the first MAX_COMPARED `names`."""
    import difflib

    wanted = model.casefold()[:256]
    looked = [name for name in islice(names, MAX_LOOKED) if len(name) <= 256]
    # The likeness of two texts takes microseconds: those that begin alike are compared first, and not all of them.
    looked.sort(key=lambda name: name[:2].casefold() != wanted[:2])
    folded = {name.casefold(): name for name in reversed(looked[:MAX_COMPARED])}
    close = difflib.get_close_matches(wanted, list(folded), n=MAX_SUGGESTIONS, cutoff=0.4)
    nearest = ", ".join(folded[name] for name in close) or ", ".join(looked[:MAX_SUGGESTIONS])
    hint = f"similar names are {nearest}" if nearest else "the upstream lists none"
    shown = model if len(model) <= 80 else model[:77] + "..."
    return ClientFault(
        f"model {shown!r} does not exist; {hint}; GET /v1/models lists all",
        status=404,
        code="model_not_found",
        param="model",
    )


def _efforts(entry: Entry) -> list[str]:
    levels = entry.get("supported_reasoning_levels")
    found = [
        level["effort"]
        for level in (levels if isinstance(levels, list) else [])
        if isinstance(level, Mapping) and isinstance(level.get("effort"), str)
    ]
    return found


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _words(value: Any) -> list[str]:
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []
