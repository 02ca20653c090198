"""What a chat server's message, or a delta of it, holds, in any server's spelling. Layer: rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

# DeepSeek, vLLM, SGLang and llama.cpp; OpenRouter, Groq and Ollama; Copilot; Ollama's own API; LiteLLM. OpenRouter
# sends the same text under two of them: the first that is there counts.
_THOUGHTS = (
    "reasoning_content",
    "reasoning",
    "reasoning_text",
    "thinking",
    "thinking_content",
    "reasoning_details",
    "thinking_blocks",
    "thought",
)
_TEXTS = ("text", "thinking", "reasoning", "content", "summary", "reasoning_content")
_THINKING = frozenset(("thinking", "reasoning", "reasoning_text", "reasoning_content", "thought"))
MAX_DEPTH = 4
MAX_SOURCES = 256


def pieces_of(delta: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (kind, text) in order: "reasoning", "output_text" or "refusal"; no text is empty."""
    for name in _THOUGHTS:
        thought = delta.get(name)
        if thought:
            text = thought if isinstance(thought, str) else _text(thought)
            if text:
                yield "reasoning", text
                break
    content = delta.get("content")
    if isinstance(content, str):
        if content:
            yield "output_text", content
    elif content:
        for part in content if isinstance(content, list) else [content]:
            yield from _part(part)
    refusal = delta.get("refusal")
    if isinstance(refusal, str) and refusal:
        yield "refusal", refusal


def _part(part: Any) -> Iterator[tuple[str, str]]:
    if isinstance(part, str):
        kind, text = "output_text", part
    elif not isinstance(part, dict):
        return
    elif part.get("type") in _THINKING:
        kind, text = "reasoning", _text(part)
    elif part.get("type") == "refusal":
        kind, text = "refusal", str(part.get("refusal") or "")
    else:
        found = part.get("text")
        kind, text = "output_text", found if isinstance(found, str) else _text(found)
    if text:
        yield kind, text


def _text(value: Any, depth: int = 0) -> str:
    """Return the text in a part, or in a list of them, of a thought."""
    if isinstance(value, str):
        return value
    if depth >= MAX_DEPTH:
        return ""
    if isinstance(value, list):
        return "".join(_text(one, depth + 1) for one in value)
    if isinstance(value, dict):
        return next((t for name in _TEXTS if (t := _text(value.get(name), depth + 1))), "")
    return ""


def annotations_of(delta: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the `url_citation` annotations of a message as the Responses API spells them."""
    found = []
    listed = delta.get("annotations")
    for one in listed if isinstance(listed, list) else []:
        cited = one.get("url_citation", one) if isinstance(one, dict) else None
        if isinstance(cited, dict) and isinstance(cited.get("url"), str):
            found.append(_annotation(cited["url"], cited.get("title"), cited))
    return found


def citations_of(chunk: dict[str, Any], text: str) -> list[dict[str, Any]]:
    """Return as annotations the sources that Perplexity and xAI list beside an answer; `text` refers to them as [1]."""
    sources = chunk.get("search_results") or chunk.get("citations")
    listed = sources[:MAX_SOURCES] if isinstance(sources, list) else []
    found = []
    for number, source in enumerate(listed, start=1):
        url = source.get("url") if isinstance(source, dict) else source
        if not isinstance(url, str) or not url:
            continue
        title = source.get("title") if isinstance(source, dict) else None
        places = [m.span() for m in re.finditer(re.escape(f"[{number}]"), text)]
        for start, end in places or [(len(text), len(text))]:
            found.append(_annotation(url, title, {"start_index": start, "end_index": end}))
    return found


def _annotation(url: str, title: Any, place: dict[str, Any]) -> dict[str, Any]:
    start, end = place.get("start_index"), place.get("end_index")
    return {
        "type": "url_citation",
        "start_index": start if isinstance(start, int) else 0,
        "end_index": end if isinstance(end, int) else 0,
        "url": url,
        "title": title if isinstance(title, str) else "",
    }


def logprobs_of(choice: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the log probabilities of a choice's tokens; chat and Responses spell them alike."""
    logprobs = choice.get("logprobs")
    listed = logprobs.get("content") if isinstance(logprobs, dict) else None
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
