"""Values that travel between the rooms. No behaviour beyond reading themselves. Layer: words.

Named tuples, not frozen dataclasses: making one costs a quarter (a head is made for each request), and the
module is imported in 2 ms instead of 7.
"""

from __future__ import annotations

from typing import NamedTuple

from airelays.errors import RelayError

Fields = tuple[tuple[bytes, bytes], ...]
"""Header fields in order; names in lower case, values without surrounding white space."""


class RequestHead(NamedTuple):
    """A request head that passed every check of `protocol.http1`.

    `path` and `query` are the target's two parts, undecoded; `query` has no "?". `authority` is the Host
    field, or the authority of an absolute-form target, or "" when an HTTP/1.0 request named none.
    `content_length` is None when there is none; `chunked` and a content length never come together.
    """

    method: str
    path: str
    query: str
    authority: str
    http_version: str
    fields: Fields
    content_length: int | None
    chunked: bool
    keep_alive: bool
    expects_continue: bool

    def get(self, name: bytes) -> bytes | None:
        """Return the value of the first field called `name` (lower case), or None."""
        for key, value in self.fields:
            if key == name:
                return value
        return None

    def get_all(self, name: bytes) -> list[bytes]:
        """Return the values of all fields called `name` (lower case), in order."""
        return [value for key, value in self.fields if key == name]

    @property
    def has_body(self) -> bool:
        """Whether a message body follows the head."""
        return self.chunked or bool(self.content_length)


class ResponseHead(NamedTuple):
    """A response head from an upstream. `content_length` and `chunked` as in RequestHead."""

    status: int
    fields: Fields
    content_length: int | None
    chunked: bool
    keep_alive: bool

    def get(self, name: bytes) -> bytes | None:
        """Return the value of the first field called `name` (lower case), or None."""
        for key, value in self.fields:
            if key == name:
                return value
        return None


class Peer(NamedTuple):
    """Who is at the other end of a client connection. `host` is an IP literal without brackets."""

    host: str
    port: int = 0


class Door(NamedTuple):
    """A socket that is listened on: its own address, and the id and name of the key that it is bound to, or ""."""

    host: str
    port: int = 0
    key: str = ""
    name: str = ""


class Route(NamedTuple):
    """One entry of the route table.

    `handler` is what serves it, "module:name" below `airelays.app`. `body` is how the request body is read:
    "none", "json", "multipart", or "any": JSON, whatever its type says. `open` routes need no token. `access` is the
    class by which named keys may use it: "read", "text", "all", or "operator" (`guard.keys`). `looks` is True of those
    that clients ask for by the hundred, which cost little and are counted by themselves.
    """

    name: str
    path: str
    methods: tuple[str, ...]
    body: str = "none"
    open: bool = False
    no_tools: bool = False
    handler: str = ""
    access: str = "all"
    looks: bool = False


class Usage(NamedTuple):
    """Token counts of one answer, in OpenAI's Responses terms."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class Call(NamedTuple):
    """What an upstream needs to know of the request it serves, beside the body.

    `request_id` is ours. `conversation` is the id that keeps the upstream's prompt cache together, or
    "". `passed` are client header fields that this upstream may be given (an allow-list made by the app;
    only the Codex CLI's own headers). `codex` is True when the Codex CLI is the caller, whose body must
    reach the upstream unchanged.
    """

    request_id: str
    conversation: str = ""
    passed: Fields = ()
    codex: bool = False


class Outcome:
    """How one request ended; filled while it runs, read once by the journal.

    `reason` is the gate's word for a refusal. `route`, `client` and `key`, the name of a named key, are set when a
    request is admitted; `session` is a hash (`guard.sessions`).
    `error` is what the client was told, as a status or inside a stream. `announced` says that the
    journal has its first record; `sent` gathers the beginning of the answer when bodies are logged.
    """

    __slots__ = (
        "announced",
        "bytes_in",
        "bytes_out",
        "client",
        "error",
        "events",
        "key",
        "model",
        "reason",
        "route",
        "sent",
        "session",
        "status",
        "timings_ms",
        "upstream",
        "usage",
    )

    def __init__(self) -> None:
        self.status = 0
        self.reason = ""
        self.model = ""
        self.upstream = ""
        self.usage: Usage | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.timings_ms: dict[str, float] = {}
        self.route = ""
        self.client = ""
        self.key = ""
        self.session = ""
        self.error: RelayError | None = None
        self.events = 0
        self.announced = False
        self.sent: bytearray | None = None
