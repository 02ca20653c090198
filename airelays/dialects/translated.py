"""What the request maps hand to the app, and the notes they take on the way. Layer: rules."""

from __future__ import annotations

from typing import Any, NamedTuple


class ReplyOptions(NamedTuple):
    """What the reply maps need to know of the request.

    `model` is the client's own word for it, used until the upstream names one. `stop` sequences are
    applied by the relay. `legacy_functions` answers in the `function_call` form of 2023.
    """

    model: str
    stream: bool = False
    include_usage: bool = False
    stop: tuple[str, ...] = ()
    legacy_functions: bool = False


class FileRef(NamedTuple):
    """A part of the input that names a file by id, which the app must fill in.

    `part` is the very dict inside the request body: {"type": "input_image" | "input_file" | "input_text",
    "file_id": ...}. `kind` is "image", "file" or "text", `path` the place in the client's body, for error texts.
    """

    file_id: str
    kind: str
    path: str
    part: dict[str, Any]


class Translated(NamedTuple):
    """One client request as a Responses request.

    `body` is to be sent as it is, once `file_refs` and `item_refs` are dealt with: it streams and stores
    nothing upstream. `ignored` names what was left out, for `x-airelays-ignored-parameters`; `quirks` names
    what was adapted. `item_refs` are ids of `item_reference` items in `body["input"]`, which
    `items.fill_references` replaces or drops. `store` asks for the relay's own store, which keeps `metadata` beside
    the answer.
    """

    body: dict[str, Any]
    options: ReplyOptions
    ignored: tuple[str, ...] = ()
    quirks: tuple[str, ...] = ()
    conversation: str | None = None
    previous_response_id: str | None = None
    store: bool = False
    file_refs: tuple[FileRef, ...] = ()
    item_refs: tuple[str, ...] = ()
    metadata: dict[str, str] | None = None


class Notes:
    """Findings of one translation, gathered while the maps run."""

    def __init__(self) -> None:
        self.ignored: list[str] = []
        self.quirks: dict[str, None] = {}
        self.file_refs: list[FileRef] = []
        self.item_refs: list[str] = []

    def quirk(self, name: str) -> None:
        """Record that the adaptation `name` was made; once is enough."""
        self.quirks[name] = None
