"""The kinds of upstream. A new one is a folder below `airelays/upstream` and a line here. Layer: values."""

from __future__ import annotations

from typing import NamedTuple

CHATGPT_BASE_URL = "https://chatgpt.com/backend-api/codex"


class Kind(NamedTuple):
    """What the settings and commands must know about a kind before such an upstream is created.

    `makes` is "module:name" below `airelays.upstream`; it is called as described by `upstream.base.Maker`. `base_url`
    is the default. `signs_in` means that `airelays login` is for it, `has_name` that `[upstreams.NAME]` can have this
    kind. `example_model` is used in examples ("" if only the server knows one). `makes_token` means that `serve`
    creates the relay token if there is none, `embedded` that it is part of the program and needs neither network nor
    disk.
    """

    makes: str
    base_url: str = ""
    needs_base_url: bool = False
    signs_in: bool = False
    has_name: bool = True
    example_model: str = ""
    makes_token: bool = False
    embedded: bool = False


KINDS: dict[str, Kind] = {
    "chatgpt": Kind(
        "chatgpt.kind:make",
        CHATGPT_BASE_URL,
        signs_in=True,
        has_name=False,
        example_model="gpt-5.5",
    ),
    "compatible": Kind("compatible:make", needs_base_url=True),
    "demo": Kind("demo:make", example_model="demo", makes_token=True, embedded=True),
}
# The kind of `[upstreams.NAME]` that does not say one.
NAMED_KIND = "compatible"
