"""The route table: every path that the relay knows, with the spellings that clients produce.

Clients join base URL and path in their own ways: `/v1/v1/x`, `//v1/x`, `/v1//x`, `/x`, a slash at the end. Each
spelling is a separate entry with the protection of its path. Nothing is rewritten, decoded or normalized before the
match, so no spelling can slip past the gate. Layer: app.
"""

from __future__ import annotations

from airelays.errors import ClientFault
from airelays.guard.keys import OPERATOR
from airelays.guard.pagetokens import SESSION
from airelays.journal.notes import LOOKS
from airelays.model import RequestHead, Route
from airelays.settings.values import Settings

GET = ("GET", "HEAD")
POST = ("POST",)
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})

# Below these, a missing token is a failed attempt, whether or not the path exists.
GREETING = "/api/hello"
FAMILIES = ("/v1", "/no-tools/v1", "/metrics", "/docs")

# Also below /no-tools/v1: name, path, methods, body, handler.
_BOTH: tuple[tuple[str, str, tuple[str, ...], str, str], ...] = (
    ("responses", "/responses", POST, "json", "text:responses"),
    ("chat", "/chat/completions", POST, "json", "text:chat"),
    ("completions", "/completions", POST, "json", "text:completions"),
    ("messages", "/messages", POST, "json", "messages:messages"),
    ("count_tokens", "/messages/count_tokens", POST, "json", "messages:count_tokens"),
    ("models", "/models", GET, "none", "catalogue:models"),
    ("model", "/models/{id...}", GET, "none", "catalogue:model"),
)


def _table() -> tuple[Route, ...]:
    routes = [
        Route("page", "/", GET, open=True, handler="operator:page"),
        Route("health", "/healthz", GET, open=True, handler="operator:health"),
        Route("metrics", "/metrics", GET, handler="operator:metrics", access=OPERATOR),
        Route("docs", "/docs", GET, handler="docpages:docs", access=OPERATOR),
        Route("doc", "/docs/{topic}", GET, handler="docpages:doc", access=OPERATOR),
    ]
    for base, no_tools in (("/v1", False), ("/no-tools/v1", True)):
        for name, path, methods, body, handler in _BOTH:
            routes.append(Route(name, base + path, methods, body, False, no_tools, handler))
    for name, path, methods, body, handler in _V1_ONLY:
        looks = name in _LOOKS
        routes.append(Route(name, "/v1" + path, methods, body, handler=handler, looks=looks))
    return tuple(_classed(route) for route in routes)


def _classed(route: Route) -> Route:
    """Return `route` with its class for named keys; what is in no list requires `--routes all`."""
    for access, names in _CLASSES.items():
        if route.name in names or route.path in names:
            return route._replace(access=access)
    return route


_CLASSES = {
    "read": {"models", "model", "relay_usage"},
    "text": {
        "responses", "chat", "completions", "messages", "count_tokens", "input_tokens", "compact",
        "response", "response_items", "response_cancel", "/v1/embeddings",
    },
    OPERATOR: {
        "relay_status", "relay_metrics", "relay_logging", "subscription", "resets", "relay_feed", "relay_requests",
        "relay_models", "relay_windows", "relay_blocks", "relay_unblock", SESSION,
    },
}  # fmt: skip


# Requested by the page while it is open.
_LOOKS = frozenset({"relay_requests", "relay_models", "relay_windows", "relay_blocks"})
_V1_ONLY: tuple[tuple[str, str, tuple[str, ...], str, str], ...] = (
    ("relay_status", "/relay/status", GET, "none", "operator:relay_status"),
    ("relay_metrics", "/relay/metrics", GET, "none", "operator:metrics"),
    ("relay_logging", "/relay/logging", (*GET, "PUT"), "json", "operator:relay_logging"),
    ("relay_usage", "/relay/usage", GET, "none", "usage:relay_usage"),
    (SESSION, "/relay/page-session", POST, "none", "viewer:page_session"),
    ("relay_feed", "/relay/feed", GET, "none", "viewer:feed"),
    ("relay_requests", "/relay/requests", GET, "none", "viewer:requests"),
    ("relay_models", "/relay/models", GET, "none", "viewer:models"),
    ("relay_windows", "/relay/windows", GET, "none", "viewer:windows"),
    ("relay_blocks", "/relay/blocks", GET, "none", "viewer:blocks"),
    ("relay_unblock", "/relay/unblock", POST, "json", "viewer:unblock"),
    ("subscription", "/subscription/status", GET, "none", "catalogue:subscription"),
    ("subscription", "/account/rate_limits", GET, "none", "catalogue:subscription"),
    ("resets", "/relay/accounts/resets", GET, "none", "resets:listed"),
    ("resets", "/relay/accounts/resets/redeem", POST, "json", "resets:redeem"),
    ("input_tokens", "/responses/input_tokens", POST, "json", "bodies:refuse"),
    ("compact", "/responses/compact", POST, "json", "forwarding:forward_json"),
    ("response", "/responses/{id}", (*GET, "DELETE"), "none", "stored:single"),
    ("response_items", "/responses/{id}/input_items", GET, "none", "stored:items"),
    ("response_cancel", "/responses/{id}/cancel", POST, "json", "stored:cancel"),
    ("files", "/files", (*GET, "POST"), "multipart", "files:collection"),
    ("file", "/files/{id}", (*GET, "DELETE"), "none", "files:single"),
    ("file_content", "/files/{id}/content", GET, "none", "files:content"),
    ("conversations", "/conversations", POST, "json", "conversations:create"),
    (
        "conversation",
        "/conversations/{id}",
        (*GET, "POST", "DELETE"),
        "json",
        "conversations:single",
    ),
    ("items", "/conversations/{id}/items", (*GET, "POST"), "json", "conversations:items"),
    ("item", "/conversations/{id}/items/{item}", (*GET, "DELETE"), "none", "conversations:item"),
    ("image_generation", "/images/generations", POST, "json", "images:generations"),
    ("image_edit", "/images/edits", POST, "multipart", "images:edits"),
    ("forward_multipart", "/images/variations", POST, "multipart", "forwarding:forward_multipart"),
    ("forward_json", "/embeddings", POST, "json", "forwarding:forward_json"),
    ("forward_json", "/rerank", POST, "json", "forwarding:forward_json"),
    ("forward_json", "/moderations", POST, "json", "forwarding:forward_json"),
    ("forward_json", "/audio/speech", POST, "json", "forwarding:forward_json"),
    (
        "forward_multipart",
        "/audio/transcriptions",
        POST,
        "multipart",
        "forwarding:forward_multipart",
    ),
    ("forward_multipart", "/audio/translations", POST, "multipart", "forwarding:forward_multipart"),
    ("realtime", "/realtime/sessions", POST, "json", "bodies:refuse"),
    ("fim", "/fim/completions", POST, "json", "bodies:refuse"),
)

ROUTES = _table()
# Ollama's API, where it is switched on: name, path, methods, handler, access.
OLLAMA = "/api"
_OLLAMA = (
    ("ollama_version", "/version", GET, "version", "read"),
    ("ollama_tags", "/tags", GET, "tags", "read"),
    ("ollama_ps", "/ps", GET, "ps", "read"),
    ("ollama_show", "/show", POST, "show", "read"),
    ("ollama_chat", "/chat", POST, "chat", "text"),
    ("ollama_generate", "/generate", POST, "generate", "text"),
    ("ollama_embed", "/embed", POST, "embeddings:embed", "text"),
    ("ollama_embeddings", "/embeddings", POST, "embeddings:embed", "text"),
    ("ollama_pull", "/pull", POST, "pull", "text"),
    *(
        ("ollama_absent", path, (*GET, "POST", "DELETE"), "absent", "text")
        for path in (
            "/create", "/copy", "/delete", "/push", "/blobs/{digest}", "/me", "/signout", "/experimental/{rest...}",
        )
    ),
)  # fmt: skip
OLLAMA_ROUTES = tuple(
    Route(name, OLLAMA + path, methods, "none" if methods == GET else "any",
          handler=handler if ":" in handler else f"ollama:{handler}", access=access, looks=access == "read")
    for name, path, methods, handler, access in _OLLAMA
)  # fmt: skip
# APIs of OpenAI's that would need an upstream's own state, which no upstream here has.
_ABSENT = frozenset(
    {
        "assistants", "audio", "batches", "chat", "chatkit", "containers", "evals", "fine-tunes", "fine_tuning",
        "organization", "projects", "realtime", "skills", "threads", "uploads", "vector_stores", "videos",
    }
)  # fmt: skip


class Routes:
    """Looks paths up. `find` answers with the route and the values of its `{...}` parts."""

    def __init__(self, routes: tuple[Route, ...] = ROUTES) -> None:
        self._exact: dict[str, Route] = {}
        self._patterns: list[tuple[tuple[str, ...], Route]] = []
        for route in routes:
            for spelling in _spellings(route.path):
                if "{" in spelling:
                    self._patterns.append((tuple(spelling.split("/")[1:]), route))
                else:
                    self._exact.setdefault(spelling, route)

    def find(self, path: str) -> tuple[Route | None, dict[str, str]]:
        """Return the route of `path` (still percent-encoded), or None, and its parameters as they came."""
        route = self._exact.get(path)
        if route is not None:
            return route, {}
        parts = tuple(path.split("/")[1:])
        for pattern, candidate in self._patterns:
            values = _match(pattern, parts)
            if values is not None:
                return candidate, values
        return None, {}


def routes_of(settings: Settings) -> tuple[Route, ...]:
    """Return the routes that are served with these settings."""
    return (*ROUTES, *OLLAMA_ROUTES) if settings.ollama_enabled else ROUTES


def is_ollama(path: str, settings: Settings) -> bool:
    """Whether `path` (still percent-encoded) belongs to Ollama's API, and that is switched on."""
    single = path[1:] if path.startswith("//") else path
    return settings.ollama_enabled and (single == OLLAMA or single.startswith(OLLAMA + "/"))


def is_used(route: Route | None) -> bool:
    """Whether a request belongs in the book of usage; one of the page or of a health check does not."""
    return route is None or not (route.open or route.name in LOOKS)


def family_of(path: str) -> str:
    """Return the one of FAMILIES that `path` (still percent-encoded) lies in, or "".

    `//v1/x` is a spelling of `/v1/x`; `/x` without `/v1` lies in none, though it may be a route. Claude Code first
    sends a request without its credential, below its base URL: that does not count as a failed attempt.
    """
    single = path[1:] if path.startswith("//") else path
    if single.endswith(GREETING):
        return ""
    for family in FAMILIES:
        if single == family or single.startswith(family + "/"):
            return family
    return ""


def speaks_anthropic(head: RequestHead, route: Route | None) -> bool:
    """Whether a request is to be answered in Anthropic's form: its own routes, and its clients elsewhere."""
    if route is not None and route.name not in ("models", "model"):
        return route.name in ("messages", "count_tokens")
    if head.get(b"anthropic-version") is not None or "/v1/messages/" in head.path:
        return True
    agent = head.get(b"user-agent") or b""
    return agent.startswith((b"claude-code/", b"claude-cli/"))


def absent_api(path: str) -> ClientFault | None:
    """Return the answer to a path of a known API that this relay does not have; None for any other path."""
    name = path.removeprefix("/no-tools").removeprefix("/v1/")
    first = name.partition("/")[0]
    if first in ("messages", "complete"):
        text = f"this relay does not offer Anthropic's API {name[:80]}; use /v1/messages"
        return ClientFault(text, status=404, code="unknown_route", should_retry=False)
    if path.startswith(("/v1/", "/no-tools/v1/")) and first in _ABSENT:
        text = f"this relay does not offer OpenAI's API {first}"
        return ClientFault(text, status=404, code="unknown_route", should_retry=False)
    return None


def _match(pattern: tuple[str, ...], parts: tuple[str, ...]) -> dict[str, str] | None:
    """Match part by part; a last `{name...}` takes all that is left, with its slashes."""
    values: dict[str, str] = {}
    for at, wanted in enumerate(pattern):
        if at >= len(parts):
            return None
        if wanted.endswith("...}"):
            values[wanted[1:-4]] = "/".join(parts[at:])
            return values if values[wanted[1:-4]].strip("/") else None
        if wanted.startswith("{"):
            if not parts[at]:
                return None
            values[wanted[1:-1]] = parts[at]
        elif wanted != parts[at]:
            return None
    return values if len(parts) == len(pattern) else None


def _spellings(path: str) -> list[str]:
    if path.startswith(OLLAMA + "/"):
        return [path, path + "/", "/" + path, "/" + path + "/"]
    base = next((b for b in ("/no-tools/v1", "/v1") if path.startswith(b + "/")), None)
    if base is None:
        return [path] if path == "/" else [path, path + "/"]
    rest = path[len(base) :]
    short = base[: -len("/v1")]
    spelled = [
        *(prefix + rest for prefix in (base, short, base + "/v1", "/" + base, "/" + short)),
        base + "/" + rest,
    ]
    ends = [s + "/" for s in spelled if not s.endswith("...}")]
    return [s for s in spelled + ends if s != "//"]
