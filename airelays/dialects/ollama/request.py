"""A request of `/api/chat` or `/api/generate` as the Responses request that goes upstream.

Its words become chat's, whose map does the rest: both APIs say the same in most things. Layer: rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from airelays.dialects.chat.request import from_chat
from airelays.dialects.checks import asks, fault, present, want_bool, wrong_type
from airelays.dialects.ollama.messages import Conversation, with_images
from airelays.dialects.ollama.options import format_of, options_of, think_of
from airelays.dialects.parameters import model_of
from airelays.dialects.takes import Takes
from airelays.dialects.translated import Translated

CHAT, GENERATE = "chat", "generate"
LATEST = ":latest"
_READ = frozenset(
    {"model", "messages", "prompt", "system", "images", "suffix", "stream", "tools", "format", "options", "think"}
)  # fmt: skip
# Matters of a server that holds models in its memory.
_SILENT = frozenset({"keep_alive", "truncate", "shift", "_debug_render_only"})
_AS_CHAT = ("logprobs", "top_logprobs")


class Plan(NamedTuple):
    """What the reply maps need beside the translation: which of the two APIs, what the client called the model.

    `thoughts` says whether they are sent. Zed's decoder knows no ids of calls: `ids` leaves them out.
    """

    api: str
    model: str
    thoughts: bool = False
    ids: bool = True


def stream_of(body: dict[str, Any]) -> bool:
    """Return whether the client wants a stream, which it does unless it says otherwise."""
    value = body.get("stream")
    return True if value is None else want_bool(value, "stream")


def from_ollama(
    body: dict[str, Any],
    api: str,
    *,
    tools_allowed: bool,
    takes: Takes,
    efforts: Sequence[str] = (),
) -> tuple[Translated, Plan]:
    """Return what to send for a request to an upstream that `takes` this, whose model knows `efforts`.

    Raises ClientFault.
    """
    body = present(body)
    options, left = options_of(body)
    think = think_of(body, efforts)
    chat: dict[str, Any] = {
        "model": model_of(body),
        "messages": _generated(body)
        if api == GENERATE
        else Conversation().read(body.get("messages")),
        "stream": stream_of(body),
        **options,
        **{name: body[name] for name in _AS_CHAT if name in body},
    }
    if body.get("tools"):
        chat["tools"] = body["tools"]
    form = format_of(body)
    if form is not None:
        chat["response_format"] = form
    reasoning = {} if think.shown else {"summary": "none"}
    chat["reasoning"] = {**reasoning, **({"effort": think.effort} if think.effort else {})}
    said = "json_word_added" if form == {"type": "json_object"} and _add_word(chat) else ""
    made = from_chat(chat, tools_allowed=tools_allowed, takes=takes)
    left += [
        name
        for name, value in body.items()
        if name not in _READ and name not in _SILENT and name not in _AS_CHAT and asks(value)
    ]
    quirks = (*made.quirks, said) if said else made.quirks
    plan = Plan(api, chat["model"], think.shown)
    ignored = (*_own_names(made.ignored, options, body), *sorted(left))
    return made._replace(ignored=ignored, quirks=quirks), plan


def _own_names(
    names: Sequence[str], options: dict[str, Any], body: dict[str, Any]
) -> dict[str, None]:
    """Return what was left out as this API calls it, without what only the relay said."""
    found: dict[str, None] = {}
    for name in names:
        if name.startswith("max_") and "max_tokens" in options:
            name = "options.num_predict"
        elif name in options:
            name = f"options.{name}"
        elif name.startswith("reasoning"):
            name = "think"
        if name != "think" or "think" in body:
            found[name] = None
    return found


def _generated(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the messages of `/api/generate`."""
    if asks(body.get("suffix")):
        raise fault(
            "suffix",
            "requests text in the middle, which the upstream does not support; remove it",
            "unsupported_parameter",
        )
    texts = {}
    for name in ("prompt", "system"):
        texts[name] = body.get(name, "")
        if not isinstance(texts[name], str):
            raise wrong_type(name, texts[name], "a text")
    messages = [{"role": "system", "content": texts["system"]}] if texts["system"] else []
    return [*messages, {"role": "user", "content": with_images(texts["prompt"], body, "")}]


def _add_word(chat: dict[str, Any]) -> bool:
    """Ask for JSON in words where no message does: servers of OpenAI's API refuse their JSON mode otherwise."""
    messages = chat["messages"]
    for message in messages:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        if any("json" in str(part.get("text") or "").lower() for part in parts):
            return False
    chat["messages"] = [{"role": "system", "content": "Answer with JSON."}, *messages]
    return True
