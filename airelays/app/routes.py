"""The route table: every path that the relay knows, with the spellings that clients produce.

Clients join base URL and path in their own ways: `/v1/v1/x`, `//v1/x`, `/v1//x`, `/x`, a slash at the end. Each such
spelling is an entry of its own, protected like the path it stands for; nothing is rewritten, decoded or
normalised before the match, so no spelling can slip past the gate. Layer: app.
"""

from __future__ import annotations

from airelays.model import Route

__all__ = ["KNOWN_METHODS", "ROUTES", "Routes", "family_of"]

GET = ("GET", "HEAD")
POST = ("POST",)
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})

# Below these a missing token is a failed attempt, whether or not there is such a path.
FAMILIES = ("/v1", "/no-tools/v1", "/metrics", "/docs")

_TEXT = (
    ("responses", "/responses"),
    ("chat", "/chat/completions"),
    ("completions", "/completions"),
)


def _table() -> tuple[Route, ...]:
    routes = [
        Route("page", "/", GET, open=True),
        Route("health", "/healthz", GET, open=True),
        Route("metrics", "/metrics", GET),
        Route("docs", "/docs", GET),
        Route("doc", "/docs/{topic}", GET),
    ]
    for base, no_tools in (("/v1", False), ("/no-tools/v1", True)):
        for name, path in _TEXT:
            routes.append(Route(name, base + path, POST, "json", no_tools=no_tools))
        routes.append(Route("models", base + "/models", GET, no_tools=no_tools))
        routes.append(Route("model", base + "/models/{id...}", GET, no_tools=no_tools))
    for name, path, methods, body in _V1_ONLY:
        routes.append(Route(name, "/v1" + path, methods, body))
    return tuple(routes)


_V1_ONLY: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("relay_status", "/relay/status", GET, "none"),
    ("relay_metrics", "/relay/metrics", GET, "none"),
    ("relay_logging", "/relay/logging", (*GET, "PUT"), "json"),
    ("subscription", "/subscription/status", GET, "none"),
    ("subscription", "/account/rate_limits", GET, "none"),
    ("input_tokens", "/responses/input_tokens", POST, "json"),
    ("compact", "/responses/compact", POST, "json"),
    ("response", "/responses/{id}", (*GET, "DELETE"), "none"),
    ("response_items", "/responses/{id}/input_items", GET, "none"),
    ("response_cancel", "/responses/{id}/cancel", POST, "json"),
    ("files", "/files", (*GET, "POST"), "multipart"),
    ("file", "/files/{id}", (*GET, "DELETE"), "none"),
    ("file_content", "/files/{id}/content", GET, "none"),
    ("conversations", "/conversations", POST, "json"),
    ("conversation", "/conversations/{id}", (*GET, "POST", "DELETE"), "json"),
    ("items", "/conversations/{id}/items", (*GET, "POST"), "json"),
    ("item", "/conversations/{id}/items/{item}", (*GET, "DELETE"), "none"),
    ("image_generation", "/images/generations", POST, "json"),
    ("image_edit", "/images/edits", POST, "multipart"),
    ("forward_multipart", "/images/variations", POST, "multipart"),
    ("forward_json", "/embeddings", POST, "json"),
    ("forward_json", "/rerank", POST, "json"),
    ("forward_json", "/moderations", POST, "json"),
    ("forward_json", "/audio/speech", POST, "json"),
    ("forward_multipart", "/audio/transcriptions", POST, "multipart"),
    ("forward_multipart", "/audio/translations", POST, "multipart"),
    ("realtime", "/realtime/sessions", POST, "json"),
    ("fim", "/fim/completions", POST, "json"),
)

ROUTES = _table()


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


def family_of(path: str) -> str:
    """Return the one of FAMILIES that `path` (still percent-encoded) lies in, or "".

    `//v1/x` is a spelling of `/v1/x`; `/x` without `/v1` lies in none, though it may be a route.
    """
    single = path[1:] if path.startswith("//") else path
    for family in FAMILIES:
        if single == family or single.startswith(family + "/"):
            return family
    return ""


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
