"""`/api/embed` and `/api/embeddings` as `/v1/embeddings` and back. Layer: rules."""

from __future__ import annotations

from typing import Any

from airelays.dialects.checks import fault, shown, want_list, wrong_type
from airelays.dialects.ollama.whole import Meter
from airelays.dialects.reply import read_usage
from airelays.errors import UpstreamFault

MAX_INPUTS = 2048


def from_embed(body: dict[str, Any], *, old: bool) -> dict[str, Any]:
    """Return the `/v1/embeddings` request; `old` reads the form with `prompt`. Raises ClientFault."""
    name = "prompt" if old else "input"
    value = body.get(name)
    if isinstance(value, str):
        texts = [value]
    else:
        texts = want_list(value, name, most=MAX_INPUTS)
        if old:
            raise wrong_type(name, value, "a text")
    for at, text in enumerate(texts):
        if not isinstance(text, str):
            raise wrong_type(f"{name}[{at}]", text, "a text")
    made: dict[str, Any] = {"input": texts, "encoding_format": "float"}
    dimensions = body.get("dimensions")
    if dimensions:
        if type(dimensions) is not int or not 1 <= dimensions <= 1_000_000:
            raise fault("dimensions", f"is {shown(dimensions)}; expected a whole number, 1 or more")
        made["dimensions"] = dimensions
    return made


def to_embed(answer: dict[str, Any], model: str, meter: Meter) -> dict[str, Any]:
    """Return the answer to `/api/embed`. Raises UpstreamFault for an answer without vectors."""
    counts = meter.counts(read_usage(answer.get("usage")), 1)
    kept = ("total_duration", "load_duration", "prompt_eval_count")
    return {
        "model": model,
        "embeddings": _vectors(answer),
        **{name: counts[name] for name in kept},
    }


def to_embedding(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to `/api/embeddings`. Raises UpstreamFault for an answer without vectors."""
    return {"embedding": next(iter(_vectors(answer)), [])}


def _vectors(answer: dict[str, Any]) -> list[Any]:
    data = answer.get("data")
    listed = data if isinstance(data, list) else [None]
    found = [one.get("embedding") if isinstance(one, dict) else None for one in listed]
    if not all(isinstance(vector, list) for vector in found):
        raise UpstreamFault(
            "the upstream answered without embeddings; check its log",
            code="upstream_malformed",
            type="upstream_error",
        )
    return found
