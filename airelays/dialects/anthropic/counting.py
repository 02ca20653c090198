"""How many tokens a request has, by estimate, and what is learned of each model's own count. Layer: rules.

No upstream here counts for its clients, and a call of the model would cost more than the answer is worth. The estimate
goes by the length of the texts; a ratio per model follows what upstreams report of requests that they answered.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

# Bytes of UTF-8 per token in prose, and in JSON and code.
PROSE_BYTES, CODE_BYTES = 4.0, 3.3
PER_MESSAGE, PER_TOOL, PER_IMAGE = 3, 8, 1600
# A page of a PDF has a picture and its text; what it weighs differs much.
PAGE_BYTES = 50_000
LEAST_RATIO, MOST_RATIO = 0.5, 2.0
# A new ratio moves the old one by a quarter: one odd answer is not the rule.
WEIGHT = 0.25
# The ratio of a few words says little.
MIN_TOKENS = 200
MAX_MODELS = 256
MAX_SAMPLE_CHARS = 32 * 1024


class Ratios:
    """What each model's own count is to the estimate; of models that are not known, 1."""

    __slots__ = ("_ratios",)

    def __init__(self) -> None:
        self._ratios: OrderedDict[str, float] = OrderedDict()

    def of(self, model: str) -> float:
        """Return the ratio for `model`."""
        return self._ratios.get(model, 1.0)

    def knows(self, model: str) -> bool:
        """Whether anything was learned of `model`."""
        return model in self._ratios

    def note(self, model: str, estimated: int, reported: int) -> None:
        """Learn from a request that was estimated so and whose input the upstream counted so."""
        if estimated < MIN_TOKENS or reported <= 0:
            return
        found = min(max(reported / estimated, LEAST_RATIO), MOST_RATIO)
        before = self._ratios.get(model)
        made = found if before is None else before + WEIGHT * (found - before)
        self._ratios[model] = made
        self._ratios.move_to_end(model)
        if len(self._ratios) > MAX_MODELS:
            self._ratios.popitem(last=False)

    def corrected(self, model: str, estimated: int) -> int:
        """Return the estimate as `model` would count it."""
        return max(1, round(estimated * self.of(model)))


def estimate(body: dict[str, Any]) -> int:
    """Return about how many tokens the system prompt, the tools and the messages of a request have."""
    tokens = 0.0
    for kind, size in _pieces(body):
        if kind == "prose":
            tokens += size / PROSE_BYTES
        elif kind == "code":
            tokens += size / CODE_BYTES
        else:
            tokens += size
    return max(1, round(tokens))


def has_pictures(body: dict[str, Any]) -> bool:
    """Whether a request holds images or documents, whose tokens are not in proportion to anything here."""
    return any(
        block.get("type") in ("image", "document")
        for message in _dicts(body.get("messages"))
        for block in _inner(message.get("content"))
    )


def sample(body: dict[str, Any]) -> str:
    """Return a text of the request by which a tokenizer can be compared to the estimate."""
    texts: list[str] = []
    left = MAX_SAMPLE_CHARS
    for block in [*_inner(body.get("system")), *_messages(body)]:
        text = block.get("text")
        if isinstance(text, str) and left > 0:
            texts.append(text[:left])
            left -= len(text)
    return "\n".join(texts)


def prose(text: str) -> int:
    """Return the estimate for a plain text."""
    return round(_size(text) / PROSE_BYTES)


def _pieces(body: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield sizes: bytes of "prose" and of "code", and "tokens" that count as they are."""
    for block in _inner(body.get("system")):
        yield from _block(block)
    for tool in _dicts(body.get("tools")):
        yield "tokens", PER_TOOL
        for key, value in tool.items():
            kind = "prose" if key == "description" else "code"
            if key != "cache_control":
                yield kind, _size(value if isinstance(value, str) else _json(value))
    for message in _dicts(body.get("messages")):
        yield "tokens", PER_MESSAGE
        for block in _inner(message.get("content")):
            yield from _block(block)


def _block(block: dict[str, Any]) -> Iterator[tuple[str, float]]:
    kind = block.get("type")
    if kind == "image":
        yield "tokens", PER_IMAGE
    elif kind == "document":
        source = block.get("source")
        data = source.get("data") if isinstance(source, dict) else None
        if isinstance(data, str) and isinstance(source, dict) and source.get("type") == "base64":
            yield "tokens", PER_IMAGE * max(1, len(data) * 3 // 4 // PAGE_BYTES)
        else:
            yield "prose", _size(data if isinstance(data, str) else _json(source))
    elif kind == "tool_use":
        yield "code", _size(f"{block.get('name')}{_json(block.get('input'))}")
    elif kind == "tool_result":
        yield "tokens", PER_MESSAGE
        for one in _inner(block.get("content")):
            for form, size in _block(one):
                yield ("code" if form == "prose" else form), size
    elif kind == "thinking":
        text = block.get("thinking")
        yield "prose", _size(text if isinstance(text, str) else "")
    else:
        text = block.get("text")
        yield "prose", _size(text if isinstance(text, str) else "")


def _messages(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for message in _dicts(body.get("messages")):
        yield from _inner(message.get("content"))


def _inner(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return _dicts(content)


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
