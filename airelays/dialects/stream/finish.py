"""What the `finish_reason` of a chat or completions server says: finished, cut short, filtered, or broken off.

Servers have words of their own beside OpenAI's five. What is known to mean one of the five is read as that; any other
word is a failure that is quoted, for a broken answer must not pass for a complete one. Layer: rules.
"""

from __future__ import annotations

from typing import Any

from airelays.dialects.stream.server_error import choice_error
from airelays.errors import UpstreamFault

FAILED = "failed"
MAX_WORD_CHARS = 64
_FILTERED = "content_filter"
_WORDS = {
    **{word: word for word in ("stop", "length", "tool_calls", "function_call", _FILTERED)},
    # Text Generation Inference, Together, Cohere, Anthropic and Gemini through gateways.
    **dict.fromkeys(
        ("eos", "eos_token", "end_turn", "stop_sequence", "stop_token", "complete", "end"), "stop"
    ),
    **dict.fromkeys(("tool_call", "tool_use"), "tool_calls"),
    # Mistral, GLM, Anthropic, Gemini.
    **dict.fromkeys(
        ("model_length", "max_tokens", "max_output_tokens", "model_context_window_exceeded"),
        "length",
    ),
    # GLM says "sensitive", Gemini the next five, Anthropic "refusal", Bedrock the last.
    **dict.fromkeys(
        (
            *("sensitive", "safety", "recitation", "blocklist", "prohibited_content", "spii"),
            *("refusal", "guardrail_intervened", "content_filtered"),
        ),
        _FILTERED,
    ),
    # DashScope writes null as a text.
    **dict.fromkeys(("", "null", "none"), ""),
}


def finish_of(word: Any) -> str:
    """Return OpenAI's word for `word`; "" when it ends nothing, FAILED when the answer was broken off."""
    if not isinstance(word, str):
        return ""
    return _WORDS.get(word) or _WORDS.get(word.strip().lower(), FAILED)


def interruption(word: str, said: str = "") -> str:
    """Return the sentence about an answer that ended with `word`; `said` is what the server adds to it."""
    shown = "".join(c if c.isprintable() and c != '"' else " " for c in word[:MAX_WORD_CHARS])
    why = f" ({said})" if said else ""
    return (
        f'the upstream broke off its answer with finish_reason "{shown}"{why}; '
        "what has arrived is incomplete"
    )


def interrupted(word: str, said: str = "") -> UpstreamFault:
    """Return the fault for an answer that ended with `word`; both texts are free of secrets already."""
    return UpstreamFault(
        interruption(word, said), hop="stream", code="upstream_interrupted", type="server_error"
    )


def chunk_ends(chunk: dict[str, Any], finished: set[Any]) -> bool | tuple[str, str]:
    """Read the ends of the choices of a chunk, or of a whole answer: note in `finished` which have one.

    Gives each OpenAI's word in its place, and returns whether that changed `chunk`. For a choice that was broken off
    returns the server's word and what else it says, neither of them looked through for secrets.
    """
    choices = chunk.get("choices")
    changed = False
    for choice in choices if isinstance(choices, list) else []:
        if not isinstance(choice, dict):
            continue
        word = choice.get("finish_reason")
        found = finish_of(word)
        if found == FAILED:
            return str(word), choice_error(choice)
        if not found:
            continue
        index = choice.get("index")
        finished.add(index if isinstance(index, int) else 0)
        if found != word:
            choice["finish_reason"] = found
            changed = True
    return changed
