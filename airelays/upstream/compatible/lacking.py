"""Which of the text APIs a server lacks, for all of its models or for one: learned from refusals, for a day. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from airelays.upstream.compatible.refusal import GATEWAY_WORDS, Refused

# A server that is updated may have the API afterwards.
REMEMBERED_S = 86_400.0
# Models are names that clients choose.
MAX_ENTRIES = 1024
EVERY = ""

_NAMED = r"(?:the )?[`'\"/(]*(?:v1/)?(?P<api>chat[/ _-]?completions?|responses|completions)\b"
_BY = r"(?:in|on|via|with|through|by|using|at|for)"
# "This model is only supported in v1/responses and not in v1/chat/completions" (OpenAI).
_ONLY = re.compile(
    rf"\bonly (?:be )?(?:supported|available|accessible|served|used|usable|works?) {_BY} {_NAMED}"
)
# "not supported in the v1/completions endpoint" (OpenAI), "is not accessible via the /chat/completions endpoint"
# (Copilot), "does not support the Responses API".
_NOT = re.compile(
    rf"(?:\bnot (?:be )?(?:supported|available|accessible|implemented|usable|used|enabled|compatible)"
    rf"|\bunsupported|\bnot? support|(?:\bnot|n't) (?:support|implement|offer|serve|have)) ?(?:{_BY} )?{_NAMED}"
)
# "/v1/responses is not supported", "Responses API not implemented".
_MISSING = re.compile(
    rf"{_NAMED}[`'\")]*(?: api| endpoint| route)?(?: is| are)?"
    r" (?:not (?:supported|available|implemented|enabled)|unsupported|unavailable|disabled)"
)
# Of the address itself: LM Studio, OpenAI, Express, Kong, Azure and others.
_NO_PATH = re.compile(
    r"unexpected endpoint or method|invalid url \((?:get|post) |cannot (?:get|post) /|unrecognized request url"
    r"|\b(?:unknown|no such|no matching|invalid) (?:request )?(?:url|endpoint|path|route)\b|no route (?:matched|for)"
    r"|\b(?:endpoint|path|route|page|url|resource|handler) (?:was )?(?:not found|does not exist)"
)
# What a gateway quotes of the server that it asked for this model, in the words of FastAPI, llama.cpp and Go.
_NO_PATH_BEHIND = re.compile(
    r"\{\s*\\*[\"'](?:detail|error|message)\\*[\"']\s*:\s*"
    r"\\*[\"'](?:file |path |page )?not found\.?\\*[\"']\s*[,}]"
    r"|404 page not found|\berror code: 404\s*(?:$|litellm)"
)
_NOT_THERE = re.compile(r"\W*(?:this )?(?:api )?(?:is )?(?:not|un) ?implemented(?: yet)?\W*")
_CODES = frozenset(("convert_request_failed", "unsupported_api_for_model", "not_implemented"))
_NO_PATH_CODES = frozenset(("unknown_url", "unknown_endpoint", "route_not_found"))
# A refusal with one of these is about something else, whatever its text.
_OTHER_CAUSES = frozenset((401, 402, 403, 407, 408, 409, 413, 429))


def scope_of(api: str, refused: Refused) -> str:
    """Return what `refused` says of `api`: "server" lacks it, or "model" does; "" when it says neither.

    A model that is missing is a 404 too (OpenAI, Ollama): its text speaks of the model.
    """
    if refused.status in _OTHER_CAUSES:
        return ""
    text = refused.message.lower()
    code = str(refused.error.get("code") or refused.error.get("type") or "").lower()
    only = _ONLY.search(text)
    if only is not None:
        wanted = _api_of(only["api"])
        # Completions cannot stand in for the others: the server's words are the answer then.
        return "model" if wanted not in (api, "completions") else ""
    for pattern in (_NOT, _MISSING):
        if any(_api_of(found["api"]) == api for found in pattern.finditer(text)):
            return "model"
    if code in _CODES or _NOT_THERE.fullmatch(text):
        return "model"
    if _NO_PATH_BEHIND.search(text) and refused.status in (400, 404, 405, 500, 502):
        return "model" if GATEWAY_WORDS.search(text) or refused.names_model else "server"
    if code in _NO_PATH_CODES or _NO_PATH.search(text) or refused.status in (405, 501):
        return "server"
    if refused.status != 404:
        return ""
    if code == "model_not_found" or refused.names_model:
        return ""
    # Behind a gateway other models may be served by other servers.
    return "model" if GATEWAY_WORDS.search(text) else "server"


def _api_of(word: str) -> str:
    if word.startswith("chat"):
        return "chat"
    return word if word.startswith("resp") else "completions"


class _Entry(NamedTuple):
    until_s: float
    refused: Refused


class Lacking:
    """What was learned. Times are those of one clock that does not go backwards."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], _Entry] = {}

    def learn(self, api: str, model: str, refused: Refused, now_s: float) -> bool:
        """Note what `refused` says of `api`; return whether it says that it is lacking."""
        scope = scope_of(api, refused)
        if not scope:
            return False
        while len(self._entries) >= MAX_ENTRIES:
            self._entries.pop(next(iter(self._entries)))
        key = (api, model if scope == "model" else EVERY)
        self._entries.pop(key, None)
        self._entries[key] = _Entry(now_s + REMEMBERED_S, refused)
        return True

    def lacks(self, api: str, model: str, now_s: float) -> bool:
        """Whether `api` is known to be missing for `model`."""
        return bool(self._entries) and any(
            entry is not None and now_s < entry.until_s
            for entry in (self._entries.get((api, EVERY)), self._entries.get((api, model)))
        )

    def forget(self, model: str) -> list[tuple[str, Refused]]:
        """Forget all that concerns `model`, and return the refusals: those about the model itself first.

        For a model that nothing serves: what was learned may be wrong by now, or the base URL was.
        """
        keys = [key for key in self._entries if key[1] in (EVERY, model)]
        found = [(key, self._entries.pop(key)) for key in keys]
        found.sort(key=lambda one: one[0][1] == EVERY)
        return [(api, entry.refused) for (api, _), entry in found]

    def names(self, now_s: float) -> list[str]:
        """Return the APIs that the server lacks, in order; those of one model with its name."""
        return sorted(
            f"{api} ({model})" if model else api
            for (api, model), entry in self._entries.items()
            if now_s < entry.until_s
        )


class Doubts:
    """What the Responses API of a server does not keep for a model: "format", "limit". For a day, as what it lacks."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[float, str]] = {}

    def note(self, model: str, what: str, now_s: float) -> None:
        """Remember that `what` is not kept for `model`."""
        while len(self._entries) >= MAX_ENTRIES:
            self._entries.pop(next(iter(self._entries)))
        self._entries[model] = (now_s + REMEMBERED_S, what)

    def has(self, model: str, now_s: float) -> bool:
        """Whether anything is in doubt for `model`."""
        return bool(self._entries) and now_s < self._entries.get(model, (0.0, ""))[0]

    def names(self, now_s: float) -> list[str]:
        """Return what is not kept, in order, with the model."""
        return sorted(
            f"responses.{what} ({model})"
            for model, (until_s, what) in self._entries.items()
            if now_s < until_s
        )
